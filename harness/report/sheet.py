"""A plain table: labels at the left, broken between words; the rest as wide as it must be.

path             frame  median
───────────────  ─────  ──────────────
macvtap bridge,     64  1.23 Mframes/s
direct            1518  1.02 Mframes/s
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest

from harness.report.page import FAINT, Page, Part

__all__ = ["Row", "Sheet"]

_GAP = "  "
_NARROWEST = 10  # columns that a label is given even where the rest then does not fit


@dataclass(frozen=True)
class Row:
    """A label, written once for all rows of it that follow each other, and the other cells."""

    label: str
    cells: tuple[Part, ...]


@dataclass(frozen=True)
class Sheet:
    """`headings` of the labels and of each further column; those in `left` are aligned left.

    Those in `optional` give way, the first of them first, where there is no room for them.
    """

    headings: tuple[str, ...]
    rows: Sequence[Row]
    left: frozenset[str] = frozenset()
    optional: tuple[str, ...] = ()

    def print(self, page: Page) -> None:
        """Print it, no wider than `page` where that is possible; columns of nothing are left out.

        Does nothing without rows.
        """
        if not self.rows:
            return
        kept = self._kept(page.width)
        headings = [self.headings[i + 1] for i in kept]
        widths = [self._width(i) for i in kept]
        label = self._label_width(page.width - self._taken(kept))
        blank = [(heading, FAINT) for heading in headings]
        self._line(page, (self.headings[0], FAINT), blank, headings, [label, *widths])
        page.line((_GAP.join("─" * width for width in (label, *widths)), FAINT))
        for name, alike in groupby(self.rows, lambda row: row.label):
            texts = textwrap.wrap(name, label, break_on_hyphens=False)
            for text, row in zip_longest(texts, alike):
                cells = [row.cells[i] for i in kept] if row else [("", "")] * len(kept)
                self._line(page, (text or "", ""), cells, headings, [label, *widths])

    def _kept(self, width: int) -> list[int]:
        """The columns that are shown: not those of nothing, nor what there is no room for."""
        columns = range(len(self.headings) - 1)
        kept = [i for i in columns if any(row.cells[i][0] for row in self.rows)]
        for heading in self.optional:
            room = width - self._taken(kept)
            if room >= min(self._label_width(room), _NARROWEST):
                break
            kept = [i for i in kept if self.headings[i + 1] != heading]
        return kept

    def _width(self, column: int) -> int:
        cells = (len(row.cells[column][0]) for row in self.rows)
        return max(len(self.headings[column + 1]), *cells)

    def _taken(self, columns: Sequence[int]) -> int:
        return sum(self._width(i) + len(_GAP) for i in columns)

    def _label_width(self, room: int) -> int:
        longest = max(len(self.headings[0]), *(len(row.label) for row in self.rows))
        return min(longest, max(room, _NARROWEST))

    def _line(
        self,
        page: Page,
        label: Part,
        cells: Sequence[Part],
        headings: Sequence[str],
        widths: Sequence[int],
    ) -> None:
        parts = [(f"{label[0]:<{widths[0]}}", label[1])]
        for (text, style), heading, width in zip(cells, headings, widths[1:], strict=True):
            aligned = f"{text:<{width}}" if heading in self.left else f"{text:>{width}}"
            parts += [(_GAP, ""), (aligned, style)]
        page.line(*parts)
