"""Broadcast to all: one frame from outside, a copy to every guest.

    external --- switch --- lower ---[broadcast queue, worker]---> g0 … g999

A worker of the kernel makes the copies (macvlan_process_broadcast), in an order that the guests'
addresses decide; so there is one guest that has its copy last, always the same.
"""

from __future__ import annotations

import errno
import select
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from harness.bench.ends import BROADCAST
from harness.bench.limits import by_cpu_time
from harness.bench.measurement import Limit
from harness.errors import KernelError
from harness.kernel.cpu import CpuMeter, CpuUse
from harness.kernel.engine import FRAME_CHECK, FrameSpec, Pool, make_receiver, make_sender
from harness.kernel.packets import plain_socket
from harness.kernel.taps import Tap
from harness.resource import Resource
from harness.testbed import Testbed
from harness.testbed.endpoints import TapEndpoint

__all__ = ["FRAME", "Broadcaster", "Flood", "guest_taps"]

_SPEC = FrameSpec((BROADCAST,), (bytes.fromhex("026870030001"),))
FRAME = str(_SPEC.length + FRAME_CHECK)
_SLOTS = 2048  # the longest flood
_LOST_AFTER = 5.0  # seconds
_QUIET = 1.0  # seconds: a guest whose own queue has run over will not get what is missing


def guest_taps(bed: Testbed) -> list[Tap]:
    """The taps of a testbed's guests, in the order of the topology."""
    ends = (bed.endpoints[guest.name] for guest in bed.topology.guests)
    return [end.tap for end in ends if isinstance(end, TapEndpoint)]


@dataclass(frozen=True)
class Flood:
    """What became of `sent` broadcasts in one go.

    `dropped` found no room in the broadcast queue; of the others the guest with the fewest has
    had `fewest` copies.
    """

    sent: int
    dropped: int
    fewest: int


@dataclass
class Broadcaster(Resource):
    """Sends broadcasts from outside of a testbed, and tells when the last guest has its copy.

    Use it in a `with` statement. Raises KernelError when a copy does not come.
    """

    bed: Testbed
    _undo: ExitStack = field(default_factory=ExitStack)
    _use: CpuUse = field(default=CpuUse(0, 0), init=False)

    def __post_init__(self) -> None:
        try:
            self._taps = guest_taps(self.bed)
            self._names = {tap.fd: tap.name for tap in self._taps}
            (external,) = self.bed.wiring.outside
            sock = plain_socket(self.bed.wiring.outside[external], external)
            self._undo.callback(sock.close)
            sock.settimeout(0)
            pool = Pool.of(_SPEC, _SLOTS)
            self._sender = self._undo.enter_context(make_sender(sock.fileno(), pool))
            self._all = self._undo.enter_context(select.epoll())
            for tap in self._taps:
                self._all.register(tap.fd, select.EPOLLIN)
            self._last = self._find_last()
        except BaseException:
            self.close()
            raise

    def _ready(self) -> list[tuple[int, int]]:
        """Taps with a frame in their queue, in the order in which they became so."""
        return self._all.poll(0, len(self._taps))

    def _find_last(self) -> Tap:
        self._sender.send(1)
        self._await_all()
        last, _ = self._ready()[-1]
        self._drain(1)
        return next(tap for tap in self._taps if tap.fd == last)

    def _await_all(self) -> None:
        give_up = time.monotonic() + _LOST_AFTER
        while len(ready := self._ready()) < len(self._taps):
            if time.monotonic() > give_up:
                reached = {fd for fd, _ in ready}
                deaf = [name for fd, name in self._names.items() if fd not in reached]
                raise KernelError(
                    "broadcast to all guests", errno.ETIMEDOUT, f"not reached: {', '.join(deaf)}"
                )

    def _drain(self, expected: int) -> None:
        """Read everybody's copies. Raises KernelError when one has more or fewer."""
        for tap in self._taps:
            found = len(tap.drain())
            if found != expected:
                raise KernelError(
                    "broadcast to all guests",
                    errno.EPROTO,
                    f"{tap.name} has {found} copies of {expected}",
                )

    def flash(self) -> float:
        """One broadcast: seconds until the last guest has its copy."""
        started = time.perf_counter()
        self._sender.send(1)
        arrived = self._last.wait(_LOST_AFTER)
        taken = time.perf_counter() - started
        if not arrived or len(self._ready()) < len(self._taps):
            self._await_all()  # another was last, this once
            taken = time.perf_counter() - started
        self._drain(1)
        return taken

    def burst(self, frames: int) -> float:
        """So many broadcasts in one go: copies delivered per second, all guests' together."""
        receiver = make_receiver(self._last.fd, _SPEC.length, number_at=_SPEC.number_at)
        with receiver, CpuMeter() as meter:
            got = 0
            started = time.perf_counter()
            self._sender.send(frames)
            while got < frames and receiver.wait(_LOST_AFTER):
                got += receiver.receive()
            taken = time.perf_counter() - started
            self._use += meter.used()
        copies = got + sum(self._counted(tap, frames) for tap in self._others())
        if copies != frames * len(self._taps):
            raise KernelError(
                "broadcast to all guests",
                errno.ENOBUFS,
                f"{copies:,} of {frames * len(self._taps):,} copies arrived",
            )
        return copies / taken

    @property
    def limited_by(self) -> Limit:
        """What kept the bursts from more: this thread's own work, or the kernel."""
        return by_cpu_time(self._use)

    def _others(self) -> Sequence[Tap]:
        return [tap for tap in self._taps if tap is not self._last]

    def _counted(self, tap: Tap, frames: int) -> int:
        """Frames in a tap's queue, the last few waited for."""
        got = len(tap.drain())
        while got < frames and tap.wait(_LOST_AFTER):
            got += len(tap.drain())
        return got

    def flood(self, frames: int) -> Flood:
        """More broadcasts in one go than the broadcast queue holds (IFLA_MACVLAN_BC_QUEUE_LEN)."""
        before = self._refused()
        self._sender.send(frames)
        # Whether there is room is decided while we send (macvlan_broadcast_enqueue).
        dropped = self._refused() - before
        counts = dict.fromkeys(self._taps, 0)
        while min(counts.values()) < frames - dropped and self._last.wait(_QUIET):
            for tap in counts:
                counts[tap] += len(tap.drain())
        return Flood(frames, dropped, min(counts.values()))

    def _refused(self) -> int:
        """Frames that the broadcast queue had no room for so far."""
        link = self.bed.wiring.host.rtnl.link(self.bed.topology.lowers[0].name)
        return int(link.get_attr("IFLA_STATS64")["rx_dropped"])

    def close(self) -> None:
        """See Resource."""
        self._undo.close()
