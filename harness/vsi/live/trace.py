"""What has passed the switch and what has happened, as much as there is room for."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from harness.errors import SilenceError
from harness.vsi.events import Event
from harness.vsi.words import frame_words, note_words

__all__ = ["EventLog", "Passed", "Trace"]

_MOST = 4096
_MOST_EVENTS = 1 << 14
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Passed:
    """A frame at a port: what the switch got, or sent.

    `at` is in seconds since the switch was started. `fate` is "control", "forwarded", "reflected"
    (it also goes back to where it came from) or "dropped: " and why.
    """

    at: float
    port: str
    outgoing: bool
    octets: bytes
    fate: str


class Trace:
    """The last `most` frames of each sort: control, dropped, the rest. Others are forgotten."""

    def __init__(self, most: int = _MOST) -> None:
        self._control: deque[tuple[int, Passed]] = deque(maxlen=most)
        self._dropped: deque[tuple[int, Passed]] = deque(maxlen=most)
        self._data: deque[tuple[int, Passed]] = deque(maxlen=most)
        self.count = 0
        """How many there were in all."""
        self.counts: Counter[tuple[str, bool, str]] = Counter()
        """How many by port, whether outgoing, and fate."""

    def add(self, passed: Passed) -> None:
        """Another one."""
        self.count += 1
        self.counts[passed.port, passed.outgoing, passed.fate] += 1
        if passed.fate == "control":
            self._control.append((self.count, passed))
        elif passed.fate.startswith("dropped"):
            self._dropped.append((self.count, passed))
        else:
            self._data.append((self.count, passed))

    def frames(self) -> tuple[Passed, ...]:
        """All that are remembered, in their order."""
        merged = heapq.merge(self._control, self._dropped, self._data, key=lambda one: one[0])
        return tuple(passed for _, passed in merged)


class EventLog:
    """The last events, from one thread to others."""

    def __init__(self, most: int = _MOST_EVENTS) -> None:
        self._events: deque[tuple[str, Event]] = deque(maxlen=most)
        self._changed = threading.Condition()
        self._crash: BaseException | None = None
        self._told = False
        self.count = 0
        """How many there were in all."""

    def add(self, events: list[tuple[str, Event]]) -> None:
        """More of them."""
        with self._changed:
            self._events += events
            self.count += len(events)
            self._changed.notify_all()

    def crash(self, error: BaseException) -> None:
        """There will be no more: this came of it."""
        with self._changed:
            self._crash = error
            self._changed.notify_all()

    def raise_crash(self, *, again: bool = True) -> None:
        """Raise what ended it; once only unless `again`."""
        if self._crash is not None and (again or not self._told):
            self._told = True
            raise self._crash

    def events(self) -> tuple[tuple[str, Event], ...]:
        """All that are remembered."""
        with self._changed:
            return tuple(self._events)

    def since(self, number: int, *, within: float) -> tuple[tuple[tuple[str, Event], ...], int]:
        """Those from that number on, and the number of the next; waits for one if there is none."""
        with self._changed:
            if self.count <= number and self._crash is None:
                self._changed.wait(within)
            skipped = max(number - (self.count - len(self._events)), 0)
            return tuple(islice(self._events, skipped, None)), self.count

    @property
    def forgotten(self) -> int:
        """How many are not remembered."""
        with self._changed:
            return self.count - len(self._events)

    def wait(self, predicate: Callable[[str, Event], bool], *, since: int, within: float) -> Event:
        """The first event for which `predicate` holds, of those from number `since` on."""
        give_up = time.monotonic() + within
        seen = since
        with self._changed:
            while True:
                first = self.count - len(self._events)
                for port, event in islice(self._events, max(seen - first, 0), None):
                    if predicate(port, event):
                        return event
                seen = self.count
                self.raise_crash()
                left = give_up - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise SilenceError(self._silence(since, within))

    def _silence(self, since: int, within: float) -> str:
        shown = tuple(self._events)[-min(_SHOWN, self.count - since) :]
        if self.count <= since:
            return f"nothing happened at the switch within {within:g} s"
        lines = "\n".join(f"  {event.at:8.3f} {port} {_words(event)}" for port, event in shown)
        return (
            f"what was waited for did not happen within {within:g} s; the last that did:\n{lines}"
        )


def _words(event: Event) -> str:
    if event.frame is not None:
        return f"{event.kind} {frame_words(event.frame)}"
    return note_words(event)
