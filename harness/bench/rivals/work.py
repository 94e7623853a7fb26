"""What the members of a crew do for the engine's turns: send, receive, or both, for a while.

contestant ── job, descriptors ──► member: ready, goes on at once ── finish() ──► what it did
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from harness.bench.crew import Job, Member, Pending
from harness.bench.rivals.turns import Load
from harness.errors import KernelError
from harness.kernel.engine import (
    BlockReceiver,
    Receiver,
    RingSender,
    Sender,
    make_receiver,
    make_sender,
)
from harness.kernel.packets import ETH_P_ALL
from harness.resource import Resource

__all__ = ["AtWork", "Progress", "ReceiveAll", "Receiving", "SendAll", "Sent", "Stop", "TakeTurns"]

T = TypeVar("T")
_QUIET = 0.01  # seconds without a frame, after which a receiver looks whether it is to stop


class Progress(Resource):
    """How many frames have arrived, in memory that sender and receiver share.

    `fd` is the memory's descriptor.
    """

    def __init__(self) -> None:
        self.fd = os.memfd_create("progress", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, mmap.PAGESIZE)

    def close(self) -> None:
        """Give the memory back; idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Stop(Resource):
    """A descriptor, `fd`, that hangs up when this is closed."""

    def __init__(self) -> None:
        self.fd, self._held = os.pipe2(os.O_CLOEXEC)

    def close(self) -> None:
        """Hang up; idempotent."""
        if self.fd >= 0:
            os.close(self._held)
            os.close(self.fd)
            self.fd = -1


@contextmanager
def _counter(fd: int) -> Iterator[memoryview]:
    """The number in a Progress."""
    with mmap.mmap(fd, mmap.PAGESIZE) as memory, memoryview(memory).cast("Q") as count:
        yield count


@dataclass(frozen=True)
class Sent:
    """What a sender did: frames that were taken from it, in how many seconds.

    `received` is what it has received itself, for one that does both.
    """

    frames: int
    seconds: float
    received: int = 0


@dataclass(frozen=True)
class SendAll:
    """Send as fast as it goes for `seconds`. Descriptors: the end's, and a Progress's if any.

    With a Progress, in which the receiver counts, no more than the load's window are on their
    way. On a packet socket (`ring`) by a transmit ring.
    """

    load: Load
    source: bytes
    target: bytes
    seconds: float
    ring: bool = False

    @contextmanager
    def prepare(self, descriptors: Sequence[int]) -> Iterator[tuple[Sender, Sequence[int]]]:
        """See Job."""
        fd, *progress = descriptors
        pool = self.load.pool(self.source, self.target)
        if self.ring:
            with socket.socket(fileno=os.dup(fd)) as sock, RingSender(sock, pool) as sender:
                yield sender, progress
        else:
            with make_sender(fd, pool) as sender:
                yield sender, progress

    def run(self, prepared: tuple[Sender, Sequence[int]]) -> Sent:
        """See Job."""
        sender, progress = prepared
        if not progress:
            return self._send(sender, [0], ahead=1 << 62)
        with _counter(progress[0]) as count:
            return self._send(sender, count, ahead=self.load.window - self.load.batch)

    def _send(self, sender: Sender, arrived: memoryview | list[int], *, ahead: int) -> Sent:
        # Half of a ring comes back while the other half is sent.
        batch = sender.pool.slots // 2 if self.ring else self.load.batch
        now, give_way = time.perf_counter, os.sched_yield
        sent = 0
        begin = now()
        end = begin + self.seconds
        while now() < end:
            if sent - arrived[0] > ahead:
                give_way()
                continue
            sender.send(batch)
            sent += batch
        return Sent(sent - sender.refused, now() - begin)


@dataclass(frozen=True)
class TakeTurns:
    """Send a batch and receive it, for `seconds`, on one CPU. Descriptors: the two ends'."""

    load: Load
    source: bytes
    target: bytes
    seconds: float

    @contextmanager
    def prepare(self, descriptors: Sequence[int]) -> Iterator[tuple[Sender, Receiver]]:
        """See Job."""
        out, into = descriptors
        pool = self.load.pool(self.source, self.target)
        with (
            make_sender(out, pool) as sender,
            make_receiver(into, pool.length, number_at=pool.number_at) as receiver,
        ):
            yield sender, receiver

    def run(self, prepared: tuple[Sender, Receiver]) -> Sent:
        """See Job."""
        sender, receiver = prepared
        batch, now, receive = sender.pool.slots, time.perf_counter, receiver.receive
        sent = received = 0
        begin = now()
        end = begin + self.seconds
        while now() < end:
            sender.send(batch)
            sent += batch
            wanted = sent - sender.refused
            while received < wanted:
                several = receive(wanted - received)
                if not several:
                    break
                received += several
        return Sent(sent - sender.refused, now() - begin, received)


@dataclass(frozen=True)
class ReceiveAll:
    """Receive until told to stop and nothing is left; how many.

    Descriptors: one that hangs up when it is to stop, the end's, a Progress's if any. With
    `link`, the end is a packet socket that hears that link once it has a TPACKET_V3 ring.
    """

    load: Load
    source: bytes
    target: bytes
    link: str = ""

    @contextmanager
    def prepare(self, descriptors: Sequence[int]) -> Iterator[tuple[Receiver, int, Sequence[int]]]:
        """See Job."""
        stop, fd, *progress = descriptors
        pool = self.load.pool(self.source, self.target)
        if self.link:
            with (
                socket.socket(fileno=os.dup(fd)) as sock,
                BlockReceiver(sock, pool.length, number_at=pool.number_at) as receiver,
            ):
                sock.bind((self.link, ETH_P_ALL))
                yield receiver, stop, progress
        else:
            with make_receiver(fd, pool.length, number_at=pool.number_at) as receiver:
                yield receiver, stop, progress

    def run(self, prepared: tuple[Receiver, int, Sequence[int]]) -> int:
        """See Job."""
        receiver, stop, progress = prepared
        if not progress:
            return self._receive(receiver, stop, [0])
        with _counter(progress[0]) as count:
            return self._receive(receiver, stop, count)

    def _receive(self, receiver: Receiver, stop: int, arrived: memoryview | list[int]) -> int:
        told = select.poll()
        told.register(stop, select.POLLHUP)
        receive, wait = receiver.receive, receiver.wait
        frames = 0
        while True:
            several = receive()
            frames += several
            arrived[0] = frames
            if not several and not wait(_QUIET) and told.poll(0):
                return frames


class AtWork(Resource, Generic[T]):
    """A job that has begun. Use it in a `with` statement. Raises KernelError when it cannot."""

    def __init__(
        self, member: Member, job: Job[T], descriptors: Sequence[int], *, what: str
    ) -> None:
        self._pending: Pending[T] | None = None
        pending = member.start(job, descriptors, what=what)
        pending.go()
        self._pending = pending

    def finish(self) -> T:
        """What came of it, once it is over. Raises KernelError."""
        pending, self._pending = self._pending, None
        assert pending is not None
        return pending.outcome()

    def close(self) -> None:
        """Let it come to its end, whatever comes of it; idempotent."""
        if self._pending:
            with suppress(KernelError):
                self.finish()


class Receiving(AtWork[int]):
    """A ReceiveAll, which is stopped when its outcome is asked for."""

    def __init__(
        self, member: Member, job: ReceiveAll, descriptors: Sequence[int], *, what: str
    ) -> None:
        self._stop = Stop()
        try:
            super().__init__(member, job, (self._stop.fd, *descriptors), what=what)
        except BaseException:
            self._stop.close()
            raise

    def finish(self) -> int:
        """See AtWork."""
        self._stop.close()
        return super().finish()
