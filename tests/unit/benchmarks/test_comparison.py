"""Two runs: of one build they are told as no different, and what became slower as slower."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench.comparison import compare_runs
from harness.bench.contrast import DRIFTING, Difference
from harness.bench.measurement import Better, Measurement, Run, Test
from harness.bench.noise import NOISY, dispersion, goodness, scatter, too_noisy
from harness.errors import UnfitError, UsageError

SLOWER, FASTER, NONE, UNTOLD = (
    Difference.SLOWER,
    Difference.FASTER,
    Difference.NONE,
    Difference.UNTOLD,
)
RATES = (100.0, 103.0, 98.0, 101.0, 99.0, 102.0, 97.0)
CEILING = (200.0,) * len(RATES)


def rate(samples=RATES, *, path="p", frame="64", references=CEILING, **more):
    given = {"test": Test.FORWARDING, "unit": "frames/s"} | more
    return Measurement(
        path=path, frame=frame, samples=tuple(samples), references=tuple(references), **given
    )


def run(*measurements, **more):
    given = {
        "kernel": "6.18.0",
        "machine": "x86_64",
        "date": "2026-01-02T03:04:05Z",
        "command": "hairpin bench",
        "engine": "io_uring",
        "cpus": 2,
        "seconds": 1.0,
    }
    return Run(**given | more, measurements=measurements)


def times(factor, samples=RATES):
    return tuple(factor * x for x in samples)


def only(before, after):
    """The contrast of one measurement in two runs."""
    (contrast,) = compare_runs(run(before), run(after)).measurements.values()
    return contrast


def test_a_run_does_not_differ_from_itself(make_run):
    comparison = compare_runs(make_run(), make_run())
    assert comparison.verdict is NONE
    assert not comparison.is_slower
    assert comparison.whole.ratio == 1


def test_two_runs_of_one_build_do_not_differ(make_run):
    assert compare_runs(make_run(1), make_run(2)).verdict is NONE


def test_a_path_that_became_slower_is_named_and_no_other(make_run):
    slow = "macvtap vepa, hairpin"
    comparison = compare_runs(make_run(1), make_run(2, slower={slow: 0.80}))
    assert comparison.is_slower
    assert [name for name, c in comparison.paths.items() if c.difference is SLOWER] == [slow]
    assert 0.75 < comparison.paths[slow].ratio < 0.86


def test_the_same_two_runs_have_the_same_comparison(make_run):
    assert compare_runs(make_run(1), make_run(2)) == compare_runs(make_run(1), make_run(2))


@pytest.mark.parametrize(("factor", "told"), [(0.8, SLOWER), (1.25, FASTER), (0.99, NONE)])
def test_more_is_better_for_rates(factor, told):
    contrast = only(rate(), rate(times(factor)))
    assert contrast.difference is told
    assert contrast.ratio == pytest.approx(factor)
    assert contrast.low < factor < contrast.high


def test_less_is_better_for_times():
    time = {"better": Better.LOWER, "unit": "µs", "test": Test.LATENCY}
    contrast = only(rate(**time), rate(times(1.25), **time))
    assert contrast.difference is SLOWER
    assert contrast.ratio == pytest.approx(0.8)


def test_a_machine_that_was_slower_is_no_kernel_that_is():
    half = rate(times(0.5), references=times(0.5, CEILING))
    assert only(rate(), half).difference is NONE


def test_a_time_on_a_machine_that_was_slower_is_as_good_as_before():
    time = {"better": Better.LOWER, "unit": "µs", "test": Test.LATENCY}
    twice = rate(times(2), references=times(0.5, CEILING), **time)
    assert only(rate(**time), twice).ratio == pytest.approx(1)


@pytest.mark.parametrize(("factor", "told"), [(0.8, NONE), (0.5, SLOWER)])
def test_without_references_only_what_no_machine_drifts_is_told(factor, told):
    contrast = only(rate(references=()), rate(times(factor), references=()))
    assert contrast.rules == DRIFTING
    assert contrast.difference is told


def test_counts_do_not_hang_on_the_speed_of_the_machine():
    burst = {"test": Test.BURST, "unit": "frames", "references": ()}
    before, after = rate((500,) * 7, **burst), rate((400,) * 7, **burst)
    assert only(before, after).difference is SLOWER
    assert only(before, before).difference is NONE


def test_nothing_lost_compares_with_little_lost():
    loss = {"test": Test.LOSS, "unit": "share", "references": (), "better": Better.LOWER}
    assert only(rate((0.0,) * 7, **loss), rate((0.01,) * 7, **loss)).difference is NONE
    assert only(rate((0.0,) * 7, **loss), rate((0.6,) * 7, **loss)).difference is SLOWER


def test_a_rate_of_nothing_is_slower():
    assert only(rate(), rate((0,) * 7)).difference is SLOWER


def test_a_time_of_nothing_is_faster():
    time = {"better": Better.LOWER, "unit": "µs", "test": Test.LATENCY}
    assert only(rate(**time), rate((0,) * 7, **time)).difference is FASTER


def test_one_wild_sample_decides_nothing():
    wild = (100, 5, 101, 99, 102, 98, 100)
    assert only(rate(), rate(wild)).difference is not SLOWER


def test_noise_in_which_much_could_hide_is_said_to_be_noise():
    wild = (100, 60, 150, 80, 130, 70, 110)
    contrast = only(rate(wild), rate(wild))
    assert contrast.difference is UNTOLD
    assert contrast.low < 0.85


def test_few_rounds_tell_nothing_and_say_so():
    contrast = only(rate(), rate((10, 10, 10), references=(200,) * 3))
    assert contrast.difference is UNTOLD
    assert contrast.why == "3 of the at least 4 rounds that it takes"


def test_what_has_another_unit_is_not_compared():
    assert "b/s in the other" in only(rate(), rate(unit="b/s")).why


def test_what_only_one_run_has_is_listed():
    both, old, new = rate(), rate(path="old"), rate(path="new")
    comparison = compare_runs(run(both, old), run(new, both))
    assert comparison.only_in_base == (old.key,)
    assert comparison.only_in_run == (new.key,)
    assert list(comparison.measurements) == [both.key]


def test_runs_with_nothing_in_common_cannot_be_compared():
    with pytest.raises(UsageError, match="no measurement in common"):
        compare_runs(run(rate(path="old")), run(rate(path="new")))


def test_runs_without_forwarding_have_no_whole():
    burst = rate((500,) * 7, test=Test.BURST, unit="frames", references=())
    comparison = compare_runs(run(burst), run(burst))
    assert comparison.whole is None
    assert comparison.paths == {}
    assert comparison.verdict is NONE


def test_what_else_is_not_the_same_is_said():
    before = run(rate(), machine="aarch64", interrupted=True)
    assert compare_runs(before, run(rate())).caveats == (
        "machine not the same: aarch64, then x86_64",
        "the base was interrupted: partial",
    )


def test_slower_somewhere_is_slower_even_if_faster_elsewhere():
    before = run(rate(path="x"), rate(path="y"))
    after = run(rate(times(0.7), path="x"), rate(times(1.4), path="y"))
    assert compare_runs(before, after).verdict is SLOWER


def test_without_scipy_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.delitem(sys.modules, "harness.bench.resampling", raising=False)
    with pytest.raises(UnfitError, match=r"pip install 'hairpin\[bench\]'"):
        compare_runs(run(rate()), run(rate()))


def test_goodness_is_next_to_the_reference():
    assert goodness(rate((10, 20), references=(5, 40)), referenced=True) == (2, 0.5)
    assert goodness(rate((10, 20), references=(5, 40)), referenced=False) == (10, 20)


@pytest.mark.parametrize(
    ("samples", "noisy"), [(RATES, False), ((100, 60, 150, 80, 130, 70, 110), True), ((5,), False)]
)
def test_what_scatters_is_too_noisy(samples, noisy):
    found = rate(samples, references=())
    assert too_noisy(found) is noisy
    assert (dispersion(found) > NOISY) is noisy


def test_a_drift_that_the_reference_had_too_is_no_noise():
    drift = (100, 60, 150, 80, 130, 70, 110)
    assert dispersion(rate(drift, references=drift)) == 0
    assert not too_noisy(rate(drift, references=drift))


def test_rivals_are_judged_by_their_ratios():
    wild = rate((100, 60, 150, 80, 130, 70, 110), references=())
    assert not too_noisy(replace(wild, test=Test.RIVAL))


def test_scatter_of_what_is_nothing_is_none():
    assert scatter((0.0, 0.0)) == 0


@pytest.fixture(scope="module")
def simulation():
    """benchmarks/comparison.py, which draws docs/performance.md's table of errors."""
    file = Path(__file__).parents[3] / "benchmarks" / "comparison.py"
    spec = importlib.util.spec_from_file_location("simulation", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_false_alarms_are_rare(simulation):
    """Of 40 measurements that did not change, hardly ever one is told in error."""
    setup = simulation.Setup(paths=5, frames=7, rounds=7, noise=0.10)
    found = simulation.comparisons(setup, runs=20, speed={})
    assert sum(x.verdict in (SLOWER, FASTER) for x in found) <= 2
    assert sum(x.verdict is NONE for x in found) >= 17


def test_fifteen_per_cent_on_a_path_are_seen(simulation):
    setup = simulation.Setup(paths=4, frames=4, rounds=9, noise=0.05)
    found = simulation.comparisons(setup, runs=15, speed={"path 0": 0.85})
    assert sum(simulation.told(x, "path 0") for x in found) >= 12
    assert sum(simulation.told(x, "path 1") for x in found) <= 1


def test_what_slows_everything_is_seen_in_the_whole(simulation):
    setup = simulation.Setup(paths=5, frames=7, rounds=7, noise=0.15)
    speed = {f"path {i}": 0.85 for i in range(5)}
    found = simulation.comparisons(setup, runs=10, speed=speed)
    assert sum(x.whole.difference is SLOWER for x in found) >= 9
