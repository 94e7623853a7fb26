"""The frame engine as a contestant: over taps, and over packet sockets on the same links."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.bench.ends import End
from harness.bench.rivals.shared import SharedPath
from harness.bench.rivals.turns import Contestant, Cores, Figure, Load, Turn
from harness.bench.rivals.work import (
    AtWork,
    Progress,
    ReceiveAll,
    Receiving,
    SendAll,
    Sent,
    TakeTurns,
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
            take_turns = self._alternate if self.cores is Cores.ONE else self._side_by_side
            return take_turns(a, b, seconds)

    def _side_by_side(self, a: End, b: End, seconds: float) -> Turn:
        load, crew = self.load, self.path.crew
        with (
            Progress() as progress,
            Receiving(
                crew.receiver,
                ReceiveAll(load, a.mac, b.mac),
                (b.fd, progress.fd),
                what="receive from b's tap",
            ) as receiver,
            AtWork(
                crew.sender,
                SendAll(load, a.mac, b.mac, seconds),
                (a.fd, progress.fd),
                what="send to a's tap",
            ) as sender,
        ):
            sent = sender.finish()
            received = receiver.finish()
        return Turn.counted(load, sent=sent.frames, received=received, seconds=sent.seconds)

    def _alternate(self, a: End, b: End, seconds: float) -> Turn:
        job = TakeTurns(self.load, a.mac, b.mac, seconds)
        with AtWork(self.path.crew.sender, job, (a.fd, b.fd), what="go from tap to tap") as both:
            done = both.finish()
        return Turn.counted(
            self.load, sent=done.frames, received=done.received, seconds=done.seconds
        )


@contextmanager
def socket_sender(path: SharedPath, load: Load, seconds: float) -> Iterator[AtWork[Sent]]:
    """A transmit ring on a sends for so long, holding nothing back."""
    with path.sending_socket() as a:
        job = SendAll(load, a.mac, path.mac("b"), seconds, ring=True)
        with AtWork(path.crew.sender, job, (a.fd,), what="send on a") as sender:
            yield sender


@contextmanager
def block_receiver(path: SharedPath, load: Load) -> Iterator[Receiving]:
    """A TPACKET_V3 ring on b receives until it is asked what came."""
    with path.listening_socket() as b:
        job = ReceiveAll(load, path.mac("a"), b.mac, link=b.link)
        with Receiving(path.crew.receiver, job, (b.fd,), what="listen on b") as receiver:
            yield receiver


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
