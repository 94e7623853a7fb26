"""A comparison as a person reads it: both runs, then each cell that differs, with both traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from rich.console import Console

from harness.report.cells import STYLES
from harness.report.compare import Change, Comparison, Shift, Side
from harness.report.matrix import tally
from harness.report.page import BOLD, FAINT, Page, count
from harness.report.record import CellOutcome, Record

__all__ = ["print_comparison"]

_DETAILED = 20  # cells told in full; further ones in a line each
_ABOUT = (
    ("kernel", "kernel"),
    ("machine", "machine"),
    ("backend", "backend"),
    ("hairpin", "version"),
    ("started", "started"),
)
_ANYWAY = ("", "file", "started")  # not the same in two runs anyway


def print_comparison(
    comparison: Comparison, console: Console, *, names: tuple[str, str], whole: bool = False
) -> None:
    """Print `comparison` of the runs called `names`.

    Cells beyond the first twenty have a line each, unless `whole` asks for all of everything.
    """
    page = Page(console, console.options.ascii_only)
    _print_runs(page, comparison, names)
    both = [change for change in comparison.changes if change.only_in is None]
    for i, change in enumerate(both):
        _print_change(page, change, brief=i >= _DETAILED and not whole)
    if len(both) > _DETAILED and not whole:
        page.line()
        page.prose(f"The last {len(both) - _DETAILED:,} are in short; --all tells them in full.")
    for side, name in zip(Side, names, strict=True):
        _print_lonely(page, comparison, side, name, whole=whole)
    _print_conclusion(page, comparison, both)


def _print_runs(page: Page, comparison: Comparison, names: tuple[str, str]) -> None:
    runs = (comparison.before, comparison.after)
    rows = [("", *Side), ("file", *names)]
    rows += [(label, *(str(getattr(run, field)) for run in runs)) for label, field in _ABOUT]
    rows += [("missing", *(", ".join(run.missing) or "nothing" for run in runs))]
    behaves = [", ".join(x for x, so in run.behaviours.items() if so) for run in runs]
    rows += [("behaves", *behaves)] if any(behaves) else []
    rows += [
        (outcome.value, *(f"{tally(run.records)[outcome]:,}" for run in runs))
        for outcome in CellOutcome
        if any(tally(run.records)[outcome] for run in runs)
    ]
    first, second = (max(len(row[i]) for row in rows) for i in (0, 1))
    for label, before, after in rows:
        mark = "  ≠" if label not in _ANYWAY and before != after else ""
        style = BOLD if not label else ""
        page.line((f"{label:<{first}}  ", FAINT), (f"{before:<{second}}  {after}{mark}", style))


def _print_change(page: Page, change: Change, *, brief: bool) -> None:
    before, after = change.before, change.after
    if before is None or after is None:
        return
    outcomes = f"{before.outcome} → {after.outcome}"
    if before.outcome is after.outcome:
        outcomes = f"{after.outcome} in both"
    text = f"{change.place}: {outcomes}"
    style = STYLES[after.outcome]
    if brief:
        shifts = "; ".join(map(_shift, change.shifts))
        page.prose(f"{text}  {shifts}", style=style, hang=4)
        return
    page.line()
    page.prose(text, style=style, hang=4)
    page.prose(change.place.case, style=FAINT, indent=4, hang=2)
    for shift in change.shifts:
        page.prose(_shift(shift), indent=4, hang=2)
    for side, record in zip(Side, (before, after), strict=True):
        for text in (*record.causes, record.reason):
            if text:
                page.prose(f"{side}: {text}", indent=4, hang=3)
    _print_traces(page, before, after)


def _shift(shift: Shift) -> str:
    """`b: predicted 1, seen 0 → 1`: what is the same in both runs stands once."""
    return f"{shift.observer}: predicted {_both(shift.predicted)}, seen {_both(shift.seen)}"


def _both(counts: tuple[int | None, int | None]) -> str:
    before, after = ("unknown" if count is None else str(count) for count in counts)
    return before if before == after else f"{before} → {after}"


def _print_traces(page: Page, before: Record, after: Record) -> None:
    """The model's way of the frame in both runs: one where they agree, else line by line."""
    if not before.trace and not after.trace:
        if {before.outcome, after.outcome} & _JUDGED:
            page.prose("no trace in either file", style=FAINT, indent=4)
        return
    if before.trace == after.trace:
        page.line(("    The model's way of the frame, in both:", FAINT))
    else:
        page.line(("    The model's way of the frame, - in A, + in B:", FAINT))
    for mark, step in _side_by_side(before.trace, after.trace):
        style = {"-": "red", "+": "green"}.get(mark, "")
        page.prose(f"{mark} {step}", style=style, indent=6, hang=4)


_JUDGED = {CellOutcome.AS_PREDICTED, CellOutcome.DOCUMENTED_OTHERWISE, CellOutcome.DIFFERS}


def _side_by_side(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, str]]:
    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if kind == "equal":
            yield from ((" ", step) for step in before[old_from:old_to])
        else:
            yield from (("-", step) for step in before[old_from:old_to])
            yield from (("+", step) for step in after[new_from:new_to])


def _print_lonely(
    page: Page, comparison: Comparison, side: Side, name: str, *, whole: bool
) -> None:
    """Cells that only one run has."""
    lonely = [change for change in comparison.changes if change.only_in is side]
    if not lonely:
        return
    page.title(f"Only in {side} ({name}): {count(len(lonely), 'cell')}")
    shown = lonely if whole else lonely[:_DETAILED]
    for change in shown:
        record = change.before or change.after
        if record is not None:
            page.prose(f"{change.place}: {record.outcome}", indent=2, hang=4)
            page.prose(change.place.case, style=FAINT, indent=6, hang=2)
    if len(shown) < len(lonely):
        page.prose(f"… and {len(lonely) - len(shown):,} more; --all names them", indent=2)


def _print_conclusion(page: Page, comparison: Comparison, both: Sequence[Change]) -> None:
    alike = f"{count(comparison.alike, 'cell')} alike"
    if not comparison.changes:
        page.title(f"No difference: {alike}.", STYLES[CellOutcome.AS_PREDICTED])
        return
    parts = [f"{count(len(both), 'cell')} not the same"] if both else []
    for side in Side:
        lonely = sum(change.only_in is side for change in comparison.changes)
        parts += [f"{count(lonely, 'cell')} only in {side}"] if lonely else []
    page.title(f"{', '.join(parts)}; {alike}.", STYLES[CellOutcome.DIFFERS])
