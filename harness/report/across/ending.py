"""outcome.json: how a run ended, as seen by whoever started it somewhere else.

A machine that has died writes no results. Who started it (a virtual machine, a host of an
inventory) leaves this file in the folder where its results would be.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from harness.errors import UsageError
from harness.report.document import (
    TEXT,
    Field,
    dump,
    is_count,
    is_one_of,
    load,
    picked,
    write_whole,
)
from harness.report.record import Run

__all__ = ["OUTCOME_FILE", "OUTCOME_SCHEMA", "Ending", "State", "read_ending", "write_ending"]

OUTCOME_FILE = "outcome.json"
OUTCOME_SCHEMA = "hairpin-outcome/1"


class State(StrEnum):
    """What became of a run as a whole."""

    FINISHED = "finished"  # to its end, whatever it found
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed out"
    DIED = "died"  # the machine: a panic, a lost serial port, QEMU gone
    UNFIT = "unfit"  # hairpin itself said that this machine cannot do it
    FAILED = "failed"  # it could not be started there, or its results not be fetched
    MISSING = "missing"  # nobody says


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    `name` is what it is called where it was started: a kernel's name, a host. `kernel` is its
    release, "" where it never said. `status` is the exit status of the command, None where there
    is none. `reason` says in a sentence why there are no results, or not all.
    """

    state: State
    name: str = ""
    kernel: str = ""
    status: int | None = None
    reason: str = ""


_FIELDS: dict[str, Field] = {
    "state": (is_one_of(State), f"one of {', '.join(State)}"),
    "name": TEXT,
    "kernel": TEXT,
    "status": (lambda value: value is None or is_count(value), "an exit status, or null"),
    "reason": TEXT,
}
_LATER = {"name": "", "kernel": "", "status": None, "reason": ""}
# 2 is pytest's word for it, which stood in results.json before; what is used wrongly writes none.
_INTERRUPTED = (130, 2)
_UNFIT = 3


def write_ending(ending: Ending, folder: Path) -> None:
    """Leave `ending` as outcome.json in `folder`. Raises UsageError when that cannot be."""
    document = {"schema": OUTCOME_SCHEMA, **asdict(ending)}
    write_whole(folder / OUTCOME_FILE, f"{dump(document)}\n".encode())


def read_ending(folder: Path, run: Run | None) -> Ending:
    """How the run in `folder` ended, whose results are `run`; None: it left none.

    outcome.json says so, and where there is none the results themselves. Raises UsageError
    naming the file when it makes no sense.
    """
    path = folder / OUTCOME_FILE
    if path.exists():
        document = load(path)
        if not isinstance(document, dict) or document.get("schema") != OUTCOME_SCHEMA:
            raise UsageError(f"{path}: not how a run ended: no schema {OUTCOME_SCHEMA!r}")
        known = picked(document, _FIELDS, f"{path}: ", later=_LATER)
        return Ending(**{**known, "state": State(known["state"])})
    if run is None:
        return Ending(
            State.MISSING, reason="no results: it was ended before its end, or never began"
        )
    return Ending(_state_of(run), status=run.exit_status)


def _state_of(run: Run) -> State:
    if run.exit_status in _INTERRUPTED:
        return State.INTERRUPTED
    return State.UNFIT if run.exit_status == _UNFIT else State.FINISHED
