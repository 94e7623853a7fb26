"""What a contestant is, and what one turn of it gives."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from harness.bench.frames import GSO_PAYLOAD, frames_of
from harness.kernel.engine import FRAME_CHECK, Pool
from harness.resource import Resource

__all__ = ["Contestant", "Cores", "Figure", "Load", "Turn", "gigabits"]

_VNET_HEADER = 10  # bytes: struct virtio_net_hdr
_TCP = 14 + 20 + 20  # bytes of headers in a GSO frame: Ethernet, IPv4, TCP


class Figure(StrEnum):
    """Which figure of a turn is a contestant's own: what it does itself."""

    SENT = "sent"
    RECEIVED = "received"
    GIGABITS = "bits"

    @property
    def unit(self) -> str:
        """In what it is given."""
        return "Gb/s" if self is Figure.GIGABITS else "frames/s"


class Cores(StrEnum):
    """How many CPUs a pair of sender and receiver has."""

    ONE = "one core"
    """They take turns: a batch is sent, then received."""
    TWO = "two cores"
    """One each, and never more frames on their way than a tap's queue holds."""


class Load(StrEnum):
    """What is sent, named as RFC 2544 does: bytes with the check sequence, or GSO."""

    SMALL = "64"
    FULL = "1518"
    GSO = "GSO"

    @property
    def length(self) -> int:
        """Bytes of a frame as a descriptor sees it, without header and check sequence."""
        return _TCP + GSO_PAYLOAD if self is Load.GSO else int(self) - FRAME_CHECK

    @property
    def header(self) -> int:
        """Bytes of virtio-net header before each."""
        return _VNET_HEADER if self is Load.GSO else 0

    @property
    def payload(self) -> int:
        """Bytes that count in bit/s: of GSO frames TCP's payload, as iperf3 counts."""
        return GSO_PAYLOAD if self is Load.GSO else self.length

    @property
    def slots(self) -> int:
        """How many frames of it are kept in memory: they shall fit into a CPU's cache."""
        return 32 if self is Load.GSO else 256

    @property
    def batch(self) -> int:
        """How many are sent between two looks at the clock, and at the window."""
        return self.slots // 2

    @property
    def window(self) -> int:
        """How many may be on their way from tap to tap: less than a tap's queue holds, 500.

        Of GSO frames as many as TCP would have on its way, some MiB.
        """
        return 64 if self is Load.GSO else 448

    @property
    def delivered(self) -> Figure:
        """How it is told what has arrived."""
        return Figure.GIGABITS if self is Load.GSO else Figure.RECEIVED

    @cache
    def pool(self, source: bytes, target: bytes) -> Pool:
        """The frames, the same for everybody who sends from memory."""
        spec = frames_of(self, targets=(target,), sources=(source,), header=self.header)
        return Pool.of(spec, self.slots)


def gigabits(bits: float) -> float:
    """bit/s as Gb/s."""
    return bits / 1e9


@dataclass(frozen=True)
class Turn:
    """Rates of one turn: frames sent and received per second, bits received per second.

    `lost` is the share of what was sent that never arrived, `note` what else there is to say.
    """

    sent: float
    received: float
    bits: float
    lost: float = 0.0
    note: str = ""

    def figure(self, which: Figure) -> float:
        """One of its figures, as a sample: frames/s or Gb/s."""
        if which is Figure.GIGABITS:
            return gigabits(self.bits)
        return self.sent if which is Figure.SENT else self.received

    @classmethod
    def counted(
        cls, load: Load, *, sent: int, received: int, seconds: float, note: str = ""
    ) -> Turn:
        """A turn in which so many frames were sent in `seconds`, and received."""
        rate = received / seconds
        lost = max(0.0, 1 - received / sent) if sent else 0.0
        return cls(sent / seconds, rate, rate * load.payload * 8, lost, note)


class Contestant(Resource):
    """Sends, receives or both on the shared path. Use it in a `with` statement.

    `name` is what it is; `figures` are the variants that a turn of it measures, and by what.
    A turn raises UnfitError or CommandError when its program is not there or fails, KernelError
    when the kernel refuses something.
    """

    name: str
    figures: dict[str, Figure]
    load: Load

    def prepare(self) -> None:
        """Do once what takes its time and belongs to no turn. Raises as a turn does."""

    @abstractmethod
    def turn(self, seconds: float) -> Turn:
        """Send for about `seconds`, and say how it went."""

    def close(self) -> None:
        """End what was started; idempotent."""
