"""How often a comparison of two runs errs, on runs that are drawn: docs/performance.md's table.

    .venv/bin/python benchmarks/comparison.py [RUNS]

The noise is what a shared two-core machine was seen to have: the machine's speed drifts, sample
and reference alike; each sample has noise of its own, and some stall; two runs of one build differ
a little, each measurement by itself and all of them together.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from harness.bench.comparison import BenchComparison, Difference, compare_runs
from harness.bench.measurement import Measurement, Run, Test

FRAMES = ("64", "128", "256", "512", "1024", "1280", "1518")
DRIFT = 0.25  # all of these are standard deviations of a logarithm
APART_ALONE, APART_TOGETHER = 0.02, 0.015
STALLS, STALLED = 0.05, 0.6  # so many samples, so much of their rate left


@dataclass(frozen=True)
class Setup:
    """So many paths with so many frame sizes, measured in rounds of so much noise."""

    paths: int
    frames: int
    rounds: int
    noise: float


FULL = (6, 7)
QUICK = (4, 2)
SETUPS = [
    Setup(*size, rounds, noise)
    for size, rounds in ((QUICK, 5), (QUICK, 9), (FULL, 5), (FULL, 9))
    for noise in (0.05, 0.10, 0.15, 0.20)
]


def drawn_run(random: Random, setup: Setup, speed: dict[str, float]) -> Run:
    """A run on a machine that drifts; `speed` of paths that are not as fast as they were."""
    together = random.gauss(0, APART_TOGETHER)
    return Run(
        kernel="6.18.0",
        machine="x86_64",
        date="2026-01-02T03:04:05Z",
        command="hairpin bench",
        engine="io_uring",
        cpus=2,
        seconds=1.0,
        measurements=tuple(_measurements(random, setup, speed, together)),
    )


def _measurements(
    random: Random, setup: Setup, speed: dict[str, float], together: float
) -> Iterator[Measurement]:
    for path in (f"path {i}" for i in range(setup.paths)):
        for frame in FRAMES[: setup.frames]:
            good = 5e5 * speed.get(path, 1.0) * math.exp(together + random.gauss(0, APART_ALONE))
            samples, references = [], []
            for _ in range(setup.rounds):
                machine = math.exp(random.gauss(0, DRIFT))
                stall = STALLED if random.random() < STALLS else 1.0
                samples.append(good * machine * stall * math.exp(random.gauss(0, setup.noise)))
                references.append(1e6 * machine)
            yield Measurement(
                Test.FORWARDING,
                path,
                frame,
                "frames/s",
                tuple(samples),
                references=tuple(references),
            )


def comparisons(
    setup: Setup, *, runs: int, speed: dict[str, float], seed: int = 1
) -> list[BenchComparison]:
    """So many pairs of runs, the second of each at `speed`, compared."""
    random = Random(seed)
    return [
        compare_runs(drawn_run(random, setup, {}), drawn_run(random, setup, speed))
        for _ in range(runs)
    ]


def share(flags: Iterator[bool]) -> float:
    """How many of them are true."""
    found = list(flags)
    return sum(found) / len(found)


def told(comparison: BenchComparison, path: str) -> bool:
    """Whether that path, or a measurement on it, is told as slower."""
    return comparison.paths[path].difference is Difference.SLOWER or any(
        contrast.difference is Difference.SLOWER
        for key, contrast in comparison.measurements.items()
        if key[1] == path
    )


def row(setup: Setup, runs: int) -> list[str]:
    """A row of the table: what was asked, and how often it was answered how."""
    alike = comparisons(setup, runs=runs, speed={})
    one = comparisons(setup, runs=runs, speed={"path 0": 0.85})
    every = dict.fromkeys((f"path {i}" for i in range(setup.paths)), 0.85)
    slow = comparisons(setup, runs=runs, speed=every)
    slower = Difference.SLOWER
    singles = (
        contrast.difference is slower
        for comparison in one
        for key, contrast in comparison.measurements.items()
        if key[1] == "path 0"
    )
    rates = (
        share(x.verdict in (slower, Difference.FASTER) for x in alike),
        share(x.verdict is Difference.NONE for x in alike),
        share(c.low <= 1 <= c.high for x in alike for c in x.measurements.values()),
        share(told(x, "path 0") for x in one),
        share(any(told(x, name) for name in every if name != "path 0") for x in one),
        share(singles),
        share(x.whole is not None and x.whole.difference is slower for x in slow),
    )
    asked = f"{setup.paths} × {setup.frames}"
    return [asked, f"{setup.rounds}", f"{setup.noise:.0%}", *(f"{100 * x:.1f} %" for x in rates)]


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(
        "| paths × frames | rounds | noise | same build: a difference told | same build: none told "
        "| interval has 1 | 15 % on a path: told | of another path: told "
        "| a measurement on it: told | 15 % everywhere: told of the whole |"
    )
    print("|---" * 10 + "|")
    for setup in SETUPS:
        print(f"| {' | '.join(row(setup, runs))} |", flush=True)


if __name__ == "__main__":
    main()
