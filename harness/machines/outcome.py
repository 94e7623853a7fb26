"""What can come of a machine: its command ended, did not end in time, or the machine was lost."""

from __future__ import annotations

from dataclasses import dataclass

from harness.machines.oops import Trouble

__all__ = ["Ended", "Lost", "Outcome", "Report", "TimedOut"]


@dataclass(frozen=True, slots=True)
class Ended:
    """The command ended by itself, with this exit status (128 + N: by signal N)."""

    status: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The machine was up, and its command not done after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Lost:
    """The machine did not come up, or went before its command ended; `reason` is one clause."""

    reason: str


Outcome = Ended | TimedOut | Lost


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one machine.

    `accelerator` and `reason` say what ran it and why, `boot` the seconds until it was up (None
    where it never was), `seconds` those from start to end. `console` is all that the kernel
    wrote, `troubles` what it complained of once it was up, `early` what before. `heard` says
    whether its warnings come out of its console at all.
    """

    outcome: Outcome
    accelerator: str
    reason: str
    boot: float | None
    seconds: float
    console: str
    troubles: tuple[Trouble, ...]
    early: tuple[Trouble, ...] = ()
    heard: bool = True

    @property
    def tail(self) -> str:
        """The last lines of the console."""
        return "\n".join(self.console.splitlines()[-_TAIL:])


_TAIL = 25
