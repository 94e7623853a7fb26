"""One trial: so many frames at such a rate over a path, sender and receiver each on its core."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from harness.bench.crew import Crew
from harness.bench.ends import Path
from harness.bench.frames import frames_of
from harness.bench.jobs import Receive, Received, Send, Sent
from harness.bench.limits import by_cpu_time
from harness.bench.measurement import Limit
from harness.errors import KernelError
from harness.kernel.engine import FrameSpec

__all__ = ["Trial", "run_trial", "spec_for"]

_BUSY = 0.1  # of the time without anything to do: less, and the receiver is the limit


@dataclass(frozen=True)
class Trial:
    """What came of it."""

    offered: float
    """Frames per second that were asked for, 0 for as many as go."""
    sent: Sent
    received: Received

    @property
    def arrived(self) -> int:
        """Frames of the trial that were received.

        Those that say that it is over do not count. Where it had to be said again, nobody knows
        how many of these have come: all of them are taken off, so a loss is never overlooked.
        """
        return min(self.sent.frames, self.received.frames - self.sent.ends)

    @property
    def lost(self) -> int:
        """Frames that were sent and not received."""
        return self.sent.frames - self.arrived

    @property
    def loss(self) -> float:
        """Share of frames lost, 0 to 1 (RFC 2544, 26.3)."""
        return self.lost / self.sent.frames

    @property
    def kept_up(self) -> bool:
        """Whether the sender sent at the rate that was asked for, to 2 %."""
        return not self.offered or self.sent.rate >= 0.98 * self.offered

    @property
    def limited_by(self) -> Limit:
        """What kept it from more."""
        if self.lost:
            busy = self.received.idle_share < _BUSY
            return Limit.RECEIVER if busy else Limit.QUEUE
        return by_cpu_time(self.sent.use)


def spec_for(path: Path, frame: str, *, flows: int = 0) -> FrameSpec:
    """Frames from a path's one end to its other; see frames_of."""
    return frames_of(
        frame,
        targets=path.targets or (path.b.mac,),
        sources=path.sources or (path.a.mac,),
        header=path.a.header,
        flows=flows,
    )


def run_trial(
    crew: Crew,
    path: Path,
    spec: FrameSpec,
    *,
    rate: float = 0.0,
    frames: int = 0,
    seconds: float = 0.0,
    stamped: bool = False,
    busy: bool = False,
) -> Trial:
    """Send and receive; see Send and Receive for what the arguments mean. Raises KernelError."""
    receive = Receive(spec.size, spec.number_at, stamped=stamped, busy=busy, kind=path.b.kind)
    send = Send(spec, rate=rate, frames=frames, seconds=seconds, stamped=stamped, kind=path.a.kind)
    with ExitStack() as pipe:
        heard, tells = os.pipe2(os.O_CLOEXEC)
        pipe.callback(os.close, heard)
        pipe.callback(os.close, tells)
        receiving = crew.receiver.start(
            receive, (tells, *path.b.descriptors), what=f"receive over {path.name}"
        )
        try:
            receiving.go()
            sending = crew.sender.start(send, (path.a.fd, heard), what=f"send over {path.name}")
            pipe.close()
            sending.go()
            sent = sending.outcome()
        except KernelError:
            pipe.close()  # nothing will come, and the receiver finds out by its end of the pipe
            with suppress(KernelError):
                receiving.outcome()
            raise
        return Trial(rate, sent, receiving.outcome())
