"""Many runs held against each other: which cases are not alike, and in which of the runs. Pure.

Cells are matched as `hairpin compare` does it. What a run could not do, or has not come to, is
told and is no difference: only what runs have judged can differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise

from harness.report.across.columns import Column
from harness.report.across.releases import release_key, short_names
from harness.report.across.words import course
from harness.report.compare import Place, by_place, signature
from harness.report.matrix import worst
from harness.report.record import CellOutcome, Record

__all__ = ["Across", "Axis", "Kind", "Line", "arrange"]


class Axis(StrEnum):
    """What the runs differ in, which names and orders them."""

    KERNEL = "kernel"
    HOST = "host"


class Kind(StrEnum):
    """How the runs stand to each other in one case."""

    ALIKE = "alike"
    DIFFERS = "differs"
    NOT_EVERYWHERE = "not everywhere"  # alike where judged; skipped or not known in some runs


@dataclass(frozen=True)
class Line:
    """One cell of the suite in every run: None where a run has no record of it.

    Where its case failed or was skipped as a whole, that record stands for it.
    `section` is its subject. `course` says in words which runs did what; empty when alike.
    """

    place: Place
    section: str
    records: tuple[Record | None, ...]
    kind: Kind
    course: str = ""

    @property
    def turn(self) -> tuple[int, int] | None:
        """The first two runs after each other, by number, that judged it otherwise."""
        judged = [(i, signature(r)) for i, r in enumerate(self.records) if r and _is_judged(r)]
        return next(((i, j) for (i, a), (j, b) in pairwise(judged) if a != b), None)


@dataclass(frozen=True)
class Across:
    """Runs (`columns`, called `labels`), from old to new or by name, and every case in them."""

    axis: Axis
    columns: tuple[Column, ...]
    labels: tuple[str, ...]
    lines: tuple[Line, ...]

    @cached_property
    def alike(self) -> int:
        """How many cells are the same in every run."""
        return sum(line.kind is Kind.ALIKE for line in self.lines)

    @property
    def agrees(self) -> bool:
        """Whether all runs are there, whole, and none judged a case as another did not."""
        return all(c.whole for c in self.columns) and not any(
            line.kind is Kind.DIFFERS for line in self.lines
        )

    def of_kind(self, kind: Kind) -> tuple[Line, ...]:
        """The lines of that kind, in order."""
        return tuple(line for line in self.lines if line.kind is kind)


def arrange(columns: Sequence[Column], *, axis: Axis | None = None) -> Across:
    """The matrix of these runs. Without `axis` they are kernels when no two have the same one."""
    axis = axis or _axis_of(columns)
    if axis is Axis.KERNEL:
        # One whose kernel nobody knows stands last.
        ordered = sorted(columns, key=lambda c: (not c.kernel, release_key(c.kernel or c.name)))
        labels = _unique([*short_names([c.kernel or c.name for c in ordered])], ordered)
    else:
        ordered = sorted(columns, key=lambda c: release_key(c.name))
        labels = _unique([*_hosts([c.name for c in ordered])], ordered)
    return Across(axis, tuple(ordered), labels, _lines(ordered, labels, axis))


def _axis_of(columns: Sequence[Column]) -> Axis:
    kernels = [column.kernel for column in columns if column.kernel]
    return Axis.KERNEL if len(set(kernels)) == len(kernels) else Axis.HOST


def _hosts(names: Sequence[str]) -> Sequence[str]:
    """Without their domain, where that still tells them apart."""
    short = [name.partition(".")[0] or name for name in names]
    return short if len(set(short)) == len(set(names)) else names


def _unique(labels: Sequence[str], columns: Sequence[Column]) -> tuple[str, ...]:
    """Those of one label are told apart by their names, else by numbers."""
    twice = {label for label in labels if labels.count(label) > 1}
    if not twice:
        return tuple(labels)
    named = [
        f"{x} {c.name}" if x in twice and c.name != x else x
        for x, c in zip(labels, columns, strict=True)
    ]
    if len(set(named)) == len(named):
        return tuple(named)
    return tuple(f"{x} ({named[:i].count(x) + 1})" for i, x in enumerate(named))


def _lines(columns: Sequence[Column], labels: Sequence[str], axis: Axis) -> tuple[Line, ...]:
    runs = [_Cases(column) for column in columns]
    first: dict[str, int] = {}
    for run in runs:
        for place in run.places:
            first.setdefault(place.case, len(first))
    every = sorted({p: None for run in runs for p in run.places}, key=lambda p: first[p.case])
    known = Counter(place.case for place in every)
    lines = []
    for place in every:
        records = tuple(run.places.get(place) for run in runs)
        own = [record for record in records if record]
        if known[place.case] > 1 and all(run.is_instead(place) for run in runs):
            continue  # told in the lines of what others came to in this case
        if None in records:
            failed = any(record.outcome in _FAILED for record in own)
            records = tuple(
                x or run.instead(place.case, failed=failed)
                for x, run in zip(records, runs, strict=True)
            )
        # A run that is not whole says nothing by what it has no record of.
        kind = _kind([r for r, c in zip(records, columns, strict=True) if r or c.whole])
        told = _course(records, labels, axis) if kind is Kind.DIFFERS else ""
        lines.append(Line(place, own[0].section, records, kind, told))
    return tuple(lines)


_FAILED = (CellOutcome.ERROR, CellOutcome.BROKEN)


class _Cases:
    """The records of a run, by place and by case.

    A case that fails or is skipped has a record of its own instead of those of its verdicts.
    """

    def __init__(self, column: Column) -> None:
        self.places = by_place(column.run.records) if column.run else {}

    @cached_property
    def _cases(self) -> dict[str, list[Record]]:
        cases: dict[str, list[Record]] = {}
        for place, record in self.places.items():
            cases.setdefault(place.case, []).append(record)
        return cases

    def is_instead(self, place: Place) -> bool:
        """Whether all that is known of its case is that it failed or was skipped, if anything."""
        record = self.places.get(place)
        return record is None or (
            record.outcome in (*_FAILED, CellOutcome.SKIPPED) and len(self._cases[place.case]) == 1
        )

    def instead(self, case: str, *, failed: bool) -> Record | None:
        """What stands for a record of the case that is not there; None where nothing does.

        With `failed` it is not there because elsewhere the case failed, and here perhaps not.
        """
        records = self._cases.get(case)
        if not records:
            return None
        first = worst(records)
        if failed or first.outcome in (*_FAILED, CellOutcome.SKIPPED):
            return first
        return next((r for r in records if r.outcome in _FAILED), None)


def _kind(records: Sequence[Record | None]) -> Kind:
    if None not in records and len({signature(r) for r in records if r}) == 1:
        return Kind.ALIKE
    judged = {signature(r) for r in records if r and _is_judged(r)}
    return Kind.DIFFERS if len(judged) > 1 else Kind.NOT_EVERYWHERE


def _is_judged(record: Record) -> bool:
    return record.outcome is not CellOutcome.SKIPPED


def _course(records: Sequence[Record | None], labels: Sequence[str], axis: Axis) -> str:
    judged = [
        (label, record)
        for label, record in zip(labels, records, strict=True)
        if record and _is_judged(record)
    ]
    names = _names([record for _, record in judged])
    return course(
        [(label, names[signature(record)]) for label, record in judged],
        ordered=axis is Axis.KERNEL,
    )


def _names(records: Sequence[Record]) -> dict[object, str]:
    """A name for each of what the runs did: the outcome, with copies where that is not enough."""
    firsts = {signature(record): record for record in reversed(records)}
    outcomes = [record.outcome for record in firsts.values()]
    names: dict[object, str] = {}
    for key, record in firsts.items():
        name = record.outcome.value
        if outcomes.count(record.outcome) > 1:
            copies = ", ".join(f"{n} at {who}" for who, n in record.seen.items() if n)
            name = f"{name}: {copies or 'nothing arrives'}"
        names[key] = name
    return names
