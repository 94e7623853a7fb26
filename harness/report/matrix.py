"""Records arranged for reading: one matrix a section, and what all renderings say alike.

Everything here is pure, and first-seen order is kept: the suite decides what stands first.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from harness.report.record import CellOutcome, Record
from harness.testbed.verdict import Barrier

__all__ = [
    "BrokenPromise",
    "Column",
    "Deviation",
    "Matrix",
    "broken_promises",
    "deviations",
    "matrices",
    "reproduce",
    "tally",
    "worst",
]

Column = tuple[str, ...]
"""Headings of one column, from the top down."""

_WORST_FIRST = (
    CellOutcome.ERROR,
    CellOutcome.DIFFERS,
    CellOutcome.BROKEN,
    CellOutcome.DOCUMENTED_OTHERWISE,
    CellOutcome.AS_PREDICTED,
    CellOutcome.HOLDS,
    CellOutcome.SKIPPED,
)
# What pytest's -k takes for a word; anything else is a syntax error there.
_KEYWORD = re.compile(r"[\w:+\-.\[\]\\/]+")
# Folders of the suite that `hairpin run` leaves to other commands.
_COMMANDS = {"guests": "hairpin guests", "vsi": "hairpin vsi test"}
_OPERATORS = frozenset({"and", "or", "not"})


@dataclass(frozen=True)
class Matrix:
    """The records of one section: `rows` are flows, `columns` the topologies.

    `cells` has only what there is a record for. A cell may hold several records.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[str, ...]
    cells: Mapping[tuple[str, Column], tuple[Record, ...]]

    def at(self, row: str, column: Column) -> Record | None:
        """The record that stands for the cell: the worst one; None where there is none."""
        found = self.cells.get((row, column))
        return worst(found) if found else None

    @property
    def records(self) -> tuple[Record, ...]:
        """All records, cell by cell."""
        return tuple(record for cell in self.cells.values() for record in cell)

    def turned(self, *, keep: int) -> Matrix:
        """Topologies as rows and flows as columns; the last `keep` headings stay columns.

        For a matrix that is much wider than high. With `keep` 1, ``vepa → bridge`` over
        ``hairpin off`` and ``hairpin on`` becomes a row of that name, and each flow becomes a
        heading over the two.
        """
        places = {
            (row, column): (_row_name(column, keep), (row, *_kept(column, keep)))
            for row in self.rows
            for column in self.columns
            if (row, column) in self.cells
        }
        cells = _joined((places[place], records) for place, records in self.cells.items())
        rows = dict.fromkeys(_row_name(column, keep) for column in self.columns)
        columns = dict.fromkeys(column for _, column in places.values())
        return Matrix(self.title, _side_by_side(columns), tuple(rows), cells)

    def renamed(self, names: Mapping[str, str]) -> Matrix:
        """With every row called what `names` says; those of one name become one row."""
        cells = _joined(((names[row], column), r) for (row, column), r in self.cells.items())
        rows = dict.fromkeys(names[row] for row in self.rows)
        return Matrix(self.title, self.columns, tuple(rows), cells)


_Place = tuple[str, Column]
"""Row and column."""


def _row_name(column: Column, keep: int) -> str:
    return ", ".join(column[: len(column) - keep])


def _kept(column: Column, keep: int) -> Column:
    return column[len(column) - keep :]


def _joined(
    parts: Iterable[tuple[_Place, tuple[Record, ...]]],
) -> dict[_Place, tuple[Record, ...]]:
    """Cells by their places; records that come to one place are all kept."""
    cells: dict[_Place, tuple[Record, ...]] = {}
    for place, records in parts:
        cells[place] = cells.get(place, ()) + records
    return cells


def _side_by_side(columns: Iterable[Column]) -> tuple[Column, ...]:
    """First-seen order of headings, level by level: what is under one heading is together.

    Else a suite that turns hairpin in its outer loop would tear every heading in two.
    """
    first: dict[Column, int] = {}
    for i, column in enumerate(columns):
        for depth in range(len(column)):
            first.setdefault(column[: depth + 1], i)
    return tuple(sorted(columns, key=lambda c: [first[c[: d + 1]] for d in range(len(c))]))


def matrices(records: Iterable[Record]) -> tuple[Matrix, ...]:
    """One matrix for each section."""
    sections: dict[str, list[Record]] = {}
    for record in records:
        sections.setdefault(record.section, []).append(record)
    return tuple(_matrix(title, members) for title, members in sections.items())


def _matrix(title: str, records: Iterable[Record]) -> Matrix:
    cells = _joined(((record.row, record.column), (record,)) for record in records)
    columns = _side_by_side(dict.fromkeys(column for _, column in cells))
    return Matrix(title, columns, tuple(dict.fromkeys(row for row, _ in cells)), cells)


def worst(records: Iterable[Record]) -> Record:
    """The record with the worst outcome, the first of several. Raises ValueError on none."""
    return min(records, key=lambda record: _WORST_FIRST.index(record.outcome))


def tally(records: Iterable[Record]) -> dict[CellOutcome, int]:
    """How many records came to each outcome; every outcome is a key."""
    counts = dict.fromkeys(CellOutcome, 0)
    for record in records:
        counts[record.outcome] += 1
    return counts


@dataclass(frozen=True)
class Deviation:
    """One observer of a differing record; `lost`: its sentinel did not arrive either."""

    observer: str
    predicted: int
    seen: int
    lost: bool

    def __str__(self) -> str:
        text = f"{self.observer}: {self.predicted} predicted, {self.seen} seen"
        if self.lost:
            return f"{text}, and the sentinel after it did not arrive"
        return text if self.predicted != self.seen else f"{text}, but not the same bytes"


def deviations(record: Record) -> tuple[Deviation, ...]:
    """What each observer of a differing `record` saw instead; empty for every other outcome.

    A record counts copies only, so where all counts agree the bytes at `focus` differed.
    """
    if record.outcome is not CellOutcome.DIFFERS:
        return ()
    every = tuple(
        Deviation(
            observer,
            predicted,
            record.settled(observer) or 0,
            record.barriers.get(observer) == Barrier.LOST,
        )
        for observer, predicted in record.predicted.items()
    )
    found = tuple(d for d in every if d.lost or d.predicted != d.seen)
    return found or tuple(d for d in every if d.observer == record.focus)


@dataclass(frozen=True)
class BrokenPromise:
    """A promise that the kernel did not keep though it did what the model says, and where."""

    id: str
    text: str
    source: str
    section: str
    records: tuple[Record, ...]


def broken_promises(records: Iterable[Record]) -> tuple[BrokenPromise, ...]:
    """Each promise behind a "documented otherwise", with the records it was broken in."""
    pairs = [
        (promise, record)
        for record in records
        if record.outcome is CellOutcome.DOCUMENTED_OTHERWISE
        for promise in record.promises
        if not promise["kept"]
    ]
    order = {promise["id"]: i for i, (promise, _) in reversed(list(enumerate(pairs)))}
    pairs.sort(key=lambda pair: order[pair[0]["id"]])
    broken = []
    for _, group in groupby(pairs, key=lambda pair: pair[0]["id"]):
        members = list(group)
        first = members[0][0]
        broken.append(
            BrokenPromise(
                first["id"],
                first["text"],
                first["source"],
                first["section"],
                tuple(record for _, record in members),
            )
        )
    return tuple(broken)


def reproduce(record: Record) -> str:
    """The command that runs this record's case again, to be pasted into a shell.

    A case of the suite is found by its name: what pytest's ``-k`` cannot take in it becomes
    "and" between the parts that it can. A case of a file of one's own bears the file's path.
    """
    if record.case.startswith((".", "/")):
        return f"hairpin run {shlex.quote(record.case)}"
    command = _COMMANDS.get(record.case.partition("/")[0], "hairpin run")
    name = record.case.rpartition("::")[2]
    words = [word for word in _KEYWORD.findall(name) if word not in _OPERATORS]
    return f"{command} -k {shlex.quote(' and '.join(words))}" if words else command
