"""trafgen as a sender; netsniff-ng, tcpdump and the engine as those who capture what it sends.

No tap is open: frames go to the link's own stack, where packet sockets hear them. All have a
ring of the same size. What is left in it unread when the sender has ended counts neither as
received nor as lost.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from harness.bench.rivals.engine import block_receiver
from harness.bench.rivals.programs import parsed
from harness.bench.rivals.shared import SharedPath
from harness.bench.rivals.turns import Contestant, Figure, Load, Turn
from harness.bench.rivals.work import Sent
from harness.kernel.processes import find_program

__all__ = [
    "BLOCKS_FROM_TRAFGEN",
    "NETSNIFF",
    "TCPDUMP",
    "TRAFGEN",
    "BlockCapture",
    "Captured",
    "NetsniffCapture",
    "TcpdumpCapture",
    "parse_netsniff",
    "parse_tcpdump",
    "parse_trafgen",
]

TRAFGEN = "trafgen"
NETSNIFF = "netsniff-ng"
TCPDUMP = "tcpdump"
BLOCKS_FROM_TRAFGEN = "TPACKET_V3 ← trafgen"

_RING = 32  # MiB, as the engine's
_FIRST = 200_000  # frames per second, of which a first turn is counted
_LATE = 30.0  # seconds that a program may take beyond its turn's


@dataclass(frozen=True)
class Captured:
    """What a capturing program says in the end: frames it has read, left unread, and missed."""

    read: int
    unread: int
    lost: int


def _number(pattern: str, said: str) -> int:
    found = re.search(pattern, said)
    if not found:
        raise ValueError(f"no {pattern!r} in {said!r}")
    return int(found[1])


def parse_trafgen(said: str) -> Sent:
    """Frames and seconds of trafgen's statistics at exit. Raises ValueError."""
    found = re.search(r"(\d+) sec, (\d+) usec on CPU\d+ \((\d+) packets\)", said)
    if not found:
        raise ValueError(f"no statistics in {said!r}")
    seconds, microseconds, frames = map(int, found.groups())
    return Sent(frames, seconds + microseconds / 1e6)


def parse_netsniff(said: str) -> Captured:
    """netsniff-ng's statistics at exit (standard output). Raises ValueError."""
    read = _number(r"(\d+)  packets incoming", said)
    lost = _number(r"(\d+)  packets failed filter", said)
    unread = _number(r"\((\d+) unread on exit\)", said)  # what is lost among them
    return Captured(read, max(0, unread - lost), lost)


def parse_tcpdump(said: str) -> Captured:
    """Statistics of tcpdump at exit (standard error). Raises ValueError."""
    read = _number(r"(\d+) packets? captured", said)
    seen = _number(r"(\d+) packets? received by filter", said)
    lost = _number(r"(\d+) packets? dropped by kernel", said)
    # What is dropped was seen by the filter (tp_packets += drops, packet_getsockopt).
    return Captured(read, max(0, seen - lost - read), lost)


class _Capture(Contestant):
    """trafgen on a, somebody who captures on b; the figure is what that one has read."""

    def __init__(self, path: SharedPath, load: Load) -> None:
        self.path = path
        self.load = load
        self.figures = {self.name: Figure.RECEIVED}
        self._rate = float(_FIRST)

    def prepare(self) -> None:
        """See Contestant."""
        find_program("trafgen")

    def _send(self, seconds: float) -> Sent:
        """As many frames as trafgen sends in about so long, going by the turn before."""
        target, source = self.path.mac("b"), self.path.mac("a")
        pool = self.load.pool(source, target)
        arguments = trafgen_arguments(bytes(pool.frame(0)), round(self._rate * seconds))
        with self.path.spawn("a", arguments) as process:
            sent = parsed(parse_trafgen, process.wait(seconds + _LATE).checked(), "stdout")
        self._rate = sent.frames / sent.seconds
        return sent


def trafgen_arguments(frame: bytes, count: int) -> list[str]:
    """How to start it: one CPU, `count` frames of a kind, nothing of the machine changed."""
    # -A, which is what --no-sock-mem is said to be short for, is unknown to trafgen 0.6.8.
    options = ["--cpus", "1", "--no-sock-mem", "--notouch-irq", "--num", str(count)]
    head = frame.rstrip(b"\0")
    content = ", ".join(f"0x{x:02x}" for x in head)
    return [
        "trafgen",
        "--out",
        "a",
        *options,
        f"{{ {content}, fill(0, {len(frame) - len(head)}) }}",
    ]


class BlockCapture(_Capture):
    """trafgen against the engine's TPACKET_V3 ring: figures of both."""

    name = BLOCKS_FROM_TRAFGEN

    def __init__(self, path: SharedPath, load: Load) -> None:
        super().__init__(path, load)
        self.figures = {TRAFGEN: Figure.SENT, BLOCKS_FROM_TRAFGEN: Figure.RECEIVED}

    def turn(self, seconds: float) -> Turn:
        """See Contestant."""
        with block_receiver(self.path, self.load) as receiver:
            sent = self._send(seconds)
            received = receiver.finish()
        return Turn.counted(self.load, sent=sent.frames, received=received, seconds=sent.seconds)


class _ProgramCapture(_Capture):
    """trafgen against a program that captures until it is interrupted."""

    arguments: tuple[str, ...]
    says_ready: str
    stream: str  # where it writes
    parse: staticmethod[[str], Captured]

    def prepare(self) -> None:
        """See Contestant."""
        super().prepare()
        find_program(self.arguments[0])

    def turn(self, seconds: float) -> Turn:
        """See Contestant."""
        with self.path.spawn("b", self.arguments) as process:
            process.wait_until(lambda: self.says_ready in getattr(process, self.stream))
            sent = self._send(seconds)
            process.send_signal(signal.SIGINT)
            finished = process.wait(_LATE).checked()
        captured = parsed(self.parse, finished, self.stream)
        return captured_turn(self.load, sent, captured)


def captured_turn(load: Load, sent: Sent, captured: Captured) -> Turn:
    """A turn by what the capturing program says; what it left unread is no loss."""
    rate = captured.read / sent.seconds
    return Turn(
        sent=sent.frames / sent.seconds,
        received=rate,
        bits=rate * load.payload * 8,
        lost=captured.lost / sent.frames,
        note=f"{captured.unread / sent.frames:.1%} left unread" if captured.unread else "",
    )


class NetsniffCapture(_ProgramCapture):
    """netsniff-ng, which looks at every frame and keeps none."""

    name = NETSNIFF
    arguments = (
        *("netsniff-ng", "--in", "b", "--silent", "--no-promisc", "--no-sock-mem"),
        *("--notouch-irq", "--no-hwtimestamp", "--ring-size", f"{_RING}MiB"),
    )
    says_ready = "Running!"
    stream = "stdout"
    parse = staticmethod(parse_netsniff)


class TcpdumpCapture(_ProgramCapture):
    """tcpdump, writing every frame to where it is gone."""

    name = TCPDUMP
    arguments = (
        *("tcpdump", "--interface=b", "--no-promiscuous-mode", "-n", "-Z", "root"),
        *(f"--buffer-size={_RING * 1024}", "-w", "/dev/null"),
    )
    says_ready = "listening on"
    stream = "stderr"
    parse = staticmethod(parse_tcpdump)
