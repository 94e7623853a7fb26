"""What came of machines: a line or two each on the terminal, and files in their folders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HairpinError
from harness.machines.kernel import Kernel
from harness.machines.outcome import Ended, Lost, Report, TimedOut
from harness.report.across import Ending, State, write_ending
from harness.report.terminal import make_console

__all__ = ["MachineRow", "machine_lines", "print_machine", "write_machine", "write_outcome"]

_SHOWN = 15  # lines of what a failed command wrote, or of the console of a lost machine


@dataclass(frozen=True)
class MachineRow:
    """What came of one kernel: a report, or the error that kept it from being booted."""

    name: str
    release: str
    folder: Path
    report: Report | None
    error: HairpinError | None


def print_machine(row: MachineRow, *, quiet: bool) -> None:
    """Say what came of one machine; `quiet`: its output has been shown already."""
    console = make_console()
    for line in machine_lines(row, quiet=quiet):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def machine_lines(row: MachineRow, *, quiet: bool) -> list[str]:
    """The lines that say what came of one machine: what, why, and where the rest is."""
    title = row.name if row.release in row.name else f"{row.name} ({row.release})"
    report = row.report
    if report is None:
        return [f"{title}: no result: {row.error}"]
    up = "" if report.boot is None else f"up in {report.boot:.1f} s, "
    lines = [
        f"{title}: {_words(report)}",
        f"  {report.accelerator} ({report.reason}), {up}{report.seconds:.1f} s in all",
    ]
    for trouble in report.troubles:
        lines.append(f"  the kernel complained: {trouble}")
    for trouble in report.early:
        lines.append(f"  the kernel complained while it started: {trouble}")
    if report.boot is not None and not report.heard:
        lines.append(
            "  its warnings do not come out of its serial port (8250.nr_uarts=, loglevel=, quiet): "
            "whether it complained is not known"
        )
    lost = not isinstance(report.outcome, Ended)
    if lost and (troubles := report.troubles or report.early):  # which say more than the end does
        lines += [f"    {line}" for line in troubles[-1].lines]
    elif lost:
        lines += ["  the end of its console:", *_tail(report.console)]
    if not quiet and (lost or report.outcome != Ended(0)):
        output = row.folder / "output.txt"
        text = output.read_text(errors="replace") if output.exists() else ""
        lines += ["  the end of its output:", *_tail(text)]
    return lines


def _words(report: Report) -> str:
    match report.outcome:
        case Ended(status):
            return f"exit status {status}"
        case TimedOut(seconds):
            return f"not done within {seconds:g} s"
        case Lost(reason):
            return f"lost: it {reason}"


def _tail(text: str) -> list[str]:
    return [f"    {line}" for line in text.splitlines()[-_SHOWN:]] or ["    (nothing)"]


def write_machine(report: Report, kernel: Kernel, folder: Path) -> None:
    """Keep what is known of a machine: machine.json, console.txt. Raises OSError."""
    outcome: dict[str, Any] = {"kind": type(report.outcome).__name__.lower()}
    match report.outcome:
        case Ended(status):
            outcome["status"] = status
        case TimedOut(seconds):
            outcome["seconds"] = seconds
        case Lost(reason):
            outcome["reason"] = reason
    document = {
        "kernel": kernel.name,
        "release": kernel.release,
        "outcome": outcome,
        "accelerator": report.accelerator,
        "reason": report.reason,
        "boot": report.boot,
        "seconds": report.seconds,
        "heard": report.heard,
        "troubles": [
            {"kind": x.kind.value, "where": x.where, "lines": list(x.lines), "early": early}
            for early, found in ((True, report.early), (False, report.troubles))
            for x in found
        ],
    }
    (folder / "machine.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (folder / "console.txt").write_text(report.console, encoding="utf-8")


def write_outcome(row: MachineRow) -> None:
    """Say in the row's folder how it ended: outcome.json, for a matrix. Raises UsageError."""
    write_ending(ending_of(row), row.folder)


def ending_of(row: MachineRow) -> Ending:
    """How a run ended that was started in a machine."""
    if row.report is None:
        return Ending(State.FAILED, row.name, row.release, reason=str(row.error))
    match row.report.outcome:
        case Ended(status):
            state, reason = _FINISHED.get(status, State.FINISHED), ""
            if not (row.folder / "results.json").exists():
                reason = "its command left no results"
            return Ending(state, row.name, row.release, status, reason)
        case TimedOut():
            state, reason = State.TIMED_OUT, f"it was {_words(row.report)}"
        case Lost(why):
            state, reason = State.DIED, f"it {why}"
    return Ending(state, row.name, row.release, reason=reason)


_FINISHED = {130: State.INTERRUPTED, 3: State.UNFIT}
