"""The statistics of a comparison: rounds drawn again, ranks, and how sure one may be.

All is in logarithms of how good a sample is, so that a ratio is a difference and twice as good is
as far as half as good. In each draw the rounds of a run are drawn once for all its measurements:
what troubled the machine in a round, troubled them together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.bench.contrast import Contrast, Difference, Rules
from harness.bench.measurement import Measurement
from harness.bench.noise import goodness, is_referenced

__all__ = ["Resampling"]

Floats = NDArray[np.float64]
Pair = tuple[Measurement, Measurement]

_DRAWS = 4000
_SEED = 20130708  # any: the same two runs are to give the same verdict
_LEVEL = 0.05  # of each question; what comes of it is simulated: docs/performance.md
_RANKS = 0.05
_COVERED = (2.5, 97.5)
# What two runs of one build differ by besides what their rounds show (standard deviation of the
# logarithm), each measurement by itself and all together: docs/performance.md has the figures.
_OWN, _TOGETHER = 0.03, 0.02
_TINY = 1e-12
_LEAST = 1e-3
"""Of the greatest: what stands for 0 and, turned round, for infinity, which have no logarithm."""


class Resampling:
    """Pairs of measurements, base and run, whose differences are drawn anew some thousand times."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._random = np.random.default_rng(_SEED)
        self._rounds: dict[tuple[int, int], NDArray[np.intp]] = {}
        self._logs = [_logs(before, after) for before, after in pairs]
        self._found = np.array([_middle(new) - _middle(old) for old, new in self._logs])
        drawn = [self._drawn(0, old, 1, new) for old, new in self._logs]
        self._by_rounds = np.array(drawn).reshape(len(drawn), _DRAWS)
        apart = self._random.normal(0, _OWN, self._by_rounds.shape)
        self._draws = self._by_rounds + apart + self._random.normal(0, _TOGETHER, _DRAWS)

    def _drawn(self, base: int, old: Floats, run: int, new: Floats) -> Floats:
        ends = []
        for which, logs in ((base, old), (run, new)):
            rounds, middle = len(logs), _middle(logs)
            # Draws from few samples scatter less than further samples would.
            wider = math.sqrt(rounds / (rounds - 1))
            ends.append(middle + wider * (_middle(logs[self._rounds_of(which, rounds)]) - middle))
        drawn: Floats = ends[1] - ends[0]
        return drawn

    def _rounds_of(self, which: int, rounds: int) -> NDArray[np.intp]:
        if (which, rounds) not in self._rounds:
            drawn = self._random.integers(0, rounds, (_DRAWS, rounds))
            self._rounds[which, rounds] = drawn
        return self._rounds[which, rounds]

    def contrasts(
        self, groups: Sequence[Sequence[int]], rules: Sequence[Rules], *, whole: bool = False
    ) -> list[Contrast]:
        """A contrast for each group of pairs (their numbers), adjusted for there being so many.

        With `whole`, measurements are drawn as well as rounds: what holds for all of them then
        does not hang on one.
        """
        estimates = [self._estimate(list(group), whole=whole) for group in groups]
        chances = _holm([estimate.chance for estimate in estimates])
        return [
            self._contrast(group, estimate, chance, rule)
            for group, estimate, chance, rule in zip(groups, estimates, chances, rules, strict=True)
        ]

    def _estimate(self, group: list[int], *, whole: bool) -> _Estimate:
        draws = self._draws[group]
        if whole:
            members = self._random.integers(0, len(group), draws.shape)
            draws = np.take_along_axis(draws, members, axis=0)
        drawn = draws.mean(axis=0)
        # What the rounds show is known from few of them only, how runs differ besides is not
        # asked of them (Welch and Satterthwaite).
        rounds = min(len(old) + len(new) - 2 for old, new in (self._logs[i] for i in group))
        shown = float(self._by_rounds[group].mean(axis=0).var())
        freedom = rounds * (float(drawn.var()) / max(shown, _TINY)) ** 2
        return _Estimate(float(self._found[group].mean()), drawn, freedom)

    def _ranks(self, group: Sequence[int]) -> float:
        """Mann–Whitney U; that of several measurements added up (van Elteren)."""
        if len(group) == 1:
            old, new = self._logs[group[0]]
            if np.ptp(np.concatenate((old, new))) == 0:
                return 1.0
            return float(stats.mannwhitneyu(new, old).pvalue)
        excess, variance = 0.0, 0.0
        for old, new in (self._logs[i] for i in group):
            count = len(old) * len(new)
            excess += float(stats.mannwhitneyu(new, old, method="asymptotic").statistic) - count / 2
            variance += count * (len(old) + len(new) + 1) / 12
        return float(2 * stats.norm.sf(abs(excess) / math.sqrt(variance)))

    def _contrast(
        self, group: Sequence[int], estimate: _Estimate, chance: float, rules: Rules
    ) -> Contrast:
        found, (low, high) = estimate.found, estimate.interval
        margin, hidden = -math.log(1 - rules.margin), -math.log(1 - rules.hidden)
        difference = Difference.NONE if -hidden < low and high < hidden else Difference.UNTOLD
        if chance < _LEVEL and (high < -margin or low > margin) and self._ranks(group) < _RANKS:
            difference = Difference.SLOWER if found < 0 else Difference.FASTER
        return Contrast(
            difference,
            ratio=math.exp(found),
            low=math.exp(low),
            high=math.exp(high),
            p=chance,
            rules=rules,
            members=len(group),
        )


@dataclass(frozen=True)
class _Estimate:
    """A difference that was found, those that were drawn, and the degrees of freedom."""

    found: float
    drawn: Floats
    freedom: float

    @property
    def chance(self) -> float:
        """How likely it is to find so much where there is no difference."""
        return 2 * float(stats.t.sf(abs(self.found) / float(self.drawn.std()), self.freedom))

    @property
    def interval(self) -> tuple[float, float]:
        """The middle 95 % of what was drawn, wider by as much as few rounds leave open."""
        wider = float(stats.t.ppf(0.975, self.freedom) / stats.norm.ppf(0.975))
        low, high = (float(x) for x in np.percentile(self.drawn, _COVERED))
        return self.found + wider * (low - self.found), self.found + wider * (high - self.found)


def _logs(before: Measurement, after: Measurement) -> tuple[Floats, Floats]:
    """How good the samples of both are: the logarithm, more is better."""
    referenced = is_referenced(before) and is_referenced(after)
    good = [np.asarray(goodness(x, referenced=referenced), float) for x in (before, after)]
    finite = np.concatenate(good)
    finite = finite[np.isfinite(finite)]
    most = float(finite.max(initial=0.0)) or 1.0
    least, most = most * _LEAST, most / _LEAST
    old, new = (np.log(np.clip(x, least, most)) for x in good)
    return old, new


def _middle(logs: Floats) -> Floats:
    """Mean of the middle half, along the last axis: as deaf to stalls as the median, steadier."""
    rounds = logs.shape[-1]
    cut = rounds // 4
    middle: Floats = np.sort(logs, axis=-1)[..., cut : rounds - cut].mean(axis=-1)
    return middle


def _holm(chances: Sequence[float]) -> list[float]:
    """Chances adjusted for their number, so that one error in the family is as likely as one."""
    adjusted, worst = [1.0] * len(chances), 0.0
    for rank, i in enumerate(np.argsort(chances)):
        worst = max(worst, min(1.0, (len(chances) - rank) * chances[int(i)]))
        adjusted[int(i)] = worst
    return adjusted
