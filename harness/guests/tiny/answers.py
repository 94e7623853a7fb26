"""What a guest's agent answers, as facts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["CardFacts", "Ended", "Frames", "Hello", "Ping", "Sent", "Stop", "Transfer"]


@dataclass(frozen=True)
class CardFacts:
    """A network card of the guest. `address` is IPv4, "" where it has none."""

    name: str
    mac: str
    mtu: int
    index: int
    up: bool
    carrier: bool
    queues: int
    address: str


@dataclass(frozen=True)
class Hello:
    """Who answers. `uptime` is in seconds; `boot` differs after every boot.

    `commands`, `captures` and `ports` are what is under way, perhaps from an earlier session.
    """

    version: int
    architecture: str
    kernel: str
    uptime: float
    boot: str
    nics: tuple[CardFacts, ...]
    commands: tuple[int, ...]
    captures: tuple[int, ...]
    ports: tuple[int, ...]


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status (-N: signal N), the last mebibyte of what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes
    timed_out: bool

    @property
    def ok(self) -> bool:
        """Whether it ended by itself, with status 0."""
        return self.status == 0 and not self.timed_out


@dataclass(frozen=True)
class Sent:
    """How many frames the guest's kernel took; `errno` is why no more, 0 where all were taken."""

    count: int
    errno: int


class Stop(StrEnum):
    """Why a capture was read no further."""

    COUNT = "count"
    TAIL = "tail"
    TIME = "time"
    MORE = "more"  # the answer was long enough


@dataclass(frozen=True)
class Frames:
    """Frames in the order of their arrival; `lost` are those the capture had no room for."""

    frames: tuple[bytes, ...]
    stop: Stop
    lost: int


@dataclass(frozen=True)
class Ping:
    """Whether an echo request was answered, after how many seconds; else the reason."""

    ok: bool
    rtt: float
    reason: str


@dataclass(frozen=True)
class Transfer:
    """Whether all bytes arrived as they were sent; else the reason.

    `seconds` include connecting.
    """

    ok: bool
    reason: str
    sent: int
    seconds: float

    @property
    def bits_per_second(self) -> float:
        """Throughput of what was sent."""
        return self.sent * 8 / self.seconds if self.seconds else 0.0
