"""Lays a matrix out in a width: headings that span columns, chunks of columns that fit.

rich prints it, but a rich table has no heading that spans columns.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from harness.report.cells import cell
from harness.report.matrix import Column, Matrix
from harness.report.page import BOLD, FAINT, Part

__all__ = ["Grid", "folded", "grid_lines", "lay_out"]

_LABEL = 24  # what a row's name may always take, before it is broken
_HEADING = 20  # what a heading may always take
_ON_OFF = frozenset({"off", "on"})
_MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_ALIKE = 4  # so many rows that differ in an address only become one


def folded(matrix: Matrix) -> Matrix:
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
    cells = (cell(matrix.at(row, column), short=False)[0] for column in matrix.columns)
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
class Grid:
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


def lay_out(matrix: Matrix, width: int) -> Grid:
    """The layout for `width`: flows as rows, unless it is much wider than high and does not fit."""
    upright: list[Grid] = []
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


def _grids(matrix: Matrix, width: int) -> Iterator[Grid]:
    return (_grid(matrix, width, spacing) for spacing in _GENEROUS_FIRST)


def _grid(matrix: Matrix, width: int, spacing: _Spacing) -> Grid:
    axes = _axes(matrix.columns)
    longest = max(1, *(len(text) for text in (*matrix.rows, *axes)))
    label = min(longest, max(min(_LABEL, width // 2 - 2), width * 2 // 5))
    room = width - label - len(spacing.between)
    # Without headings above, nothing holds columns together, and names of several words need bars.
    units = _units(matrix, axes, spacing, whole=len(axes) > 1)
    if any(unit.width > room for unit in units):
        units = _units(matrix, axes, spacing, whole=False)
    chunks = _chunks(units, room, len(spacing.between))
    return Grid(matrix, axes, label, spacing, chunks, all(unit.width <= room for unit in units))


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
        cells = (cell(matrix.at(row, column), short=spacing.short)[0] for row in matrix.rows)
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


def grid_lines(grid: Grid) -> Iterator[list[Part]]:
    """The lines of a laid out matrix: for each chunk its headings, a rule, its rows."""
    for i, chunk in enumerate(grid.chunks):
        if i:
            yield []
        for level in reversed(range(len(grid.axes))):
            yield from _heading_lines(grid, chunk, level)
        yield _rule(grid, chunk)
        for row in grid.matrix.rows:
            yield from _row_lines(grid, chunk, row)


def _heading_lines(grid: Grid, chunk: Sequence[_Unit], level: int) -> Iterator[list[Part]]:
    """One level of headings, each written once over all the columns that it is for."""
    spans = _spans(grid, chunk, level)
    texts = [_wrap(text, width) for text, width, _ in spans]
    height = max(map(len, texts))
    for n in range(height):
        last = n == height - 1
        line = [(f"{grid.axes[level] if last else '':>{grid.label}}", FAINT)]
        for lines, (_, width, before) in zip(texts, spans, strict=True):
            padded = [""] * (height - len(lines)) + lines
            line += [(before, FAINT), (f"{padded[n]:<{width}}", BOLD)]
        yield line


def _spans(grid: Grid, chunk: Sequence[_Unit], level: int) -> list[tuple[str, int, str]]:
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


def _rule(grid: Grid, chunk: Sequence[_Unit]) -> list[Part]:
    units = [grid.spacing.rule + "─" * unit.width for unit in chunk]
    return [("─" * grid.label + "".join(units), FAINT)]


def _row_lines(grid: Grid, chunk: Sequence[_Unit], row: str) -> Iterator[list[Part]]:
    first, *more = _label_lines(row, grid.label)
    line: list[Part] = [(f"{first:<{grid.label}}", "")]
    for unit in chunk:
        before = grid.spacing.between
        for column, width in zip(unit.columns, unit.widths, strict=True):
            text, style = cell(grid.matrix.at(row, column), short=grid.spacing.short)
            line += [(before, FAINT), (text, style), (" " * (width - len(text)), "")]
            before = " "
    yield line
    yield from ([(text, "")] for text in more)


def _label_lines(row: str, width: int) -> list[str]:
    return textwrap.wrap(row, width, subsequent_indent="  ", break_on_hyphens=False) or [""]
