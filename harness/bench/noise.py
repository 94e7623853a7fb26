"""How far samples can be trusted: what they are next to the engine's own ceiling, and how they
scatter.

A shared machine drifts by half within minutes. Next to each sample the engine's own ceiling was
taken, which drifts alike: their ratio is steadier than either.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isinf
from statistics import median, quantiles

from harness.bench.measurement import Better, Measurement, Test

__all__ = ["NOISY", "dispersion", "goodness", "is_referenced", "scatter", "too_noisy"]

NOISY = 0.30
"""Dispersion from which on a median would say more than is known."""


def goodness(measurement: Measurement, *, referenced: bool) -> tuple[float, ...]:
    """How good each sample is, more for better, next to its reference if it is `referenced`.

    A rate counts as it is, a time by its inverse, a share that was lost by what got through. On
    a machine that is half as fast, half the rate and twice the time are as good as before.
    """
    samples = measurement.samples
    if measurement.test is Test.LOSS and measurement.better is Better.LOWER and max(samples) <= 1:
        return tuple(1 - share for share in samples)
    if measurement.better is Better.LOWER:
        samples = tuple(1 / sample if sample > 0 else inf for sample in samples)
    if not referenced:
        return samples
    return tuple(
        x / reference for x, reference in zip(samples, measurement.references, strict=True)
    )


def is_referenced(measurement: Measurement) -> bool:
    """Whether each sample has a reference."""
    references = measurement.references
    return len(references) == len(measurement.samples) and all(x > 0 for x in references)


def dispersion(measurement: Measurement) -> float:
    """How far the samples scatter, each next to its reference where it has one; see `scatter`."""
    return scatter(goodness(measurement, referenced=is_referenced(measurement)))


def scatter(samples: Sequence[float]) -> float:
    """Interquartile range of `samples`, as a share of their median; 0 for one of them."""
    middle = median(samples)
    if len(samples) < 2 or middle == 0 or isinf(max(samples)):
        return 0.0
    low, _, high = quantiles(samples, n=4, method="inclusive")
    return (high - low) / middle


def too_noisy(measurement: Measurement) -> bool:
    """Whether a spread says more of it than a number would.

    Never of rivals, which only their ratios tell of: these were taken in turns.
    """
    return measurement.test is not Test.RIVAL and dispersion(measurement) > NOISY
