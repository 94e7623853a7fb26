"""What a benchmark run yields: measurements, each with every sample it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from statistics import median
from typing import Any, Self

from harness.errors import UsageError

__all__ = ["SCHEMA", "Better", "Cost", "Key", "Limit", "Measurement", "Run", "Test"]

SCHEMA = "hairpin-bench/1"
"""Fields may be added under this name; whatever else changes makes the next number."""

Key = tuple[str, str, str, str]
"""Test, path, frame and variant: what tells a measurement from every other of a run."""


class Test(StrEnum):
    """What is measured; RFC 2544 and RFC 2889 name most of them."""

    __test__ = False  # pytest shall not take it for a test class

    FORWARDING = "forwarding"
    """Frames per second on one core, sender, kernel and receiver in turn; nothing may be lost."""
    THROUGHPUT = "throughput"
    """Highest rate at which nothing is lost, sender and receiver each on a core."""
    LATENCY = "latency"
    LOSS = "frame loss"
    BURST = "back-to-back"
    ADDRESSES = "address scaling"
    FAN_OUT = "broadcast fan-out"
    RIVAL = "rivals"
    SCALE = "scale"


class Better(StrEnum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"


class Limit(StrEnum):
    """What a figure was limited by."""

    SENDER = "sender"
    """The sender's own work, outside of the kernel."""
    KERNEL = "kernel"
    """The path: what the kernel does to a frame."""
    RECEIVER = "receiver"
    """The receiver was busy all the time, and frames were lost."""
    QUEUE = "queue"
    """Frames found the queue full though the receiver had time left."""


@dataclass(frozen=True)
class Cost:
    """CPU time per frame in ns, by who spent it; instructions per frame where perf counts them."""

    user: float
    system: float
    instructions: float | None = None


@dataclass(frozen=True)
class Measurement:
    """One figure: `samples` in `unit`, one for each round, in the order they were taken.

    `references` are the engine's ceiling on this machine next to each sample (frames per second
    of the same engine without any network), so that a machine that was slower for a moment can
    be told from a kernel that is; empty where there is none to compare with.
    `frame` is the frame's size in bytes with its check sequence, as RFC 2544 counts, or GSO.
    `beside` is the variant, on the same path, that a rival is compared with, sample by sample.
    `curve` has points for a plot: loss against load, latency against percentile, and the like.
    """

    test: Test
    path: str
    frame: str
    unit: str
    samples: tuple[float, ...]
    variant: str = ""
    beside: str = ""
    better: Better = Better.HIGHER
    references: tuple[float, ...] = ()
    limited_by: Limit | None = None
    cost: Cost | None = None
    curve: tuple[tuple[float, float], ...] = ()
    note: str = ""

    @property
    def key(self) -> Key:
        """What tells it from every other of its run."""
        return self.test.value, self.path, self.frame, self.variant

    @property
    def value(self) -> float:
        """The median of the samples."""
        return median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """Lowest and highest sample."""
        return min(self.samples), max(self.samples)


@dataclass(frozen=True)
class Run:
    """A benchmark run. `missing` says of what could not be measured here, why.

    Each measurement has a key of its own; raises ValueError otherwise.
    """

    kernel: str
    machine: str
    date: str
    command: str
    engine: str
    """How frames are sent and received here: io_uring, or write and read."""
    cpus: int
    seconds: float
    measurements: tuple[Measurement, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def __post_init__(self) -> None:
        keys = [measurement.key for measurement in self.measurements]
        twice = [", ".join(filter(None, key)) for key in set(keys) if keys.count(key) > 1]
        if twice:
            raise ValueError(f"measured twice: {'; '.join(sorted(twice))}")

    def to_json(self) -> dict[str, Any]:
        """The run as JSON's types; `schema` first."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The run that `to_json` gave. Raises UsageError when `data` is none."""
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            raise UsageError(f"this is no benchmark run: no schema {SCHEMA!r}")
        try:
            fields = {name: value for name, value in data.items() if name != "schema"}
            fields["measurements"] = tuple(_measurement(x) for x in data["measurements"])
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"this is no benchmark run: {error}") from error


def _measurement(data: Mapping[str, Any]) -> Measurement:
    cost = data.get("cost")
    limit = data.get("limited_by")
    return Measurement(
        **{
            **data,
            "test": Test(data["test"]),
            "better": Better(data["better"]),
            "samples": tuple(map(float, data["samples"])),
            "references": tuple(map(float, data["references"])),
            "limited_by": Limit(limit) if limit else None,
            "cost": Cost(**cost) if cost else None,
            "curve": tuple((float(x), float(y)) for x, y in data["curve"]),
        }
    )
