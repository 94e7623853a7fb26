"""The frame engine as a contestant: over taps, and over packet sockets on the same links."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from harness.bench.ends import End
from harness.bench.rivals.shared import SharedPath, hear
from harness.bench.rivals.turns import Contestant, Cores, Figure, Load, Turn
from harness.bench.rivals.workers import (
    AlternatingWorker,
    Progress,
    ReceivingWorker,
    SendingWorker,
)
from harness.kernel.engine import (
    BlockReceiver,
    Pool,
    Receiver,
    RingSender,
    make_receiver,
    make_sender,
)

__all__ = [
    "ENGINE",
    "ENGINE_BLOCKS",
    "ENGINE_SOCKET",
    "PacketEngine",
    "TapEngine",
    "block_receiver",
    "socket_sender",
]

ENGINE = "engine"
ENGINE_SOCKET = "engine, packet socket"
ENGINE_BLOCKS = "engine, TPACKET_V3"


class TapEngine(Contestant):
    """From tap to tap, as two hypervisors would."""

    def __init__(self, path: SharedPath, load: Load, cores: Cores) -> None:
        self.path = path
        self.load = load
        self.cores = cores
        self.name = f"{ENGINE}, {cores}"
        self.figures = {self.name: load.delivered}

    def turn(self, seconds: float) -> Turn:
        """See Contestant."""
        with self.path.taps(self.load.header) as (a, b):
            pool = self.load.pool(a.mac, b.mac)
            take_turns = self._alternate if self.cores is Cores.ONE else self._side_by_side
            return take_turns(a, b, pool, seconds)

    def _side_by_side(self, a: End, b: End, pool: Pool, seconds: float) -> Turn:
        path, load = self.path, self.load
        with (
            Progress() as progress,
            ReceivingWorker(
                partial(_receiver, b, pool), cpu=path.receiver_cpu, progress=progress
            ) as receiver,
            SendingWorker(
                partial(make_sender, a.fd, pool),
                batch=load.batch,
                seconds=seconds,
                cpu=path.sender_cpu,
                window=load.window,
                progress=progress,
            ) as sender,
        ):
            sent = sender.finish()
            received = receiver.finish()
        return Turn.counted(load, sent=sent.frames, received=received, seconds=sent.seconds)

    def _alternate(self, a: End, b: End, pool: Pool, seconds: float) -> Turn:
        with AlternatingWorker(
            lambda: (make_sender(a.fd, pool), _receiver(b, pool)),
            seconds=seconds,
            cpu=self.path.sender_cpu,
        ) as worker:
            done = worker.finish()
        return Turn.counted(
            self.load, sent=done.frames, received=done.received, seconds=done.seconds
        )


def _receiver(end: End, pool: Pool) -> Receiver:
    return make_receiver(end.fd, pool.length, number_at=pool.number_at)


@contextmanager
def socket_sender(path: SharedPath, load: Load, seconds: float) -> Iterator[SendingWorker]:
    """A worker that sends by a transmit ring on a for so long, holding nothing back."""
    with path.sending_socket() as a:
        pool = load.pool(a.mac, path.mac("b"))
        assert a.socket is not None
        with SendingWorker(
            partial(RingSender, a.socket, pool),
            batch=pool.slots // 2,  # the other half comes back meanwhile
            seconds=seconds,
            cpu=path.sender_cpu,
        ) as worker:
            yield worker


@contextmanager
def block_receiver(path: SharedPath, load: Load) -> Iterator[ReceivingWorker]:
    """A worker that receives by a TPACKET_V3 ring on b."""
    with path.listening_socket() as b:
        pool = load.pool(path.mac("a"), b.mac)
        assert b.socket is not None
        with ReceivingWorker(
            partial(BlockReceiver, b.socket, pool.length, number_at=pool.number_at),
            cpu=path.receiver_cpu,
            ready=partial(hear, b),
        ) as worker:
            yield worker


class PacketEngine(Contestant):
    """From packet socket to packet socket with a TPACKET_V3 ring, no tap open; nobody waits."""

    name = ENGINE_SOCKET

    def __init__(self, path: SharedPath, load: Load) -> None:
        self.path = path
        self.load = load
        self.figures = {ENGINE_SOCKET: Figure.SENT, ENGINE_BLOCKS: Figure.RECEIVED}

    def turn(self, seconds: float) -> Turn:
        """See Contestant."""
        with (
            block_receiver(self.path, self.load) as receiver,
            socket_sender(self.path, self.load, seconds) as sender,
        ):
            sent = sender.finish()
            received = receiver.finish()
        return Turn.counted(self.load, sent=sent.frames, received=received, seconds=sent.seconds)
