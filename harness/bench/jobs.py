"""What the members of a crew do: send at a rate, receive and count, or both in turn."""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import quantiles

from harness.bench.ends import End, EndKind
from harness.kernel.cpu import CpuMeter, CpuUse
from harness.kernel.engine import FrameSpec, Pool, Receiver, Sender

__all__ = [
    "Alternating",
    "AlternatingOutcome",
    "Receive",
    "Received",
    "Send",
    "Sent",
    "slots_for",
]

_END = 0xFFFFFF00
"""Numbers from here on are not a frame's: the last frame of all bears one."""

_CACHE = 1 << 19  # bytes of frames that go round without falling out of a core's cache
_MOST_SLOTS = 256
_TICK = 20_000  # ns between batches of a paced sender, at least
_MOST_AT_ONCE = 32  # frames of a batch that is paced
_BATCH = 64  # frames of one that is not
_AGAIN_AFTER = 0.05  # seconds without the receiver having seen the end
_LOST_AFTER = 5.0
_QUIET = 50_000_000  # ns without a frame, after which a receiver asks whether there is a sender

_clock = time.monotonic_ns


def slots_for(length: int) -> int:
    """How many different frames of so many bytes go round: a power of two, at least 16."""
    return max(16, min(_MOST_SLOTS, 1 << (_CACHE // length).bit_length() - 1))


def _waiting(receivers: Sequence[Receiver]) -> Callable[[float], bool]:
    """What blocks until one of them has something, or so many seconds; whether one has."""
    if len(receivers) == 1:
        return receivers[0].wait
    several = select.poll()
    for receiver in receivers:
        several.register(receiver.fd, select.POLLIN)
    return lambda seconds: bool(several.poll(seconds * 1000))


# ---------------------------------------------------------------------- in turn, on one core


@dataclass(frozen=True)
class AlternatingOutcome:
    """Frames per second of the path and of the reference, slice by slice; what it all cost."""

    rates: tuple[float, ...]
    references: tuple[float, ...]
    frames: int
    use: CpuUse

    @property
    def rate(self) -> float:
        """Of the path: the third quartile of its slices, for what disturbs one makes it slower."""
        return _undisturbed(self.rates)

    @property
    def reference(self) -> float:
        """Of the engine without a network: likewise."""
        return _undisturbed(self.references)


def _undisturbed(rates: Sequence[float]) -> float:
    return quantiles(rates, n=4, method="inclusive")[2] if len(rates) > 1 else rates[0]


@dataclass(frozen=True)
class _Way:
    """A sender, the receivers at the other end, and how many may lie between them."""

    sender: Sender
    receivers: tuple[Receiver, ...]
    batch: int

    def carry(self, slice_ns: int) -> tuple[float, int]:
        """Send and receive in turn for so long: frames per second, and frames."""
        send, batch, receivers = self.sender.send, self.batch, self.receivers
        wait = _waiting(receivers)  # for the kernel to finish: ksoftirqd, a workqueue
        frames = 0
        start = _clock()
        end = start + slice_ns
        while True:
            send(batch)
            arrived = 0
            while arrived < batch:
                got = 0
                for receiver in receivers:
                    got += receiver.receive(batch - arrived)
                arrived += got
                if not got and not wait(_LOST_AFTER):
                    raise OSError(
                        errno.ETIMEDOUT, f"{batch - arrived} of {batch} frames have not come"
                    )
            frames += batch
            now = _clock()
            if now >= end:
                break
        expected = (self.sender.at - 1) % self.sender.pool.slots
        if len(receivers) == 1 and receivers[0].last != expected:
            raise OSError(
                errno.EIO, f"frame {receivers[0].last} came last, {expected} was sent last"
            )
        return frames * 1e9 / (now - start), frames


@dataclass(frozen=True)
class Alternating:
    """Path and reference in turn, slice by slice, on one core: sender, kernel and receiver.

    Descriptors: the sender's; the reference's writing and reading end; the receivers'. Slices
    are short, so that whatever slows the machine down meets both.
    """

    spec: FrameSpec
    seconds: float
    batch: int
    reference_batch: int
    kinds: tuple[EndKind, EndKind] = (EndKind.TAP, EndKind.TAP)
    slice_ns: int = 2_000_000
    reference_ns: int = 1_000_000

    @contextmanager
    def prepare(self, descriptors: Sequence[int]) -> Iterator[tuple[_Way, _Way]]:
        """See Job."""
        outgoing, writer, reader, *incoming = descriptors
        length, at = self.spec.size, self.spec.number_at
        slots = slots_for(length)
        with ExitStack() as undo:

            def way(fd: int, ends: Sequence[int], batch: int, a: EndKind, b: EndKind) -> _Way:
                pool = Pool.of(self.spec, slots)
                sender = undo.enter_context(End(fd, a, b"").sender(pool))
                receivers = (End(x, b, b"").receiver(length, number_at=at) for x in ends)
                return _Way(
                    sender,
                    tuple(undo.enter_context(r) for r in receivers),
                    min(batch, slots),
                )

            path = way(outgoing, incoming, self.batch, *self.kinds)
            pipe = EndKind.PIPE
            reference = way(writer, [reader], self.reference_batch, pipe, pipe)
            for warm in path, reference:
                warm.carry(0)
            yield path, reference

    def run(self, prepared: tuple[_Way, _Way]) -> AlternatingOutcome:
        """See Job."""
        path, reference = prepared
        rates: list[float] = []
        references: list[float] = []
        frames = 0
        use = CpuUse(0, 0, 0)
        end = _clock() + round(self.seconds * 1e9)
        while not rates or _clock() < end:
            references.append(reference.carry(self.reference_ns)[0])
            with CpuMeter() as meter:
                rate, count = path.carry(self.slice_ns)
                use += meter.used()
            rates.append(rate)
            frames += count
        return AlternatingOutcome(tuple(rates), tuple(references), frames, use)


# ---------------------------------------------------------------------- each on its core


@dataclass(frozen=True)
class Sent:
    """What a sender did: frames, those that found no room, ns from first to last, its cost."""

    frames: int
    refused: int
    nanoseconds: int
    use: CpuUse
    ends: int
    """Frames that said that it was over; more than one where nobody seemed to have heard."""

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.frames * 1e9 / max(1, self.nanoseconds)


@dataclass(frozen=True)
class Send:
    """Send `frames` frames at `rate` per second (0: as fast as it goes), or for `seconds`.

    Then say that it is over, again and again until the receiver has heard it. With `stamped`
    the first frame of each batch bears the time it was due at, so that a sender that is held up
    counts as latency too. Descriptors: the end's, and a pipe's that the receiver closes.
    """

    spec: FrameSpec
    rate: float = 0.0
    frames: int = 0
    seconds: float = 0.0
    stamped: bool = False
    kind: EndKind = EndKind.TAP

    @contextmanager
    def prepare(self, descriptors: Sequence[int]) -> Iterator[tuple[Sender, int]]:
        """See Job."""
        fd, heard = descriptors
        pool = Pool.of(self.spec, slots_for(self.spec.size))
        with End(fd, self.kind, b"").sender(pool) as sender:
            yield sender, heard

    def run(self, prepared: tuple[Sender, int]) -> Sent:
        """See Job."""
        sender, heard = prepared
        with CpuMeter() as meter:
            start = _clock()
            sent = self._paced(sender, start) if self.rate else self._flat_out(sender, start)
            elapsed = _clock() - start
            use = meter.used()
        return Sent(sent, sender.refused, elapsed, use, _say_it_is_over(sender, heard))

    def _flat_out(self, sender: Sender, start: int) -> int:
        send, sent = sender.send, 0
        batch = min(_BATCH, sender.pool.slots)
        end = start + round(self.seconds * 1e9) if self.seconds else None
        while True:
            if self.frames:
                batch = min(batch, self.frames - sent)
            send(batch)
            sent += batch
            if sent == self.frames or (end is not None and _clock() >= end):
                return sent

    def _paced(self, sender: Sender, start: int) -> int:
        send, pool, stamped = sender.send, sender.pool, self.stamped
        total = self.frames or max(1, round(self.rate * self.seconds))
        batch = max(1, min(_MOST_AT_ONCE, pool.slots, int(self.rate * _TICK / 1e9)))
        step = 1e9 / self.rate
        sent = 0
        while sent < total:
            due = start + int(sent * step)
            while _clock() < due:
                pass
            count = min(batch, total - sent)
            if stamped:
                slot = sender.at
                pool.stamp(slot, due)
                send(count)
                pool.stamp(slot, 0)
            else:
                send(count)
            sent += count
        return sent


def _say_it_is_over(sender: Sender, heard: int) -> int:
    """Send a last frame, again if need be: it finds no room in a queue that is full."""
    waiting = select.poll()
    waiting.register(heard, select.POLLIN)
    said = 0
    give_up = time.monotonic() + _LOST_AFTER
    while time.monotonic() < give_up:
        slot = sender.at
        sender.pool.set_number(slot, _END + said % 0xFF)
        sender.send(1)
        sender.pool.set_number(slot, slot)
        said += 1
        if waiting.poll(_AGAIN_AFTER * 1000):
            return said
    raise OSError(errno.ETIMEDOUT, "the receiver has not seen the end")


@dataclass(frozen=True)
class Received:
    """What a receiver saw: frames, how long it had nothing to do, what it cost, latencies (ns)."""

    frames: int
    idle: int
    nanoseconds: int
    use: CpuUse
    latencies: tuple[int, ...] = ()

    @property
    def idle_share(self) -> float:
        """Share of the time in which it waited."""
        return self.idle / max(1, self.nanoseconds)


@dataclass(frozen=True)
class Receive:
    """Receive until told that it is over, and count. Descriptors: a pipe's writing end, the end's.

    With `busy` it never blocks, so that waking up is no part of a latency; otherwise it blocks in
    poll(2) as soon as there is nothing left.
    """

    length: int
    number_at: int
    stamped: bool = False
    busy: bool = False
    kind: EndKind = EndKind.TAP

    @contextmanager
    def prepare(self, descriptors: Sequence[int]) -> Iterator[tuple[tuple[Receiver, ...], int]]:
        """See Job."""
        heard, *ends = descriptors
        with ExitStack() as undo:
            receivers = []
            for end in ends:
                receiver = End(end, self.kind, b"").receiver(
                    self.length, number_at=self.number_at, stamped=self.stamped
                )
                receivers.append(undo.enter_context(receiver))
                while receiver.receive():  # what an earlier trial has left
                    pass
            yield tuple(receivers), heard

    def run(self, prepared: tuple[tuple[Receiver, ...], int]) -> Received:
        """See Job."""
        receivers, heard = prepared
        stamped, busy = self.stamped, self.busy
        wait = _waiting(receivers)
        sender_gone = select.poll()
        sender_gone.register(heard, 0)
        frames = idle = first = empty_since = 0
        latencies: list[int] = []
        over = False
        with CpuMeter() as meter:
            while not over:
                before = _clock() if empty_since else 0
                got = 0
                for receiver in receivers:
                    arrived = receiver.receive()
                    if arrived:
                        got += arrived
                        over = over or receiver.last >= _END
                        if stamped:
                            now = _clock()
                            latencies += [now - stamp for stamp in receiver.stamps() if stamp]
                if got:
                    frames += got
                    if empty_since and first:
                        idle += before - empty_since
                    empty_since = 0
                    first = first or _clock()
                    continue
                empty_since = empty_since or _clock()
                if not busy:
                    wait(_QUIET / 1e9)
                if before - empty_since > _QUIET and sender_gone.poll(0):
                    raise OSError(errno.EPIPE, "the sender has failed")
            elapsed = _clock() - first
            use = meter.used()
        for receiver in receivers:
            while got := receiver.receive():
                frames += got
        os.write(heard, b"\0")
        return Received(frames, idle, elapsed, use, tuple(latencies))
