"""The tests of RFC 2544 on one path: throughput, latency, frame loss, back-to-back frames.

Sender and receiver run on a core each. On a machine that is shared, a core may be taken away for
longer than the receiver's queue lasts: a rate counts as lossless when one trial out of a few loses
nothing, and how many trials it took is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.bench.crew import Crew
from harness.bench.ends import Path
from harness.bench.measurement import Limit
from harness.bench.trial import Trial, run_trial
from harness.errors import UnfitError
from harness.kernel.engine import FrameSpec

__all__ = [
    "BURST_CAP",
    "Found",
    "LatencyTest",
    "longest_burst",
    "loss_curve",
    "throughput",
]

ATTEMPTS = 3
BURST_CAP = 1 << 14
"""Frames of the longest burst that is tried: who loses none of so many loses none of more."""
_CURVE = (0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0)
_LONGEST = 60_000_000_000  # ns that a histogram has room for
_DIGITS = 3  # of a latency that are kept


@dataclass(frozen=True)
class Found:
    """The highest rate (or longest burst) without loss; what kept it from more."""

    value: float
    limited_by: Limit
    attempts: int
    """Trials that were made."""


def _lossless(
    crew: Crew, path: Path, spec: FrameSpec, *, rate: float = 0.0, frames: int = 0, seconds: float
) -> tuple[bool, Trial, int]:
    """Whether some trial loses nothing; the last trial, and how many there were."""
    number = 0
    while True:
        number += 1
        if frames:
            trial = run_trial(crew, path, spec, frames=frames)
        else:
            trial = run_trial(crew, path, spec, rate=rate, seconds=seconds)
        if not trial.lost or number == ATTEMPTS:
            return not trial.lost, trial, number


def throughput(
    crew: Crew, path: Path, spec: FrameSpec, *, seconds: float, resolution: float
) -> Found:
    """RFC 2544, 26.1: the highest rate at which nothing is lost, by binary search.

    Frames per second, to `resolution` (a share) of the rate at which the sender sends when
    nothing holds it back; trials of `seconds` each. Raises KernelError.
    """
    fine, trial, attempts = _lossless(crew, path, spec, seconds=seconds)
    most = trial.sent.rate
    if fine:
        return Found(most, trial.limited_by, attempts)
    limit = trial.limited_by
    low, high, step = 0.0, most, resolution * most
    while high - low > step:
        rate = (low + high) / 2
        fine, trial, number = _lossless(crew, path, spec, rate=rate, seconds=seconds)
        attempts += number
        if fine:
            low = min(rate, trial.sent.rate)
            if not trial.kept_up:  # no more can be offered
                return Found(low, trial.limited_by, attempts)
        else:
            high, limit = rate, trial.limited_by
    return Found(low, limit, attempts)


def loss_curve(
    crew: Crew, path: Path, spec: FrameSpec, *, loads: Sequence[float], seconds: float
) -> tuple[tuple[float, float], ...]:
    """RFC 2544, 26.3: share of frames lost (0 to 1) against offered frames per second.

    `loads` are shares of what the sender can send. Raises KernelError.
    """
    most = run_trial(crew, path, spec, seconds=seconds).sent.rate
    trials = [run_trial(crew, path, spec, rate=most * load, seconds=seconds) for load in loads]
    return tuple((trial.offered, trial.loss) for trial in trials)


def longest_burst(crew: Crew, path: Path, spec: FrameSpec) -> Found:
    """RFC 2544, 26.4: frames of the longest burst, as fast as they go, of which none is lost.

    To 5 %, at most BURST_CAP. Raises KernelError.
    """
    low, high, limit, attempts = 0, BURST_CAP, Limit.KERNEL, 0
    frames = BURST_CAP  # most often there is no end to it
    while high - low > max(1, low // 20):
        fine, trial, number = _lossless(crew, path, spec, frames=frames, seconds=0)
        attempts += number
        if frames == BURST_CAP:
            if fine:
                return Found(frames, trial.limited_by, attempts)
            frames = path.queue
            limit = trial.limited_by
        elif fine:
            low = frames
            frames = min(2 * frames, (low + high + 1) // 2)
        else:
            high, limit = frames, trial.limited_by
            frames = (low + high) // 2
    return Found(low, limit, attempts)


class LatencyTest:
    """RFC 2544, 26.2: how long frames take from one descriptor to the other, under load.

    One frame of each batch bears the time at which it was due; the receiver never sleeps. All
    rounds go into one HdrHistogram. Raises UnfitError without the extra.
    """

    def __init__(self) -> None:
        try:
            from hdrh.histogram import HdrHistogram
        except ImportError as error:
            raise UnfitError(
                f"measuring latency takes HdrHistogram ({error})",
                remedy="pip install 'hairpin[bench]'",
            ) from error
        histogram: Any = HdrHistogram  # it has no types
        self._new = partial(histogram, 1, _LONGEST, _DIGITS)
        self._all = self._new()

    def sample(
        self, crew: Crew, path: Path, spec: FrameSpec, *, rate: float, seconds: float
    ) -> float:
        """The median latency of one round, in µs. Raises KernelError."""
        trial = run_trial(
            crew, path, spec, rate=rate, seconds=seconds, stamped=True, busy=not crew.alone
        )
        round_ = self._new()
        for nanoseconds in trial.received.latencies:
            round_.record_value(nanoseconds)
        self._all.add(round_)
        return float(round_.get_value_at_percentile(50.0)) / 1000

    @property
    def curve(self) -> tuple[tuple[float, float], ...]:
        """Percentile and latency in µs, over all rounds; the last is the greatest."""
        return tuple(
            (percentile, self._all.get_value_at_percentile(percentile) / 1000)
            for percentile in _CURVE
        )
