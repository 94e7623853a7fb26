"""Two benchmark runs held against each other: what became faster, what slower, what nobody knows.

    samples ÷ references ──► log ──► bootstrap of the ratio of midmeans ──► interval ─┐
                              │                                                       ├─► verdict
                              └────► Mann–Whitney U ──────────────────────────────────┘

Three questions are asked: of the run as a whole, of each path (all frames together, which sees
what one measurement's noise hides) and of each measurement. Each may err once in twenty times
however many paths and measurements there are (Holm).

A difference is told where three things agree: its 95 % interval excludes everything up to
`Rules.margin`; so much is not to be expected by chance, by the bootstrap's standard error and at
the level above; ranks (Mann–Whitney U) say so too, so that one wild sample decides nothing. Where
none is told and a change of `Rules.hidden` could yet hide in the interval, that is said instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.bench.contrast import DRIFTING, REFERENCED, Contrast, Difference, Rules
from harness.bench.measurement import Key, Measurement, Run, Test
from harness.bench.noise import is_referenced
from harness.errors import UnfitError, UsageError

__all__ = [
    "DRIFTING",
    "FEWEST_ROUNDS",
    "REFERENCED",
    "BenchComparison",
    "Contrast",
    "Difference",
    "Rules",
    "compare_runs",
]

FEWEST_ROUNDS = 4
"""Ranks of fewer samples a side can look like a difference by chance, whatever they are."""

_FORWARDING = frozenset({Test.FORWARDING, Test.THROUGHPUT})
_STEADY_UNITS = frozenset({"frames", "guests", "B", "kB", "MB", "KiB", "MiB"})


@dataclass(frozen=True)
class BenchComparison:
    """Two runs and their contrasts. `whole` and `paths` are of what is forwarded, in frames/s.

    `whole` is None when nothing that both runs have is of that kind. `caveats` say what else
    than the kernel is not the same.
    """

    base: Run
    run: Run
    whole: Contrast | None
    paths: Mapping[str, Contrast]
    measurements: Mapping[Key, Contrast]
    only_in_base: tuple[Key, ...] = ()
    only_in_run: tuple[Key, ...] = ()
    caveats: tuple[str, ...] = ()

    @property
    def contrasts(self) -> tuple[Contrast, ...]:
        """All of them: the whole, paths, measurements."""
        whole = (self.whole,) if self.whole else ()
        return *whole, *self.paths.values(), *self.measurements.values()

    @property
    def verdict(self) -> Difference:
        """Slower if anything is, else faster if anything is; else what is said of the whole."""
        found = {contrast.difference for contrast in self.contrasts}
        for told in (Difference.SLOWER, Difference.FASTER):
            if told in found:
                return told
        if self.whole:
            return self.whole.difference
        return Difference.NONE if found == {Difference.NONE} else Difference.UNTOLD

    @property
    def is_slower(self) -> bool:
        """Whether anything is slower than it was: then the command line exits with 1."""
        return self.verdict is Difference.SLOWER


def compare_runs(base: Run, run: Run) -> BenchComparison:
    """What became faster or slower from `base` to `run`; the same for the same two runs.

    Raises UsageError when they have no measurement in common, UnfitError when there is no
    numpy or scipy.
    """
    try:
        from harness.bench.resampling import Resampling
    except ImportError as error:
        raise UnfitError(
            f"comparing takes numpy and scipy ({error})", remedy="pip install 'hairpin[bench]'"
        ) from error
    before = {m.key: m for m in base.measurements if m.samples}
    after = {m.key: m for m in run.measurements if m.samples}
    common = [key for key in after if key in before]
    if not common:
        raise UsageError("the two runs have no measurement in common: there is nothing to compare")
    told = {key: why for key in common if (why := _why_not(before[key], after[key]))}
    asked = [key for key in common if key not in told]
    resampling = Resampling([(before[key], after[key]) for key in asked])
    rules = [_rules(before[key], after[key]) for key in asked]

    singles = resampling.contrasts([[i] for i in range(len(asked))], rules)
    forwarded = [i for i, key in enumerate(asked) if Test(key[0]) in _FORWARDING]
    names = list(dict.fromkeys(asked[i][1] for i in forwarded))
    groups = [[i for i in forwarded if asked[i][1] == name] for name in names]
    paths = resampling.contrasts(groups, [_widest(rules[i] for i in group) for group in groups])
    whole = (
        resampling.contrasts([forwarded], [_widest(rules[i] for i in forwarded)], whole=True)
        if forwarded
        else []
    )
    measured = dict(zip(asked, singles, strict=True))
    return BenchComparison(
        base,
        run,
        whole=whole[0] if whole else None,
        paths=dict(zip(names, paths, strict=True)),
        measurements={key: measured.get(key) or _untold(told[key]) for key in common},
        only_in_base=tuple(key for key in before if key not in after),
        only_in_run=tuple(key for key in after if key not in before),
        caveats=_caveats(base, run),
    )


def _why_not(before: Measurement, after: Measurement) -> str:
    """Why the two cannot be compared; nothing if they can."""
    if before.unit != after.unit or before.better is not after.better:
        return f"{before.unit} in one run, {after.unit} in the other"
    rounds = min(len(before.samples), len(after.samples))
    if rounds < FEWEST_ROUNDS:
        return f"{rounds} of the at least {FEWEST_ROUNDS} rounds that it takes"
    return ""


def _untold(why: str) -> Contrast:
    return Contrast(Difference.UNTOLD, 1.0, 0.0, float("inf"), 1.0, REFERENCED, why=why)


def _rules(before: Measurement, after: Measurement) -> Rules:
    steady = before.unit in _STEADY_UNITS
    both = is_referenced(before) and is_referenced(after)
    return REFERENCED if both or steady else DRIFTING


def _widest(rules: Iterable[Rules]) -> Rules:
    return max(rules, key=lambda rule: rule.margin)


def _caveats(base: Run, run: Run) -> tuple[str, ...]:
    texts = [
        f"{what} not the same: {before}, then {after}"
        for what, before, after in (
            ("machine", base.machine, run.machine),
            ("CPUs", base.cpus, run.cpus),
            ("engine", base.engine, run.engine),
        )
        if before != after
    ]
    halves: Sequence[tuple[str, Run]] = (("base", base), ("run", run))
    texts += [f"the {name} was interrupted: partial" for name, it in halves if it.interrupted]
    return tuple(texts)
