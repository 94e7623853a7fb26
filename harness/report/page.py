"""Lines onto a console: styles, prose, and plain ASCII where there is nothing better."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

__all__ = ["BOLD", "FAINT", "Page", "Part", "count"]

BOLD, FAINT = "bold", "dim"
# One character for one, so that columns stay columns.
_ASCII = str.maketrans("✓✗≠→─│┼·…–“”µ×▶◀●", '+X/>-|+.~-""ux><*')

Part = tuple[str, str]
"""Text and its style."""


@dataclass(frozen=True)
class Page:
    """Lines onto a console, none of them taken for markup."""

    console: Console
    ascii: bool

    @property
    def width(self) -> int:
        """Columns of text in a line."""
        return self.console.width

    def line(self, *parts: Part) -> None:
        """One line, however long."""
        self.console.print(self._text(parts), soft_wrap=True)

    def broken(self, *parts: Part) -> None:
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

    def title(self, text: str, style: str = BOLD) -> None:
        """An empty line and a heading."""
        self.line()
        self.prose(text, style=style)

    def _text(self, parts: Sequence[Part]) -> Text:
        text = Text.assemble(*((self.encodable(text), style) for text, style in parts))
        text.rstrip()
        return text

    def encodable(self, text: str) -> str:
        """The text, in ASCII where there is nothing better."""
        if not self.ascii:
            return text
        return text.translate(_ASCII).encode("ascii", "replace").decode()


def count(number: int, noun: str) -> str:
    """`1 case`, `2 cases`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
