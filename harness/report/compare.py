"""Two runs held against each other: what came out otherwise, case by case. Pure.

Cells are matched by case, row and column. Where a case has several verdicts in one cell, the
first of one run stands against the first of the other, and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.report.record import Record, Run

__all__ = [
    "Change",
    "Comparison",
    "Place",
    "Shift",
    "Side",
    "by_place",
    "compare",
    "signature",
]


class Side(StrEnum):
    """Which of the two runs."""

    BEFORE = "A"
    AFTER = "B"


@dataclass(frozen=True)
class Place:
    """Where a record stands; `number` counts those of one cell from 1."""

    case: str
    row: str
    column: tuple[str, ...]
    number: int = 1

    def __str__(self) -> str:
        topology = ", ".join(filter(None, self.column))
        where = f"{self.row} in {topology}" if topology else self.row
        return where if self.number == 1 else f"{where}, no. {self.number}"


@dataclass(frozen=True)
class Shift:
    """One observer whose counts are not the same; None where a run does not know it."""

    observer: str
    predicted: tuple[int | None, int | None]
    seen: tuple[int | None, int | None]


@dataclass(frozen=True)
class Change:
    """One cell that is not the same in both runs: before, after, or in one of them only."""

    place: Place
    before: Record | None
    after: Record | None

    @property
    def only_in(self) -> Side | None:
        """The run that alone has the cell; None when both do."""
        if self.after is None:
            return Side.BEFORE
        return Side.AFTER if self.before is None else None

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """Observers that should have seen, or saw, another number of copies."""
        if self.before is None or self.after is None:
            return ()
        return _shifts(self.before, self.after)


@dataclass(frozen=True)
class Comparison:
    """Two runs and what differs; `alike` cells do not."""

    before: Run
    after: Run
    changes: tuple[Change, ...]
    alike: int


def compare(before: Run, after: Run) -> Comparison:
    """What differs between two runs, in the order of `before`; what only `after` has is last.

    Outcomes and counts of copies count. How an observer's reading ended, how long it took, what
    was thought to be the cause, and copies that the model leaves open do not.
    """
    old, new = by_place(before.records), by_place(after.records)
    changes, alike = [], 0
    for place in {**old, **new}:
        change = Change(place, old.get(place), new.get(place))
        if change.before and change.after and signature(change.before) == signature(change.after):
            alike += 1
        else:
            changes.append(change)
    return Comparison(before, after, tuple(changes), alike)


def by_place(records: Iterable[Record]) -> dict[Place, Record]:
    """Each record by where it stands, in their order."""
    counts: Counter[Place] = Counter()
    places = {}
    for record in records:
        cell = Place(record.case, record.row, record.column)
        counts[cell] += 1
        places[Place(record.case, record.row, record.column, counts[cell])] = record
    return places


def signature(record: Record) -> Hashable:
    """What counts: two records that have the same do not differ."""
    # Where nothing is left open, which is nearly everywhere, what was seen is settled.
    settled = {name: record.settled(name) for name in record.seen} if record.maybe else record.seen
    return record.outcome, frozenset(record.predicted.items()), frozenset(settled.items())


def _shifts(before: Record, after: Record) -> tuple[Shift, ...]:
    observers = {**before.predicted, **before.seen, **after.predicted, **after.seen}
    every = (
        Shift(
            name,
            (before.predicted.get(name), after.predicted.get(name)),
            (before.settled(name), after.settled(name)),
        )
        for name in observers
    )
    return tuple(s for s in every if s.predicted[0] != s.predicted[1] or s.seen[0] != s.seen[1])
