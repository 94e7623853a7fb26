"""scapy's sendp and its sniffer, each in a process that lives for the whole comparison.

Importing scapy takes longer than a turn, so that belongs to no turn.
"""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from pathlib import Path

from harness.bench.rivals.engine import socket_sender
from harness.bench.rivals.shared import SharedPath
from harness.bench.rivals.turns import Contestant, Figure, Load, Turn
from harness.errors import CommandError

__all__ = ["SCAPY_SEND", "SCAPY_SNIFF", "ScapySend", "ScapySniff"]

SCAPY_SEND = "scapy sendp"
SCAPY_SNIFF = "scapy sniff"
_SCRIPT = Path(__file__).with_name("scapy_ends.py")
_ANSWERS_WITHIN = 30.0  # seconds, beyond what it was asked to do


class _Scapy(Contestant):
    """Starts the script, and talks to it."""

    def __init__(self, path: SharedPath, load: Load) -> None:
        self.path = path
        self.load = load
        self.figures = {self.name: self.figure}
        self._undo = ExitStack()

    figure: Figure
    station: str
    way: str

    def _arguments(self) -> list[str]:
        return []

    def prepare(self) -> None:
        """Start it; it gets ready while others are prepared."""
        self._socket, theirs = socket.socketpair()
        self._undo.enter_context(self._socket)
        self._answers = self._undo.enter_context(self._socket.makefile("rb"))
        number = theirs.fileno()
        with theirs:
            self._process = self._undo.enter_context(
                self.path.spawn(
                    self.station,
                    # Not -I: scapy may be where only PYTHONPATH or the user's own folder leads.
                    [
                        *(sys.executable, "-P", str(_SCRIPT), self.way, self.station),
                        *(str(number), *self._arguments()),
                    ],
                    descriptors=[number],
                )
            )
        self._ready = False

    def _ask(self, line: str = "", *, seconds: float = 0.0) -> str:
        """Say a line, and hear the answer. Raises CommandError when it does not answer."""
        if not self._ready:
            self._ready = True
            self._answer(0.0)
        self._socket.sendall(line.encode() + b"\n")
        return self._answer(seconds)

    def _answer(self, seconds: float) -> str:
        self._socket.settimeout(seconds + _ANSWERS_WITHIN)
        try:
            line = self._answers.readline().decode()
        except TimeoutError:
            line = ""
        if not line:
            said = self._process.stderr.strip()
            self.close()
            raise CommandError(self.name, "it does not answer", said)
        return line

    def close(self) -> None:
        """See Contestant."""
        self._undo.close()


class ScapySend(_Scapy):
    """`sendp` on scapy's own socket, a hundred frames at a time."""

    name = SCAPY_SEND
    figure = Figure.SENT
    station = "a"
    way = "send"

    def _arguments(self) -> list[str]:
        pool = self.load.pool(self.path.mac("a"), self.path.mac("b"))
        return [bytes(pool.frame(0)).hex()]

    def turn(self, seconds: float) -> Turn:
        """See Contestant; what has arrived is what the link has counted."""
        before = self.path.counters("b")["rx_packets"]
        sent, lasted = self._ask(repr(seconds), seconds=seconds).split()
        received = self.path.counters("b")["rx_packets"] - before
        return Turn.counted(self.load, sent=int(sent), received=received, seconds=float(lasted))


class ScapySniff(_Scapy):
    """`AsyncSniffer`, which dissects every frame, while the engine sends all it can."""

    name = SCAPY_SNIFF
    figure = Figure.RECEIVED
    station = "b"
    way = "sniff"

    def turn(self, seconds: float) -> Turn:
        """See Contestant."""
        self._ask()
        try:
            with socket_sender(self.path, self.load, seconds) as sender:
                sent = sender.finish()
        finally:
            received = int(self._ask())
        return Turn.counted(self.load, sent=sent.frames, received=received, seconds=sent.seconds)
