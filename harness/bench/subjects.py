"""What is measured, one sample a round: each subject keeps its samples and makes a measurement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from statistics import median
from typing import Any, ClassVar

from harness.bench.crew import Crew
from harness.bench.ends import Path
from harness.bench.jobs import Alternating
from harness.bench.limits import by_cpu_time
from harness.bench.measurement import Better, Cost, Limit, Measurement, Test
from harness.bench.paths import loop_path
from harness.bench.rfc2544 import (
    BURST_CAP,
    Found,
    LatencyTest,
    longest_burst,
    loss_curve,
    throughput,
)
from harness.bench.trial import spec_for
from harness.kernel.cpu import CpuUse
from harness.kernel.engine import FrameSpec

__all__ = ["BackToBack", "Forwarding", "Latency", "Loss", "Subject", "Throughput"]

_SLOWEST = 1000.0  # frames per second of a latency's load


@dataclass
class Subject(ABC):
    """Something to be measured on a path, with frames of one size (`frame`, or GSO)."""

    test: ClassVar[Test]

    path: Path
    frame: str
    variant: str = field(default="", kw_only=True)
    flows: int = field(default=0, kw_only=True)
    seconds: float = field(default=0.1, kw_only=True)
    samples: list[float] = field(default_factory=list, init=False)

    @property
    def spec(self) -> FrameSpec:
        """The frames."""
        return spec_for(self.path, self.frame, flows=self.flows)

    @property
    def title(self) -> str:
        """What it is, for people."""
        what = self.test.value
        return ", ".join(x for x in (f"{what}: {self.path.name}", self.frame, self.variant) if x)

    @abstractmethod
    def sample(self, crew: Crew) -> float:
        """Take one more; a rate in frames per second, to be shown. Raises KernelError."""

    @abstractmethod
    def measurement(self) -> Measurement:
        """What has come of the samples so far, of which there is one at least."""

    def _measured(self, unit: str, **more: Any) -> Measurement:
        return Measurement(
            self.test,
            self.path.name,
            self.frame,
            unit,
            tuple(self.samples),
            variant=self.variant,
            **more,
        )


@dataclass
class Forwarding(Subject):
    """Frames per second on one core, next to the engine's own without a network."""

    test = Test.FORWARDING

    def __post_init__(self) -> None:
        self._references: list[float] = []
        self._use = CpuUse(0, 0, 0)
        self._frames = 0

    def sample(self, crew: Crew) -> float:
        """See Subject."""
        spec = self.spec
        with loop_path(spec.size) as loop:
            job = Alternating(
                spec,
                self.seconds,
                batch=max(1, self.path.queue // 2),
                reference_batch=max(1, loop.queue // 2),
                kinds=(self.path.a.kind, self.path.b.kind),
            )
            fds = (self.path.a.fd, loop.a.fd, loop.b.fd, *self.path.b.descriptors)
            pending = crew.sender.start(job, fds, what=f"forward over {self.path.name}")
            pending.go()
            outcome = pending.outcome()
        self.samples.append(outcome.rate)
        self._references.append(outcome.reference)
        self._use += outcome.use
        self._frames += outcome.frames
        return outcome.rate

    def measurement(self) -> Measurement:
        """See Subject."""
        use, frames = self._use, self._frames
        instructions = use.instructions / frames if use.instructions else None
        return self._measured(
            "frames/s",
            references=tuple(self._references),
            limited_by=by_cpu_time(use),
            cost=Cost(use.user / frames, use.system / frames, instructions),
        )


@dataclass
class Throughput(Subject):
    """RFC 2544, 26.1."""

    test = Test.THROUGHPUT

    resolution = 0.05

    def __post_init__(self) -> None:
        self._found: list[Found] = []

    def sample(self, crew: Crew) -> float:
        """See Subject."""
        found = throughput(
            crew, self.path, self.spec, seconds=self.seconds, resolution=self.resolution
        )
        self._found.append(found)
        self.samples.append(found.value)
        return found.value

    def measurement(self) -> Measurement:
        """See Subject."""
        limits = [found.limited_by for found in self._found]
        return self._measured(
            "frames/s",
            limited_by=max(limits, key=limits.count),
            note=f"± {self.resolution:.0%} of the sender's rate, trials of {self.seconds:g} s",
        )


@dataclass
class Latency(Subject):
    """RFC 2544, 26.2, at `rate`, or a share `load` of the throughput that `most` has found."""

    test = Test.LATENCY

    most: Throughput = field(kw_only=True)
    load: float = field(kw_only=True)
    rate: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._test = LatencyTest()

    def sample(self, crew: Crew) -> float:
        """See Subject."""
        rate = self.rate or max(_SLOWEST, self.load * median(self.most.samples))
        value = self._test.sample(crew, self.path, self.spec, rate=rate, seconds=self.seconds)
        self.samples.append(value)
        return rate

    def measurement(self) -> Measurement:
        """See Subject; the samples are medians, the curve is of all rounds together."""
        return self._measured(
            "µs",
            better=Better.LOWER,
            curve=self._test.curve,
            note="the receiver polls; one frame of each batch is timed, from when it was due",
        )


@dataclass
class Loss(Subject):
    """RFC 2544, 26.3: a sample is the share lost of all that the sender can send."""

    test = Test.LOSS

    loads: tuple[float, ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        self._curves: list[tuple[tuple[float, float], ...]] = []

    def sample(self, crew: Crew) -> float:
        """See Subject."""
        curve = loss_curve(crew, self.path, self.spec, loads=self.loads, seconds=self.seconds)
        self._curves.append(curve)
        offered, lost = curve[-1]
        self.samples.append(lost)
        return offered

    def measurement(self) -> Measurement:
        """See Subject; a point of the curve is the median of its rounds."""
        points = zip(*self._curves, strict=True)
        return self._measured(
            "share",
            better=Better.LOWER,
            curve=tuple((median(x for x, _ in p), median(y for _, y in p)) for p in points),
        )


@dataclass
class BackToBack(Subject):
    """RFC 2544, 26.4."""

    test = Test.BURST

    def __post_init__(self) -> None:
        self.variant = f"queue of {self.path.queue}"
        self._limits: list[Limit] = []

    def sample(self, crew: Crew) -> float:
        """See Subject."""
        found = longest_burst(crew, self.path, self.spec)
        self.samples.append(found.value)
        self._limits.append(found.limited_by)
        return found.value

    def measurement(self) -> Measurement:
        """See Subject."""
        endless = max(self.samples) >= BURST_CAP
        return self._measured(
            "frames",
            limited_by=max(self._limits, key=self._limits.count),
            note=f"{BURST_CAP:,}: no end to it, in a round at least" if endless else "",
        )
