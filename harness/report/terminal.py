"""A run as a person reads it: a matrix for each section, then what needs explaining.

              │ vepa   │ vepa     │ bridge
              │ → vepa │ → bridge │ → vepa
      hairpin │ off on │ off  on  │ off on
    ──────────┼────────┼──────────┼────────
    a → b     │ ✓0  ✓1 │ ✓0   ✓1  │ ✓0  ✓1

rich prints it: colour where there is a terminal, plain text where there is none. The grid is
laid out here, because a rich table has no heading that spans columns.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TextIO

from rich.console import Console
from rich.text import Text

from harness.report.matrix import (
    Column,
    Matrix,
    broken_promises,
    deviations,
    matrices,
    reproduce,
    tally,
)
from harness.report.record import CellOutcome, Record, Run
from harness.testbed.verdict import Barrier

__all__ = ["make_console", "print_run"]

_PLAIN_WIDTH = 120  # where nobody says how wide: a file, a pipe, a log
_DETAILED = 10  # failures of one cause told in full; further ones in a line each
_LABEL = 24  # what a row's name may always take, before it is broken
_HEADING = 20  # what a heading may always take

_BACKENDS = {
    "tap": "tap: descriptors as a hypervisor uses them",
    "packet": "packet: packet sockets on the macvtap links",
}
_STYLES = {
    CellOutcome.AS_PREDICTED: "green",
    CellOutcome.DOCUMENTED_OTHERWISE: "bold yellow",
    CellOutcome.DIFFERS: "bold red",
    CellOutcome.SKIPPED: "dim",
    CellOutcome.ERROR: "bold magenta",
}
_NOTHING_ARRIVES = "dim green"
_BOLD, _FAINT = "bold", "dim"
_EMPTY = "·"
# One character for one, so that columns stay columns.
_ASCII = str.maketrans("✓✗≠→─│┼·…–“”", '+X/>-|+.~-""')
_ON_OFF = frozenset({"off", "on"})
_MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_ALIKE = 4  # so many rows that differ in an address only become one


def make_console(file: TextIO | None = None) -> Console:
    """A console on `file` (stdout): the terminal's width, 120 columns where there is none.

    COLUMNS, NO_COLOR and FORCE_COLOR are heeded, as rich does.
    """
    console = Console(file=file, highlight=False)
    # Not console.is_terminal, which FORCE_COLOR makes true where there is no width to ask for.
    if not console.file.isatty() and not os.environ.get("COLUMNS", "").isdigit():
        console.width = _PLAIN_WIDTH
    return console


def print_run(run: Run, console: Console) -> None:
    """Print `run`: legend, matrices, differences, documented otherwise, skipped, summary.

    No line is wider than `console`, but for a command to be copied, which stays whole.
    """
    page = _Page(console, console.options.ascii_only)
    _print_legend(page, run.records)
    for matrix in matrices(run.records):
        _print_section(page, matrix)
    _print_failures(page, run.records)
    _print_promises(page, run.records)
    _print_skipped(page, run)
    _print_summary(page, run)


# ---------------------------------------------------------------- lines

_Part = tuple[str, str]
"""Text and its style."""


@dataclass(frozen=True)
class _Page:
    """Lines onto a console, none of them taken for markup."""

    console: Console
    ascii: bool

    @property
    def width(self) -> int:
        return self.console.width

    def line(self, *parts: _Part) -> None:
        """One line, however long."""
        self.console.print(self._text(parts), soft_wrap=True)

    def broken(self, *parts: _Part) -> None:
        """One line, or several if it is too long for one."""
        self.console.print(self._text(parts))

    def prose(self, text: str, *, style: str = "", indent: int = 0, hang: int = 0) -> None:
        """A paragraph, broken between words; a word too long for a line is broken too."""
        for line in textwrap.wrap(
            text,
            self.width,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + hang),
            break_on_hyphens=False,
        ):
            self.line((line, style))

    def title(self, text: str, style: str = _BOLD) -> None:
        self.line()
        self.prose(text, style=style)

    def _text(self, parts: Sequence[_Part]) -> Text:
        text = Text.assemble(*((self._encodable(text), style) for text, style in parts))
        text.rstrip()
        return text

    def _encodable(self, text: str) -> str:
        if not self.ascii:
            return text
        return text.translate(_ASCII).encode("ascii", "replace").decode()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# ---------------------------------------------------------------- cells


def _copies(record: Record) -> str:
    return str(record.seen[record.focus]) if record.focus in record.seen else ""


def _difference(record: Record) -> str:
    """The focus of a differing record in a cell's space."""
    found = {d.observer: d for d in deviations(record)}.get(record.focus)
    if found is None:
        return "✗"
    if found.predicted != found.seen:
        return f"✗{found.seen}≠{found.predicted}"
    return "✗lost" if found.lost else "✗data"


def _cell(record: Record | None, *, short: bool) -> _Part:
    """What stands in a cell; `short`: in four characters at most."""
    if record is None:
        return _EMPTY, _FAINT
    style = _STYLES[record.outcome]
    if record.outcome is CellOutcome.SKIPPED:
        return "skip", style
    if record.outcome is CellOutcome.ERROR:
        return "!", style
    if record.outcome is CellOutcome.DIFFERS:
        difference = _difference(record)
        return "✗" if short and len(difference) > 4 else difference, style
    copies = _copies(record)
    if record.outcome is CellOutcome.DOCUMENTED_OTHERWISE:
        return "doc≠" if short else f"doc≠{copies}", style
    return f"✓{copies}", _NOTHING_ARRIVES if copies == "0" else style


_LEGEND = {
    CellOutcome.AS_PREDICTED: ("✓1", "as predicted: one copy arrived, ✓0 none"),
    CellOutcome.DOCUMENTED_OTHERWISE: ("doc≠1", "as predicted, the documentation says otherwise"),
    CellOutcome.DIFFERS: ("✗1≠0", "one copy, none predicted"),
    CellOutcome.SKIPPED: ("skip", "not possible here"),
    CellOutcome.ERROR: ("!", "no verdict: the case failed to run"),
}


def _print_legend(page: _Page, records: Sequence[Record]) -> None:
    """What the glyphs mean, of those that occur: as many to a line as fit."""
    outcomes = {record.outcome for record in records}
    line: list[_Part] = []
    for outcome in (o for o in CellOutcome if o in outcomes):
        glyph, meaning = _LEGEND[outcome]
        entry = [(glyph, _STYLES[outcome]), (f" {meaning}", "")]
        if line and sum(len(text) for text, _ in (*line, *entry)) > page.width:
            page.broken(*line)
            line = []
        line += [*entry, ("   ", "")]
    if line:
        page.broken(*line)


# ---------------------------------------------------------------- layout of a matrix


def _folded(matrix: Matrix) -> Matrix:
    """Neighbouring rows that differ in a MAC address only, and whose cells are alike, as one.

    A suite tries a filter with many groups: a hundred equal rows hide the one that is not.
    """
    names: dict[str, str] = {}
    for _, alike in groupby(matrix.rows, lambda row: _likeness(matrix, row)):
        first, *more = alike
        fold = len(more) + 1 >= _ALIKE
        names |= {row: f"{first} and {len(more)} alike" if fold else row for row in (first, *more)}
    return matrix.renamed(names)


def _likeness(matrix: Matrix, row: str) -> tuple[str, ...]:
    cells = (_cell(matrix.at(row, column), short=False)[0] for column in matrix.columns)
    return (_MAC.sub("", row), *cells)


@dataclass(frozen=True)
class _Spacing:
    """What stands between two units, how high headings may be, whether cells are short."""

    between: str
    lines: int
    short: bool = False

    @property
    def rule(self) -> str:
        return "".join("─" if c == " " else "┼" for c in self.between)


_GENEROUS_FIRST = (
    _Spacing("  │ ", 1),
    _Spacing("  │ ", 2),
    _Spacing(" │ ", 3),
    _Spacing("│ ", 3),
    _Spacing("│ ", 3, short=True),
    _Spacing("│", 3, short=True),
)


@dataclass(frozen=True)
class _Unit:
    """Columns that stay together because all headings above their last are the same."""

    columns: tuple[Column, ...]
    widths: tuple[int, ...]

    @property
    def width(self) -> int:
        return sum(self.widths) + len(self.widths) - 1


@dataclass(frozen=True)
class _Grid:
    """A matrix laid out: chunks of units, one below the other, each as wide as fits.

    `axes` has, for each level of headings, what all of them begin with ("hairpin") and is
    therefore written once, beside them.
    """

    matrix: Matrix
    axes: tuple[str, ...]
    label: int
    spacing: _Spacing
    chunks: tuple[tuple[_Unit, ...], ...]
    fits: bool

    @property
    def height(self) -> int:
        """About how many lines it takes."""
        rows = sum(len(_label_lines(row, self.label)) for row in self.matrix.rows)
        return len(self.chunks) * (rows + len(self.axes) * self.spacing.lines + 2)


def _lay_out(matrix: Matrix, width: int) -> _Grid:
    """The layout for `width`: flows as rows, unless it is much wider than high and does not fit."""
    upright: list[_Grid] = []
    for grid in _grids(matrix, width):
        if grid.fits and len(grid.chunks) == 1:
            return grid
        upright.append(grid)
    if len(matrix.columns) <= 2 * len(matrix.rows):
        return min(upright, key=lambda grid: (not grid.fits, len(grid.chunks)))
    depth = min(map(len, matrix.columns))
    turned = [
        grid
        for keep in (1, 0)
        if keep < max(depth, 1)
        for grid in _grids(matrix.turned(keep=keep), width)
    ]
    return min(turned, key=lambda grid: (not grid.fits, grid.height))


def _grids(matrix: Matrix, width: int) -> Iterator[_Grid]:
    return (_grid(matrix, width, spacing) for spacing in _GENEROUS_FIRST)


def _grid(matrix: Matrix, width: int, spacing: _Spacing) -> _Grid:
    axes = _axes(matrix.columns)
    longest = max(1, *(len(text) for text in (*matrix.rows, *axes)))
    label = min(longest, max(min(_LABEL, width // 2 - 2), width * 2 // 5))
    room = width - label - len(spacing.between)
    # Without headings above, nothing holds columns together, and names of several words need bars.
    units = _units(matrix, axes, spacing, whole=len(axes) > 1)
    if any(unit.width > room for unit in units):
        units = _units(matrix, axes, spacing, whole=False)
    chunks = _chunks(units, room, len(spacing.between))
    return _Grid(matrix, axes, label, spacing, chunks, all(unit.width <= room for unit in units))


def _axes(columns: Sequence[Column]) -> tuple[str, ...]:
    """What the headings of each level have in common, counted from the last level upwards."""
    depth = max(1, *map(len, columns))
    levels = [{_heading(column, level) for column in columns} for level in range(depth)]
    return tuple(_common(headings) for headings in levels)


def _heading(column: Column, level: int) -> str:
    """Heading number `level` from the bottom: 0 is the last one."""
    return column[-1 - level] if level < len(column) else ""


def _common(headings: Collection[str]) -> str:
    """The words that two or more `headings` all begin with, if each goes on after them.

    Bare "off" and "on" are the switch's hairpin: it is what the suite turns.
    """
    if set(headings) == _ON_OFF:
        return "hairpin"
    split = [heading.split() for heading in headings if heading]
    common: list[str] = []
    for words in zip(*(words[:-1] for words in split), strict=False):
        if len(set(words)) > 1:
            break
        common.append(words[0])
    # "vepa →" is half of a pair and says nothing alone.
    return " ".join(common) if len(split) > 1 and "→" not in common else ""


def _shown(column: Column, level: int, axes: Sequence[str]) -> str:
    """The heading without what is written beside it."""
    return _heading(column, level).removeprefix(axes[level]).strip()


def _units(
    matrix: Matrix, axes: Sequence[str], spacing: _Spacing, *, whole: bool
) -> tuple[_Unit, ...]:
    key = (lambda column: column[:-1]) if whole else (lambda column: column)
    groups = [tuple(group) for _, group in groupby(matrix.columns, key)]
    return tuple(_unit(matrix, columns, axes, spacing) for columns in groups)


def _unit(
    matrix: Matrix, columns: tuple[Column, ...], axes: Sequence[str], spacing: _Spacing
) -> _Unit:
    """As narrow as cells and headings allow, the columns as even as can be."""
    widths = []
    for column in columns:
        cells = (_cell(matrix.at(row, column), short=spacing.short)[0] for row in matrix.rows)
        widths.append(max(_narrowest(_shown(column, 0, axes), spacing.lines), *map(len, cells)))
    needed = max(
        (
            _narrowest(_shown(column, n, axes), spacing.lines)
            for column in columns
            for n in range(1, len(axes))
        ),
        default=0,
    )
    while sum(widths) + len(widths) - 1 < needed:
        widths[widths.index(min(widths))] += 1
    return _Unit(columns, tuple(widths))


def _chunks(units: Sequence[_Unit], room: int, between: int) -> tuple[tuple[_Unit, ...], ...]:
    """`units` in as few chunks as `room` allows, and those about equally wide."""
    fewest = _filled(units, room, between)
    limits = range(max(unit.width for unit in units), room)
    evened = (_filled(units, limit, between) for limit in limits)
    return next((chunks for chunks in evened if len(chunks) == len(fewest)), fewest)


def _filled(units: Sequence[_Unit], room: int, between: int) -> tuple[tuple[_Unit, ...], ...]:
    chunks: list[list[_Unit]] = []
    used = 0
    for unit in units:
        used += between + unit.width
        if not chunks or used > room:
            chunks.append([])
            used = unit.width
        chunks[-1].append(unit)
    return tuple(map(tuple, chunks))


def _glued(text: str) -> str:
    """`text` with each arrow and plus kept to what it points to."""
    return re.sub("([→+·]) ", "\\1\0", text)


def _wrap(text: str, width: int) -> list[str]:
    lines = textwrap.wrap(_glued(text), width, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines] or [""]


@lru_cache(maxsize=4096)
def _narrowest(text: str, lines: int) -> int:
    """The smallest width for `text` in so many lines; _HEADING if it takes more than that."""
    longest = max((len(word) for word in _glued(text).split()), default=1)
    widths = range(longest, _HEADING)
    return next((width for width in widths if len(_wrap(text, width)) <= lines), _HEADING)


def _grid_lines(grid: _Grid) -> Iterator[list[_Part]]:
    for i, chunk in enumerate(grid.chunks):
        if i:
            yield []
        for level in reversed(range(len(grid.axes))):
            yield from _heading_lines(grid, chunk, level)
        yield _rule(grid, chunk)
        for row in grid.matrix.rows:
            yield from _row_lines(grid, chunk, row)


def _heading_lines(grid: _Grid, chunk: Sequence[_Unit], level: int) -> Iterator[list[_Part]]:
    """One level of headings, each written once over all the columns that it is for."""
    spans = _spans(grid, chunk, level)
    texts = [_wrap(text, width) for text, width, _ in spans]
    height = max(map(len, texts))
    for n in range(height):
        last = n == height - 1
        line = [(f"{grid.axes[level] if last else '':>{grid.label}}", _FAINT)]
        for lines, (_, width, before) in zip(texts, spans, strict=True):
            padded = [""] * (height - len(lines)) + lines
            line += [(before, _FAINT), (f"{padded[n]:<{width}}", _BOLD)]
        yield line


def _spans(grid: _Grid, chunk: Sequence[_Unit], level: int) -> list[tuple[str, int, str]]:
    """The headings of one level from left to right: text, width, what stands before it."""
    spans: list[tuple[str, int, str]] = []
    previous: Column | None = None
    for unit in chunk:
        before = grid.spacing.between
        for column, width in zip(unit.columns, unit.widths, strict=True):
            mine = column[: max(len(column) - level, 0)]
            if spans and mine == previous:
                text, so_far, first = spans[-1]
                spans[-1] = (text, so_far + len(before) + width, first)
            else:
                spans.append((_shown(column, level, grid.axes), width, before))
            previous, before = mine, " "
    return spans


def _rule(grid: _Grid, chunk: Sequence[_Unit]) -> list[_Part]:
    units = [grid.spacing.rule + "─" * unit.width for unit in chunk]
    return [("─" * grid.label + "".join(units), _FAINT)]


def _row_lines(grid: _Grid, chunk: Sequence[_Unit], row: str) -> Iterator[list[_Part]]:
    first, *more = _label_lines(row, grid.label)
    line: list[_Part] = [(f"{first:<{grid.label}}", "")]
    for unit in chunk:
        before = grid.spacing.between
        for column, width in zip(unit.columns, unit.widths, strict=True):
            text, style = _cell(grid.matrix.at(row, column), short=grid.spacing.short)
            line += [(before, _FAINT), (text, style), (" " * (width - len(text)), "")]
            before = " "
    yield line
    yield from ([(text, "")] for text in more)


def _label_lines(row: str, width: int) -> list[str]:
    return textwrap.wrap(row, width, subsequent_indent="  ", break_on_hyphens=False) or [""]


# ---------------------------------------------------------------- sections of the report


def _print_section(page: _Page, matrix: Matrix) -> None:
    counts = tally(matrix.records)
    skipped = counts[CellOutcome.SKIPPED]
    if skipped == len(matrix.records):
        reasons = dict.fromkeys(record.reason for record in matrix.records)
        why = next(iter(reasons)) if len(reasons) == 1 else f"{len(reasons)} reasons, see below"
        page.title(f"{matrix.title}: {_count(skipped, 'case')} skipped: {why}", _FAINT)
        return
    page.title(matrix.title)
    page.prose(_amounts(counts, omit_zero=set(CellOutcome)), style=_FAINT)
    page.line()
    for line in _grid_lines(_lay_out(_folded(matrix), page.width)):
        page.line(*line)


def _print_failures(page: _Page, records: Sequence[Record]) -> None:
    """Every differing cell and every error, those with one cause together."""
    failed = [r for r in records if r.outcome in (CellOutcome.ERROR, CellOutcome.DIFFERS)]
    if not failed:
        return
    counts = tally(failed)
    differing, errors = counts[CellOutcome.DIFFERS], counts[CellOutcome.ERROR]
    parts = [
        *([f"{_count(differing, 'cell')} not as predicted"] if differing else []),
        *([f"{_count(errors, 'case')} failed to run"] if errors else []),
    ]
    page.title(", ".join(parts), _STYLES[CellOutcome.DIFFERS])
    for explanation, members in _by_explanation(failed).items():
        page.line()
        for text in explanation:
            page.prose(text, style=_BOLD, hang=2)
        for i, record in enumerate(members):
            _print_failure(page, record, brief=i >= _DETAILED)


def _by_explanation(failed: Iterable[Record]) -> dict[tuple[str, ...], list[Record]]:
    """Records by what would explain them: one broken rule often fails a hundred cells."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in failed:
        texts = tuple(f"likely cause: {cause}" for cause in record.causes)
        groups.setdefault(texts + ((record.reason,) if record.reason else ()), []).append(record)
    return groups


def _print_failure(page: _Page, record: Record, *, brief: bool) -> None:
    glyph = "!" if record.outcome is CellOutcome.ERROR else "✗"
    style = _STYLES[record.outcome]
    found = deviations(record)
    if brief:
        name = record.case.rpartition("::")[2]
        text = f"{glyph} {name}  {'; '.join(map(str, found))}"
        page.prose(text, style=style, indent=2, hang=4)
        return
    page.prose(f"{glyph} {record.section}: {_where(record)}", style=style, indent=2, hang=4)
    widest = max((len(d.observer) for d in found), default=0)
    for deviation in found:
        observer, _, rest = str(deviation).partition(": ")
        page.prose(f"{observer:<{widest}}  {rest}", indent=6, hang=widest + 2)
    command = reproduce(record)
    if record.case.rpartition("::")[2] not in command:
        page.prose(record.case, style=_FAINT, indent=6)
    page.line(("      again: ", _FAINT), (command, ""))


def _where(record: Record) -> str:
    topology = ", ".join(filter(None, record.column))
    flow = f" ({record.stimulus})" if record.stimulus not in ("", record.row) else ""
    return f"{record.row}{flow} in {topology}" if topology else f"{record.row}{flow}"


def _print_promises(page: _Page, records: Sequence[Record]) -> None:
    broken = broken_promises(records)
    if not broken:
        return
    style = _STYLES[CellOutcome.DOCUMENTED_OTHERWISE]
    page.title("Documented otherwise: the kernel did what the model predicts, not what is written")
    for promise in broken:
        page.line()
        amount = _count(len(promise.records), "verdict")
        page.line((f"doc≠ {promise.id}", style), (f"  {amount}", ""))
        page.prose(f"“{promise.text}”", indent=5, hang=1)
        page.prose(f"{promise.source}; {promise.section}", style=_FAINT, indent=5, hang=1)
        example = promise.records[0]
        page.prose(f"for example: {_where(example)}: {_arrived(example)}", indent=5, hang=1)


def _arrived(record: Record) -> str:
    """Everybody who got the frame: a promise may be broken by another than the target."""
    copies = [name if n == 1 else f"{name} ({n})" for name, n in record.seen.items() if n]
    return f"arrives at {', '.join(copies)}" if copies else "arrives nowhere"


def _print_skipped(page: _Page, run: Run) -> None:
    skipped = [r for r in run.records if r.outcome is CellOutcome.SKIPPED]
    reasons: dict[str, list[Record]] = {}
    for record in skipped:
        reasons.setdefault(record.reason, []).append(record)
    if reasons or run.missing:
        page.title("Skipped" if reasons else "Missing here")
    for reason, records in reasons.items():
        sections = "; ".join(dict.fromkeys(record.section for record in records))
        page.prose(f"{len(records):>6,}  {reason}  ({sections})", hang=8)
    for feature, meaning in run.missing.items():
        page.prose(f"not in this kernel: {feature}: {meaning}", indent=2, hang=2)


def _print_summary(page: _Page, run: Run) -> None:
    counts = tally(run.records)
    page.title("Summary")
    for name, text in (
        ("verdicts", f"{_judged(counts):,}: {_amounts(counts, omit_zero={CellOutcome.ERROR})}"),
        ("barriers", _barriers(run.records)),
        ("time", _time(run, _judged(counts))),
        ("kernel", f"{run.kernel}, {run.machine}"),
        ("backend", _BACKENDS.get(run.backend, run.backend)),
        ("hairpin", f"{run.version}, {run.started}"),
    ):
        if text:
            page.prose(f"{name:<10}{text}", indent=2, hang=10)
    text, outcome = _conclusion(run, counts)
    page.title(text, _STYLES[outcome] if outcome else _BOLD)


def _judged(counts: Mapping[CellOutcome, int]) -> int:
    """How many verdicts there are: skipped cases and errors have none."""
    return sum(counts.values()) - counts[CellOutcome.SKIPPED] - counts[CellOutcome.ERROR]


_WORDS = {
    CellOutcome.AS_PREDICTED: "as predicted",
    CellOutcome.DOCUMENTED_OTHERWISE: "documented otherwise",
    CellOutcome.DIFFERS: "differing",
    CellOutcome.SKIPPED: "skipped",
    CellOutcome.ERROR: "failed to run",
}


def _amounts(counts: Mapping[CellOutcome, int], *, omit_zero: Collection[CellOutcome]) -> str:
    return ", ".join(
        f"{counts[outcome]:,} {words}"
        for outcome, words in _WORDS.items()
        if counts[outcome] or outcome not in omit_zero
    )


def _barriers(records: Iterable[Record]) -> str:
    """How sure the observations are: what ended the reading of each observer."""
    found = Counter(barrier for record in records for barrier in record.barriers.values())
    if not found:
        return ""
    parts = [
        f"{_count(found[Barrier.SENTINEL], 'observer')} read up to a sentinel",
        f"{found[Barrier.DEADLINE]:,} up to a deadline",
    ]
    if found[Barrier.LOST]:
        parts.append(f"{found[Barrier.LOST]:,} lost the sentinel")
    return ", ".join(parts)


def _time(run: Run, judged: int) -> str:
    whole = f"{run.seconds:.1f} s"
    if not judged or run.verdict_seconds <= 0:
        return whole
    pace = f"{judged / run.verdict_seconds:,.0f} verdicts per second"
    return f"{whole}, of which {run.verdict_seconds:.2f} s sending and reading: {pace}"


def _conclusion(run: Run, counts: Mapping[CellOutcome, int]) -> tuple[str, CellOutcome | None]:
    if counts[CellOutcome.DIFFERS]:
        cells = _count(counts[CellOutcome.DIFFERS], "cell")
        return f"The kernel differs from the model in {cells}.", CellOutcome.DIFFERS
    if counts[CellOutcome.ERROR]:
        cases = _count(counts[CellOutcome.ERROR], "case")
        return f"No answer: {cases} failed to run.", CellOutcome.ERROR
    if not _judged(counts):
        return "No answer: nothing was judged.", None
    fine = "The kernel did what the model predicts"
    if run.exit_status:
        return f"{fine}, but the run failed: exit status {run.exit_status}.", CellOutcome.ERROR
    return f"{fine}.", CellOutcome.AS_PREDICTED
