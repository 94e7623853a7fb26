"""Stations of hairpin's own on real links: a Peer with a port, served in the caller's thread.

Peer -- LivePeer -- Port ==== link ==== Port -- EvbSwitch
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from harness.errors import SilenceError
from harness.vsi.events import Event, EventKind, Outcome
from harness.vsi.facts import Association
from harness.vsi.live.ports import Port
from harness.vsi.numbers import ETHERTYPES
from harness.vsi.peer import Peer

__all__ = ["LivePeer", "serve"]

_CONTROL_TYPES = frozenset(ethertype.to_bytes(2, "big") for ethertype in ETHERTYPES)
_BATCH = 64  # frames of a station in one turn
_KEPT = 4096
_LONGEST_WAIT = 1.0  # seconds
_SHOWN = 5


class LivePeer:
    """The station `peer`, whose clock is at 0 now, at `port`, which stays its owner's.

    `events` are its last ones but for each frame, `frames` the last that were no control frames;
    `sent` and `heard` count control frames.
    """

    def __init__(self, port: Port, peer: Peer) -> None:
        self.port = port
        self.peer = peer
        self.sent = 0
        self.heard = 0
        self.events: deque[Event] = deque(maxlen=_KEPT)
        self.frames: deque[bytes] = deque(maxlen=_KEPT)
        self._started = time.monotonic()

    @property
    def now(self) -> float:
        """Its time in seconds."""
        return time.monotonic() - self._started

    def ask(self, associations: Iterable[Association]) -> None:
        """See Peer."""
        self._take(self.peer.ask(associations, self.now))

    def goodbye(self) -> None:
        """See Peer."""
        self._take(self.peer.goodbye(self.now))

    def keep_time(self) -> float:
        """Do what is due; the seconds until there is more."""
        if self.peer.deadline <= self.now:
            self._take(self.peer.advance(self.now))
        return max(self.peer.deadline - self.now, 0.0)

    def read(self) -> bool:
        """Take what has come, up to a batch; whether there may be more."""
        for _ in range(_BATCH):
            frame = self.port.read()
            if frame is None:
                return False
            if frame[12:14] in _CONTROL_TYPES:
                self.heard += 1
                self._take(self.peer.receive(frame, self.now))
            else:
                self.frames.append(frame)
        return True

    def _take(self, outcome: Outcome) -> None:
        self.events += [
            one for one in outcome.events if one.kind not in (EventKind.HEARD, EventKind.SENT)
        ]
        for frame in outcome.frames:
            self.sent += self.port.write(frame)


def serve(stations: Sequence[LivePeer], until: Callable[[], bool], *, within: float) -> float:
    """Serve them until `until()` holds; gives the seconds that took.

    Raises SilenceError where that takes more than `within` seconds.
    """
    started = time.monotonic()
    poll = select.poll()
    by_fd = {station.port.fileno(): station for station in stations}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    busy = False
    while True:
        wait = min([station.keep_time() for station in stations] + [_LONGEST_WAIT])
        if until():
            return time.monotonic() - started
        if time.monotonic() - started > within:
            last = [event.text for station in stations for event in station.events][-_SHOWN:]
            raise SilenceError(
                f"stations did not come to what was waited for within {within:g} s; the last "
                f"that happened to their VSIs: {'; '.join(last) or 'nothing'}"
            )
        left = started + within - time.monotonic()
        ready = [fd for fd, _ in poll.poll(0 if busy else 1000 * max(min(wait, left), 0.0))]
        more = [by_fd[fd].read() for fd in ready]
        busy = any(more)
