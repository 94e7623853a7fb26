"""A run as a person reads it: a matrix for each section, then what needs explaining.

          │ vepa   │ vepa     │ bridge
          │ → vepa │ → bridge │ → vepa
  hairpin │ off on │ off  on  │ off on
──────────┼────────┼──────────┼────────
a → b     │ ✓0  ✓1 │ ✓0   ✓1  │ ✓0  ✓1
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TextIO

from rich.console import Console

from harness.report.cells import STYLES, print_legend
from harness.report.folder import MOST_EVIDENCE
from harness.report.grid import folded, grid_lines, lay_out
from harness.report.matrix import (
    Matrix,
    broken_promises,
    deviations,
    matrices,
    reproduce,
    tally,
)
from harness.report.page import BOLD, FAINT, Page, count
from harness.report.record import CellOutcome, Record, Run
from harness.testbed.verdict import Barrier

__all__ = ["make_console", "print_run"]

_PLAIN_WIDTH = 120  # where nobody says how wide: a file, a pipe, a log
_FAILED = (CellOutcome.ERROR, CellOutcome.DIFFERS, CellOutcome.BROKEN)
_DETAILED = 10  # failures of one cause told in full; further ones in a line each

_BACKENDS = {
    "tap": "tap: descriptors as a hypervisor uses them",
    "packet": "packet: packet sockets on the macvtap links",
}


def make_console(file: TextIO | None = None) -> Console:
    """A console on `file` (stdout): the terminal's width, 120 columns where there is none.

    COLUMNS, NO_COLOR and FORCE_COLOR are heeded, as rich does.
    """
    console = Console(file=file, highlight=False)
    # Not console.is_terminal, which FORCE_COLOR makes true where there is no width to ask for.
    if not console.file.isatty() and not os.environ.get("COLUMNS", "").isdigit():
        console.width = _PLAIN_WIDTH
    return console


def print_run(
    run: Run, console: Console, *, folder: Path | None = None, matrix: bool = True
) -> None:
    """Print `run`: legend, matrices, differences, documented otherwise, skipped, summary.

    Without `matrix`: differences and summary. `folder` is the run's, for paths of evidence.
    No line is wider than `console`, but for what is to be copied, which stays whole.
    """
    page = Page(console, console.options.ascii_only)
    if matrix:
        print_legend(page, run.records)
        for section in matrices(run.records):
            _print_section(page, section)
    _print_failures(page, run.records, folder)
    if matrix:
        _print_explained(page, run.records)
        _print_promises(page, run.records)
        _print_skipped(page, run)
    _print_summary(page, run)


def _print_section(page: Page, matrix: Matrix) -> None:
    counts = tally(matrix.records)
    skipped = counts[CellOutcome.SKIPPED]
    if skipped == len(matrix.records):
        reasons = dict.fromkeys(record.reason for record in matrix.records)
        why = next(iter(reasons)) if len(reasons) == 1 else f"{len(reasons)} reasons, see below"
        page.title(f"{matrix.title}: {count(skipped, 'case')} skipped: {why}", FAINT)
        return
    page.title(matrix.title)
    page.prose(_amounts(counts, omit_zero=set(CellOutcome)), style=FAINT)
    # What holds or is skipped without a verdict is counted, not listed: there are too many.
    shown = [r for r in matrix.records if r.outcome is not CellOutcome.HOLDS]
    if all(record.outcome is CellOutcome.SKIPPED for record in shown):
        return
    page.line()
    for shown_matrix in matrices(shown):
        for line in grid_lines(lay_out(folded(shown_matrix), page.width)):
            page.line(*line)


def _print_failures(page: Page, records: Sequence[Record], folder: Path | None) -> None:
    """Every differing cell and every error, those with one cause together."""
    failed = [r for r in records if r.outcome in _FAILED]
    if not failed:
        return
    counts = tally(failed)
    differing, errors = counts[CellOutcome.DIFFERS], counts[CellOutcome.ERROR]
    broken = counts[CellOutcome.BROKEN]
    parts = [
        *([f"{count(differing, 'cell')} not as predicted"] if differing else []),
        *([f"{count(broken, 'check')} not kept"] if broken else []),
        *([f"{count(errors, 'case')} failed to run"] if errors else []),
    ]
    page.title(", ".join(parts), STYLES[CellOutcome.DIFFERS])
    for explanation, members in _by_explanation(failed).items():
        page.line()
        for text in explanation:
            page.prose(text, style=BOLD, hang=2)
        for i, record in enumerate(members):
            _print_failure(page, record, folder, brief=i >= _DETAILED)
    kept = sum(bool(record.evidence) for record in failed)
    if kept and kept < differing:
        page.line()
        page.prose(
            f"Evidence was kept of {kept:,} of the {count(differing, 'differing cell')}: "
            f"of no more than {MOST_EVIDENCE} in one run."
        )


def _by_explanation(failed: Iterable[Record]) -> dict[tuple[str, ...], list[Record]]:
    """Records by what would explain them: one broken rule often fails a hundred cells."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in failed:
        texts = tuple(f"likely cause: {cause}" for cause in record.causes)
        groups.setdefault(texts + ((record.reason,) if record.reason else ()), []).append(record)
    return groups


def _print_failure(page: Page, record: Record, folder: Path | None, *, brief: bool) -> None:
    glyph = "!" if record.outcome is CellOutcome.ERROR else "✗"
    style = STYLES[record.outcome]
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
    for finding in record.findings:
        page.prose(finding, indent=6, hang=2)
    command = reproduce(record)
    if record.case.rpartition("::")[2] not in command:
        page.prose(record.case, style=FAINT, indent=6)
    page.line(("      again: ", FAINT), (command, ""))
    if record.evidence:
        path = str(folder / record.evidence) if folder else record.evidence
        page.line(("      evidence: ", FAINT), (path, ""))


def _where(record: Record) -> str:
    topology = ", ".join(filter(None, record.column))
    flow = f" ({record.stimulus})" if record.stimulus not in ("", record.row) else ""
    return f"{record.row}{flow} in {topology}" if topology else f"{record.row}{flow}"


def _print_explained(page: Page, records: Sequence[Record]) -> None:
    """What is not as one would think though nothing is wrong, and why."""
    reasons: dict[str, list[Record]] = {}
    for record in records:
        if record.outcome is CellOutcome.AS_PREDICTED and record.reason:
            reasons.setdefault(record.reason, []).append(record)
    if reasons:
        page.title("Explained")
    for reason, members in reasons.items():
        page.line()
        page.prose(reason, style=BOLD, indent=2, hang=2)
        for where, several in groupby(members, key=lambda record: " with ".join(record.column)):
            rows = ", ".join(dict.fromkeys(record.row for record in several))
            page.prose(f"{where}: {rows}", indent=4, hang=2)


def _print_promises(page: Page, records: Sequence[Record]) -> None:
    broken = broken_promises(records)
    if not broken:
        return
    style = STYLES[CellOutcome.DOCUMENTED_OTHERWISE]
    page.title("Documented otherwise: the kernel did what the model predicts, not what is written")
    for promise in broken:
        page.line()
        amount = count(len(promise.records), "verdict")
        page.line((f"doc≠ {promise.id}", style), (f"  {amount}", ""))
        page.prose(f"“{promise.text}”", indent=5, hang=1)
        page.prose(f"{promise.source}; {promise.section}", style=FAINT, indent=5, hang=1)
        example = promise.records[0]
        page.prose(f"for example: {_where(example)}: {_arrived(example)}", indent=5, hang=1)


def _arrived(record: Record) -> str:
    """Everybody who got the frame: a promise may be broken by another than the target."""
    copies = [name if n == 1 else f"{name} ({n})" for name, n in record.seen.items() if n]
    return f"arrives at {', '.join(copies)}" if copies else "arrives nowhere"


def _print_skipped(page: Page, run: Run) -> None:
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


def _print_summary(page: Page, run: Run) -> None:
    counts = tally(run.records)
    verdicts = {**counts, CellOutcome.HOLDS: 0, CellOutcome.BROKEN: 0}
    page.title("Summary")
    for name, text in (
        ("verdicts", f"{_judged(counts):,}: {_amounts(verdicts, omit_zero=_OTHERS)}"),
        ("checks", _checks(counts)),
        ("barriers", _barriers(run.records)),
        ("time", _time(run, _judged(counts))),
        ("kernel", f"{run.kernel}, {run.machine}"),
        ("backend", _BACKENDS.get(run.backend, run.backend)),
        ("hairpin", f"{run.version}, {run.started}"),
    ):
        if text:
            page.prose(f"{name:<10}{text}", indent=2, hang=10)
    text, outcome = _conclusion(run, counts)
    page.title(text, STYLES[outcome] if outcome else BOLD)


def _checks(counts: Mapping[CellOutcome, int]) -> str:
    """Those that need no frame sent: errnos, counters, clients."""
    held, broken = counts[CellOutcome.HOLDS], counts[CellOutcome.BROKEN]
    return f"{held + broken:,}: {held:,} hold, {broken:,} do not" if held + broken else ""


def _judged(counts: Mapping[CellOutcome, int]) -> int:
    """How many verdicts there are: skipped cases and errors have none."""
    return sum(counts[outcome] for outcome in _VERDICTS)


_VERDICTS = (
    CellOutcome.AS_PREDICTED,
    CellOutcome.DOCUMENTED_OTHERWISE,
    CellOutcome.DIFFERS,
)
_OTHERS = {CellOutcome.ERROR, CellOutcome.HOLDS, CellOutcome.BROKEN}
_WORDS = {
    CellOutcome.AS_PREDICTED: "as predicted",
    CellOutcome.DOCUMENTED_OTHERWISE: "documented otherwise",
    CellOutcome.DIFFERS: "differing",
    CellOutcome.HOLDS: "checks hold",
    CellOutcome.BROKEN: "checks do not hold",
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
        f"{count(found[Barrier.SENTINEL], 'observer')} read up to a sentinel",
        f"{found[Barrier.DEADLINE]:,} up to a deadline",
    ]
    if found[Barrier.ORDER]:
        parts.insert(1, f"{found[Barrier.ORDER]:,} vouched for by others'")
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
        cells = count(counts[CellOutcome.DIFFERS], "cell")
        return f"The kernel differs from the model in {cells}.", CellOutcome.DIFFERS
    if counts[CellOutcome.BROKEN]:
        broken = count(counts[CellOutcome.BROKEN], "check")
        return f"The kernel does not keep {broken}.", CellOutcome.BROKEN
    if counts[CellOutcome.ERROR]:
        cases = count(counts[CellOutcome.ERROR], "case")
        return f"No answer: {cases} failed to run.", CellOutcome.ERROR
    if not _judged(counts) and not counts[CellOutcome.HOLDS]:
        return "No answer: nothing was judged.", None
    fine = "The kernel did what the model predicts"
    if run.exit_status:
        return f"{fine}, but the run failed: exit status {run.exit_status}.", CellOutcome.ERROR
    return f"{fine}.", CellOutcome.AS_PREDICTED
