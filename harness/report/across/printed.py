"""Many runs as a person reads them: the runs, the cases that differ by what they do, the rest.

2 cases: as predicted up to 6.1, differs since 6.8

case                              5.4  6.1  6.8   7.3
────────────────────────────────  ───  ───  ────  ────
a → b in vepa → vepa, hairpin on  ✓1   ✓1   ✗0≠1  died
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console

from harness.behaviours import Behaviour
from harness.report.across.columns import Column
from harness.report.across.ending import State
from harness.report.across.table import Across, Axis, Kind, Line
from harness.report.across.words import course
from harness.report.cells import EMPTY, STYLES, cell, print_legend
from harness.report.matrix import tally
from harness.report.page import BOLD, FAINT, Page, Part, count
from harness.report.record import CellOutcome, Record
from harness.report.sheet import Row, Sheet

__all__ = ["print_across"]

_DETAILED = 20  # cases of one course that are listed; further ones are counted
_LABEL = 28  # what a case's name is given before columns go into a second table
_GAP = 2
_BAD = "bold red"
# In a cell of a run that has not come to it.
_MARKS = {
    State.INTERRUPTED: "cut",
    State.TIMED_OUT: "late",
    State.DIED: "died",
    State.UNFIT: "unfit",
    State.FAILED: "fail",
    State.MISSING: "none",
}
_JUDGED = (CellOutcome.AS_PREDICTED, CellOutcome.DOCUMENTED_OTHERWISE, CellOutcome.DIFFERS)
_BEHAVES = {True: "yes", False: "no"}
_CHECKED = (CellOutcome.HOLDS, CellOutcome.BROKEN)
_FAILED = (CellOutcome.DIFFERS, CellOutcome.BROKEN, CellOutcome.ERROR)


def print_across(matrix: Across, console: Console, *, whole: bool = False) -> None:
    """Print `matrix`: the runs, what differs and since when, what is not in every run, the end.

    Of cases that came out alike only the number is told; beyond twenty of one course too, unless
    `whole` asks for all of them.
    """
    page = Page(console, console.options.ascii_only)
    _print_runs(page, matrix)
    _print_incomplete(page, matrix)
    _print_behaviours(page, matrix)
    _print_caveats(page, matrix)
    differing = matrix.of_kind(Kind.DIFFERS)
    if differing:
        page.line()
        print_legend(page, [r for line in differing for r in line.records if r])
    for title, lines in _by_course(differing).items():
        _print_group(page, matrix, title, lines, whole=whole)
    _print_elsewhere(page, matrix, whole=whole)
    _print_conclusion(page, matrix)


def _print_runs(page: Page, matrix: Across) -> None:
    headings = ("run", "kernel", "name", "judged", "checked", "failed", "skipped", "")
    rows = [
        Row(label, _about(column))
        for label, column in zip(matrix.labels, matrix.columns, strict=True)
    ]
    optional = ("checked", "name") if matrix.axis is Axis.KERNEL else ("checked", "kernel")
    Sheet(headings, rows, frozenset({"kernel", "name", ""}), optional).print(page)


def _about(column: Column) -> tuple[Part, ...]:
    state = column.ending.state
    end = ("", "") if column.whole else (state.value, _BAD)
    names = ((column.kernel or "unknown", FAINT), (column.name, FAINT))
    if column.run is None:
        return (*names, *[("", "")] * 4, end)
    counts = tally(column.run.records)
    judged, checked, failed = (
        sum(counts[x] for x in outcomes) for outcomes in (_JUDGED, _CHECKED, _FAILED)
    )
    return (
        *names,
        (f"{judged:,}", ""),
        (f"{checked:,}", ""),
        (f"{failed:,}", _BAD if failed else ""),
        (f"{counts[CellOutcome.SKIPPED]:,}", FAINT),
        end,
    )


def _print_incomplete(page: Page, matrix: Across) -> None:
    """Runs that are not whole: what became of them."""
    if not all(column.whole for column in matrix.columns):
        page.line()
    for label, column in zip(matrix.labels, matrix.columns, strict=True):
        if not column.whole:
            ending = column.ending
            why = f": {ending.reason}" if ending.reason else ""
            status = "" if ending.status is None else f" (exit status {ending.status})"
            page.prose(f"{label} {ending.state}{status}{why}", style=_BAD, hang=2)


def _print_behaviours(page: Page, matrix: Across) -> None:
    """What the kernels do differently by design, which the model knows: since when, and why."""
    told = []
    for behaviour in Behaviour:
        values = [
            (label, _BEHAVES[column.run.behaviours[behaviour.key]])
            for label, column in zip(matrix.labels, matrix.columns, strict=True)
            if column.run and behaviour.key in column.run.behaviours
        ]
        if len({value for _, value in values}) > 1:
            when = course(values, ordered=matrix.axis is Axis.KERNEL)
            source = f"{behaviour.where}; {behaviour.commit or 'by which commit is not known'}"
            told.append(f"{behaviour.key}: {when}: {behaviour.says}  [{source}]")
    if told:
        page.title("What kernels do one way or the other, as was tried in each; the model knows")
    for line in told:
        page.prose(line, indent=2, hang=2)


def _print_caveats(page: Page, matrix: Across) -> None:
    """What is not the same in the runs besides, and may be the reason."""
    for field, name in (("backend", "backends"), ("version", "versions of hairpin")):
        found: dict[str, list[str]] = {}
        for label, column in zip(matrix.labels, matrix.columns, strict=True):
            if column.run:
                found.setdefault(getattr(column.run, field), []).append(label)
        if len(found) > 1:
            told = "; ".join(f"{value} in {', '.join(runs)}" for value, runs in found.items())
            page.prose(f"Mind: {name} are not the same: {told}.", style="bold yellow", hang=2)


def _by_course(lines: Sequence[Line]) -> dict[str, list[Line]]:
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.course, []).append(line)
    return groups


def _print_group(
    page: Page, matrix: Across, course: str, lines: Sequence[Line], *, whole: bool
) -> None:
    page.title(f"{count(len(lines), 'case')}: {course}", STYLES[CellOutcome.DIFFERS])
    shown = lines if whole else lines[:_DETAILED]
    for columns in _blocks(page, matrix, shown):
        page.line()
        headings = ("case", *(matrix.labels[i] for i in columns))
        rows = [Row(label_of(x), tuple(_part(page, matrix, x, i) for i in columns)) for x in shown]
        Sheet(headings, rows, frozenset(headings)).print(page)
    if len(shown) < len(lines):
        page.prose(f"… and {len(lines) - len(shown):,} more; --all names them", indent=2)
    records = [r for line in lines for r in line.records if r]
    for cause in dict.fromkeys(cause for record in records for cause in record.causes):
        page.prose(f"likely cause: {cause}", indent=2, hang=2)
    for reason in _reasons(records):
        page.prose(reason, style=FAINT, indent=2, hang=2)
    turn = lines[0].turn
    if turn:
        a, b = (matrix.columns[i].path for i in turn)
        page.line((f"  more: hairpin compare {a} {b}", FAINT))


def label_of(line: Line) -> str:
    """The case's name: a check without a topology is told by its parameters."""
    place = line.place
    _, bracket, parameters = place.case.partition("[")
    if any(place.column) or not bracket:
        return str(place)
    return f"{place} [{parameters}"


def _reasons(records: Sequence[Record]) -> list[str]:
    found = {r.reason for r in records if r.reason and r.outcome is not CellOutcome.SKIPPED}
    return sorted(found)[:_DETAILED]


def _blocks(page: Page, matrix: Across, lines: Sequence[Line]) -> Iterator[tuple[int, ...]]:
    """The columns by number, as many at a time as leave room for the names."""
    longest = max(len(label_of(line)) for line in lines)
    room = page.width - min(longest, _LABEL)
    block: list[int] = []
    for i, label in enumerate(matrix.labels):
        texts = (_part(page, matrix, line, i)[0] for line in lines)
        width = max(len(label), *map(len, texts)) + _GAP
        if block and width > room:
            yield tuple(block)
            block, room = [], page.width - min(longest, _LABEL)
        block.append(i)
        room -= width
    yield tuple(block)


_NARROW = 100  # columns of the terminal, below which cells are short


def _part(page: Page, matrix: Across, line: Line, number: int) -> Part:
    record = line.records[number]
    column = matrix.columns[number]
    if record is None and not column.whole:
        return _MARKS.get(column.ending.state, EMPTY), STYLES[CellOutcome.ERROR]
    return cell(record, short=page.width < _NARROW)


def _print_elsewhere(page: Page, matrix: Across, *, whole: bool) -> None:
    """Cases that whole runs skipped, or do not know: how many, where and why."""
    groups: dict[str, list[Line]] = {}
    for line in matrix.of_kind(Kind.NOT_EVERYWHERE):
        for why in _absences(matrix, line):
            groups.setdefault(why, []).append(line)
    if not groups:
        return
    page.title("Not judged in every run")
    for why, lines in groups.items():
        page.prose(f"{len(lines):>6,}  {why}", hang=8)
        for line in lines if whole else ():
            page.prose(label_of(line), style=FAINT, indent=8, hang=2)


def _absences(matrix: Across, line: Line) -> list[str]:
    """Why it was not judged somewhere; nothing of runs that had no chance to."""
    skipped: dict[str, list[str]] = {}
    unknown = []
    for label, column, record in zip(matrix.labels, matrix.columns, line.records, strict=True):
        if record is None and column.whole:
            unknown.append(label)
        elif record is not None and record.outcome is CellOutcome.SKIPPED:
            skipped.setdefault(record.reason, []).append(label)
    told = [f"skipped {_runs(matrix, runs)}: {why}" for why, runs in skipped.items()]
    return told + ([f"not known {_runs(matrix, unknown)}"] if unknown else [])


def _runs(matrix: Across, labels: Sequence[str]) -> str:
    """`up to 5.4`, `in 6.1, 6.8`, `on alpha`."""
    if matrix.axis is Axis.HOST:
        return f"on {', '.join(labels)}"
    if len(labels) > 1 and tuple(labels) == matrix.labels[: len(labels)]:
        return f"up to {labels[-1]}"
    if len(labels) > 1 and tuple(labels) == matrix.labels[-len(labels) :]:
        return f"since {labels[0]}"
    return f"in {', '.join(labels)}"


def _print_conclusion(page: Page, matrix: Across) -> None:
    differing = len(matrix.of_kind(Kind.DIFFERS))
    elsewhere = len(matrix.of_kind(Kind.NOT_EVERYWHERE))
    broken = sum(not column.whole for column in matrix.columns)
    parts = [
        f"{count(differing, 'case')} not the same" if differing else "No difference",
        *([f"{elsewhere:,} not judged in every run"] if elsewhere else []),
        f"{matrix.alike:,} alike in {count(len(matrix.columns), 'run')}",
    ]
    text = f"{', '.join(parts)}."
    if broken:
        text += f" {count(broken, 'run')} of {len(matrix.columns)} not whole."
    style = STYLES[CellOutcome.AS_PREDICTED] if matrix.agrees else STYLES[CellOutcome.DIFFERS]
    page.title(text, style or BOLD)
