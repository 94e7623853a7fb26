"""What the bridge has to say: frames, events, and what is to be done later; and the faults."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from harness.vsi.events import Event, EventKind, Outcome
from harness.vsi.facts import Association, EcpFrame, LldpFrame, Malformed, Vsi
from harness.vsi.faults import Fault, FaultKind, Faults
from harness.vsi.frames import write

__all__ = ["Outbox"]


class Outbox:
    """Gathers until `outcome`. At most `most` things are to be done later; others are left out."""

    def __init__(self, faults: Faults, most: int) -> None:
        self.faults = faults
        self._most = most
        self._frames: list[bytes] = []
        self._events: list[Event] = []
        self._later: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()

    def emit(self, frame: EcpFrame | LldpFrame, now: float) -> None:
        """Send a frame."""
        self._frames.append(write(frame))
        self.told(now, EventKind.SENT, frame)

    def told(self, now: float, kind: EventKind, frame: EcpFrame | LldpFrame | Malformed) -> None:
        """Tell of a frame."""
        self._events.append(Event(now, kind, frame=frame))

    def note(self, now: float, kind: EventKind, text: str, vsi: Vsi | None = None) -> None:
        """Tell of anything else."""
        self._events.append(Event(now, kind, text, vsi))

    def fault(self, kind: FaultKind, asked: tuple[Association, ...], now: float) -> Fault | None:
        """The fault that is due, which is told of."""
        fault = self.faults.take(kind, asked)
        if fault:
            self.note(now, EventKind.FAULT, kind, asked[0].vsi if asked else None)
        return fault

    def after(self, seconds: float, now: float, work: Callable[[float], None]) -> None:
        """Do something later; it is given the time that it is then."""
        if len(self._later) < self._most:
            heapq.heappush(self._later, (now + seconds, next(self._order), work))

    @property
    def deadline(self) -> float | None:
        """When the next thing is to be done."""
        return self._later[0][0] if self._later else None

    def catch_up(self, now: float) -> None:
        """Do all that is to be done by now."""
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2](now)

    def forget(self) -> None:
        """Do none of it."""
        self._later.clear()

    def outcome(self) -> Outcome:
        """All that has gathered."""
        outcome = Outcome(tuple(self._frames), tuple(self._events))
        self._frames, self._events = [], []
        return outcome
