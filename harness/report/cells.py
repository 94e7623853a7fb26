"""What stands in a cell of the matrix, and the legend to it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.matrix import deviations
from harness.report.page import FAINT, Page, Part
from harness.report.record import CellOutcome, Record

__all__ = ["EMPTY", "STYLES", "cell", "copies_of", "difference_of", "print_legend"]

STYLES = {
    CellOutcome.AS_PREDICTED: "green",
    CellOutcome.DOCUMENTED_OTHERWISE: "bold yellow",
    CellOutcome.DIFFERS: "bold red",
    CellOutcome.HOLDS: "green",
    CellOutcome.BROKEN: "bold red",
    CellOutcome.SKIPPED: "dim",
    CellOutcome.ERROR: "bold magenta",
}
_NOTHING_ARRIVES = "dim green"
EMPTY = "·"


def copies_of(record: Record) -> str:
    """How many copies the focus saw, as text; empty when that is not known."""
    return str(record.seen[record.focus]) if record.focus in record.seen else ""


def difference_of(record: Record) -> str:
    """The focus of a differing record in a cell's space."""
    found = {d.observer: d for d in deviations(record)}.get(record.focus)
    if found is None:
        return "✗"
    if found.predicted != found.seen:
        return f"✗{found.seen}≠{found.predicted}"
    return "✗lost" if found.lost else "✗data"


def cell(record: Record | None, *, short: bool) -> Part:
    """What stands in a cell; `short`: in four characters at most."""
    if record is None:
        return EMPTY, FAINT
    style = STYLES[record.outcome]
    if record.outcome is CellOutcome.SKIPPED:
        return "skip", style
    if record.outcome is CellOutcome.ERROR:
        return "!", style
    if record.outcome in (CellOutcome.HOLDS, CellOutcome.BROKEN):
        return "✓" if record.outcome is CellOutcome.HOLDS else "✗", style
    if record.outcome is CellOutcome.DIFFERS:
        difference = difference_of(record)
        return "✗" if short and len(difference) > 4 else difference, style
    copies = copies_of(record)
    if record.outcome is CellOutcome.DOCUMENTED_OTHERWISE:
        return "doc≠" if short else f"doc≠{copies}", style
    return f"✓{copies}", _NOTHING_ARRIVES if copies == "0" else style


_LEGEND = {
    CellOutcome.AS_PREDICTED: ("✓1", "as predicted: one copy arrived, ✓0 none"),
    CellOutcome.DOCUMENTED_OTHERWISE: ("doc≠1", "as predicted, the documentation says otherwise"),
    CellOutcome.DIFFERS: ("✗1≠0", "one copy, none predicted"),
    CellOutcome.HOLDS: ("✓", "a check that holds"),
    CellOutcome.BROKEN: ("✗", "a check that does not hold"),
    CellOutcome.SKIPPED: ("skip", "not possible here"),
    CellOutcome.ERROR: ("!", "no verdict: the case failed to run"),
}


def print_legend(page: Page, records: Sequence[Record]) -> None:
    """What the glyphs mean, of those that occur: as many to a line as fit."""
    outcomes = {record.outcome for record in records}
    line: list[Part] = []
    for outcome in (o for o in CellOutcome if o in outcomes):
        glyph, meaning = _LEGEND[outcome]
        entry = [(glyph, STYLES[outcome]), (f" {meaning}", "")]
        if line and sum(len(text) for text, _ in (*line, *entry)) > page.width:
            page.broken(*line)
            line = []
        line += [*entry, ("   ", "")]
    if line:
        page.broken(*line)
