"""What forwarding costs when tables grow: the switch's FDB, a guest's multicast filter.

    p [tap] === lower --- switch (hairpin)        N addresses behind one port, each to another:
                                                  two look-ups in the FDB for each frame

    external --- switch --- lower --- a [tap]     a has joined N groups, and gets frames for each

One thread sends and receives in turn, pinned to one CPU by the testbed, and nothing may be lost.
"""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack

from harness.bench.limits import by_cpu_time
from harness.bench.measurement import Better, Limit, Measurement, Test
from harness.bench.scale.broadcast import guest_taps
from harness.bench.scale.budget import (
    Progress,
    ScaleBudget,
    counted,
    figure,
    need_taps,
    timed,
)
from harness.errors import KernelError
from harness.kernel.cpu import CpuMeter, CpuUse
from harness.kernel.engine import (
    FRAME_CHECK,
    FrameSpec,
    Pool,
    Receiver,
    Sender,
    make_receiver,
    make_sender,
)
from harness.kernel.packets import Membership, plain_socket
from harness.kernel.readback import read_back
from harness.parts import Guest, Mode, Switch
from harness.testbed import Testbed
from harness.topology import Topology

__all__ = ["addresses", "group_macs", "groups", "slots_for", "station_macs"]

_AT_ONCE = 128  # below a tap's 500, and below the 277 that fill a socket's buffer
_FEWEST_SLOTS = 256
_LOST_AFTER = 1.0  # seconds
_SEED = 1


def station_macs(count: int) -> list[bytes]:
    """So many unicast addresses, none of them hairpin's own."""
    return [bytes((0x06, 0x68)) + number.to_bytes(4, "big") for number in range(count)]


def group_macs(count: int) -> list[bytes]:
    """So many multicast addresses that no protocol uses."""
    return [bytes((0x07, 0x68)) + number.to_bytes(4, "big") for number in range(count)]


def slots_for(count: int) -> int:
    """A pool for that many different frames: a power of two, which io_uring wants."""
    return max(_FEWEST_SLOTS, 1 << (count - 1).bit_length())


class _Turns:
    """Frames of one pool through a path, a batch sent and a batch received in turn."""

    def __init__(self, undo: ExitStack, out: int, into: int, spec: FrameSpec, slots: int) -> None:
        self.frame = str(spec.length + FRAME_CHECK)
        self._slots = slots
        self._use = CpuUse(0, 0)
        self._sender: Sender = undo.enter_context(make_sender(out, Pool.of(spec, slots)))
        receiver = make_receiver(into, spec.length, number_at=spec.number_at)
        self._receiver: Receiver = undo.enter_context(receiver)

    def all_once(self) -> None:
        """Every frame of the pool."""
        for _ in range(self._slots // _AT_ONCE):
            self._turn()

    def rate(self, seconds: float) -> float:
        """Frames per second, over so many seconds."""
        with CpuMeter() as meter:
            frames, started = 0, time.perf_counter()
            while (taken := time.perf_counter() - started) < seconds:
                self._turn()
                frames += _AT_ONCE
            self._use += meter.used()
        return frames / taken

    @property
    def limited_by(self) -> Limit:
        """What kept all of it from more."""
        return by_cpu_time(self._use)

    def _turn(self) -> None:
        self._sender.send(_AT_ONCE)
        got = 0
        while got < _AT_ONCE:
            arrived = self._receiver.receive(_AT_ONCE - got)
            got += arrived
            if not arrived and not self._receiver.wait(_LOST_AFTER):
                raise KernelError(
                    "forward frames",
                    errno.ETIMEDOUT,
                    f"{got} of {_AT_ONCE} arrived, {self._sender.refused} were not taken",
                )


def _forwarded(
    path: str, size: int, what: str, samples: Sequence[float], turns: _Turns
) -> Measurement:
    return figure(
        path,
        size,
        what,
        "frames/s",
        samples,
        test=Test.ADDRESSES,
        better=Better.HIGHER,
        frame=turns.frame,
        limited_by=turns.limited_by,
        note="one thread sends and receives",
    )


def _grown(
    sizes: Sequence[int], rounds: int, sample: Callable[[int, int], float]
) -> Iterator[tuple[int, list[float]]]:
    """Samples of each size, taken size by size in every round: what drifts, drifts for all."""
    samples: dict[int, list[float]] = {size: [] for size in sizes}
    for at in range(rounds):
        for size in sizes:
            samples[size].append(sample(size, at))
    yield from samples.items()


def addresses(
    budget: ScaleBudget, progress: Progress, missing: MutableMapping[str, str]
) -> Iterator[Measurement]:
    """Unicast among addresses that the switch has learned behind one port, with hairpin."""
    need_taps()
    topology = Topology([Guest("p", Mode.PASSTHRU)], switch=Switch(hairpin=True))
    with Testbed(topology) as bed, ExitStack() as undo:
        (tap,) = guest_taps(bed)
        turns = {
            size: _Turns(undo, tap.fd, tap.fd, _among(size), slots_for(size))
            for size in budget.addresses
        }

        def sample(size: int, at: int) -> float:
            progress(f"{size:,} addresses at the switch, {at + 1} of {budget.rounds}")
            bed.wiring.flush_fdb()
            turns[size].all_once()
            if at == 0:
                _check_learned(bed, size)
            return turns[size].rate(budget.seconds)

        for size, samples in _grown(budget.addresses, budget.rounds, sample):
            yield _forwarded("passthru guest, hairpinned", size, "address", samples, turns[size])


def _among(size: int) -> FrameSpec:
    """From each address to another, in an order that no cache foresees."""
    macs = station_macs(size)
    random.Random(_SEED).shuffle(macs)
    return FrameSpec((*macs[1:], macs[0]), tuple(macs))


def _check_learned(bed: Testbed, size: int) -> None:
    """Raises KernelError when the switch has not learned them all."""
    learned = {entry.mac for entry in read_back(bed.wiring.switch).forwarding}
    wanted = {mac.hex(":") for mac in station_macs(size)}
    if not wanted <= learned:
        raise KernelError(
            f"learn {size:,} addresses", errno.ENOSPC, f"{len(wanted - learned):,} are missing"
        )


def groups(
    budget: ScaleBudget, progress: Progress, missing: MutableMapping[str, str]
) -> Iterator[Measurement]:
    """Joining groups, and multicast from outside to a guest that has joined so many."""
    need_taps()
    joining: dict[int, list[float]] = {size: [] for size in budget.groups}
    with Testbed(Topology([Guest("a")])) as bed, ExitStack() as undo:
        (tap,) = guest_taps(bed)
        (external,) = bed.wiring.outside
        sock = plain_socket(bed.wiring.outside[external], external)
        undo.callback(sock.close)
        sock.settimeout(0)
        turns = {
            size: _Turns(undo, sock.fileno(), tap.fd, _to_groups(size), slots_for(size))
            for size in budget.groups
        }

        def sample(size: int, at: int) -> float:
            progress(f"{counted(size, 'group')} joined, {at + 1} of {budget.rounds}")
            macs = [mac.hex(":") for mac in group_macs(size)]
            member = Membership(bed.wiring.host, "a", bed.wiring.index["a"], ())
            try:
                joining[size].append(1e6 * timed(lambda: member.set(macs)) / size)
                turns[size].all_once()
                return turns[size].rate(budget.seconds)
            finally:
                member.close()

        for size, samples in _grown(budget.groups, budget.rounds, sample):
            yield _forwarded("outside → member of groups", size, "group", samples, turns[size])
    for size, samples in joining.items():
        yield figure("groups joined", size, "group", "µs/group", samples)


def _to_groups(size: int) -> FrameSpec:
    return FrameSpec(tuple(group_macs(size)), (station_macs(1)[0],))
