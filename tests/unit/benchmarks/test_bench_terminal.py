"""A benchmark run and a comparison on the terminal: what stands there, and how wide it is."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from harness.bench.comparison import compare_runs
from harness.bench.measurement import Run, Test
from harness.report.benchcompared import print_bench_comparison
from harness.report.benchprogress import BenchProgress
from harness.report.benchtables import print_bench, rival_ratios

SLOW = "macvtap vepa, hairpin"


@pytest.fixture
def text(make_run, printed):
    return printed(print_bench, make_run())


@pytest.fixture(scope="module")
def slower(request):
    make_run = request.getfixturevalue("make_run")
    return compare_runs(make_run(1), make_run(2, slower={SLOW: 0.8}))


def line_of(text, *words):
    """The line that has all of `words`."""
    found = [line for line in text.splitlines() if all(word in line for word in words)]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_is_wider_than_the_page(make_run, printed, width):
    lines = printed(print_bench, make_run(), width=width).splitlines()
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_of_a_comparison_is_wider_than_the_page(slower, printed, width):
    lines = printed(print_bench_comparison, slower, width=width).splitlines()
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("function", [print_bench, print_bench_comparison])
def test_a_file_gets_no_control_characters(make_run, slower, printed, function):
    text = printed(function, make_run() if function is print_bench else slower)
    assert all(char == "\n" or char.isprintable() for char in text)


@pytest.mark.parametrize("test", Test)
def test_every_test_has_a_table(text, test):
    assert f"\n{test.value.capitalize()}: " in text


def test_a_row_says_median_spread_cost_and_limit(make_run, printed):
    (first, *_) = make_run().measurements
    m = replace(
        first, samples=(1.10e6, 1.23e6, 1.31e6), references=(2e6, 2.2e6, 2.4e6),
        cost=replace(first.cost, user=80.0, system=730.4),
    )  # fmt: skip
    row = line_of(printed(print_bench, make_run(measurements=(m,))), "macvtap bridge, direct")
    assert re.split("  +", row) == [
        "macvtap bridge, direct", "64", "1.23 Mframes/s", "1.10 – 1.31", "80 + 730", "5,400",
        "kernel",
    ]  # fmt: skip


def test_what_is_noisy_has_its_spread_and_no_number(text):
    assert "too noisy to tell  100 – 600 kframes/s" in line_of(text, "veth + bridge")
    assert "1 measurement too noisy to tell: the middle half" in text


def test_latencies_are_by_percentile(text):
    assert all(word in text for word in ("p50", "p99.9", "max", "9.10 µs", "2.40 ms"))


def test_numbers_of_guests_are_columns(text):
    """And of the greatest number, the spread."""
    *cells, spread = re.split("  +", line_of(text, "ip -batch"))
    assert cells == ["guests up, ip -batch, per guest", "4.00 ms", "1.30 ms", "1.03 ms", "1.00 ms"]
    assert spread.endswith("ms/guest")


def test_a_rival_says_what_it_is_compared_with(make_run, printed):
    run = make_run()
    rivals = tuple(m for m in run.measurements if m.test is Test.RIVAL and m.frame == "64")
    lines = printed(print_bench, replace(run, measurements=rivals)).splitlines()
    first = next(i for i, line in enumerate(lines) if "───" in line) + 1
    assert lines[first].split()[4:] == ["engine", *lines[first].split()[5:7]]  # no ratio
    assert [line.split()[-1] for line in lines[first + 1 : first + len(rivals)]] == ["engine"] * 4


def test_ratios_are_of_pairs(make_run):
    rivals = [m for m in make_run().measurements if m.test is Test.RIVAL and m.frame == "64"]
    engine, other, *_ = rivals
    engine = replace(engine, samples=(100.0, 50.0, 10.0))
    other = replace(other, samples=(50.0, 20.0, 5.0))
    assert rival_ratios([engine, other]) == {other: (2.0, 2.5, 2.0)}


def test_a_rival_that_the_engine_is_not_beside_has_no_ratio(make_run):
    rivals = [m for m in make_run().measurements if m.test is Test.RIVAL]
    assert rival_ratios([m for m in rivals if m.beside]) == {}


def test_what_is_missing_says_why(text):
    assert "ipvlan: this kernel has no ipvlan" in text
    assert "vhost-net: no /dev/vhost-net" in text


def test_an_interrupted_run_says_so_first_and_last(make_run, printed):
    lines = printed(print_bench, make_run(interrupted=True)).splitlines()
    assert "Interrupted: partial" in lines[1]
    assert lines[-1].endswith("interrupted, partial")


def test_a_run_of_nothing_can_be_printed(make_run, printed):
    assert "0 measurements in 18.3 s" in printed(print_bench, make_run(measurements=()))


def test_ascii_is_enough(make_run):
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_bench(make_run(), Console(file=file, width=100))
    file.flush()
    text = file.buffer.getvalue().decode()
    assert "9.10 us" in text
    assert "?" not in text


def test_a_comparison_tells_what_became_slower_first_by_path(slower, printed):
    lines = printed(print_bench_comparison, slower).splitlines()
    verdict = next(line for line in lines if line.startswith("Slower: "))
    assert f"{SLOW} (0." in verdict
    row = next(line for line in lines if line.startswith(SLOW) and line.endswith("slower"))
    assert row.split()[3:5] == [f"{slower.paths[SLOW].ratio:.2f}", f"{slower.paths[SLOW].low:.2f}"]


def test_where_noise_hides_all_there_is_an_interval_and_no_ratio(slower, printed):
    text = printed(print_bench_comparison, slower)
    rows = [line for line in text.splitlines() if line.startswith("veth + bridge")]
    assert all(row.endswith("too noisy to tell") and row.count("–") == 1 for row in rows)


def test_no_difference_is_the_last_word_on_equal_runs(make_run, printed):
    comparison = compare_runs(make_run(1), make_run(2))
    assert "\nNo difference.\n" in printed(print_bench_comparison, comparison)


def test_where_noise_hides_the_whole_it_says_how_much_it_hides(make_run, printed):
    wild = [make_run(seed, noise=0.8) for seed in (1, 2)]
    text = printed(print_bench_comparison, compare_runs(*wild))
    assert re.search(r"\nNo difference can be told, too noisy: \d\d % could hide\.\n", text)


def test_what_the_runs_do_not_share_is_named(make_run, printed):
    base = make_run(1, machine="aarch64")
    run = replace(make_run(2), measurements=make_run(2).measurements[1:])
    text = printed(print_bench_comparison, compare_runs(base, run))
    assert "Only in the base: forwarding macvtap bridge, direct 64" in text
    assert "machine  aarch64               x86_64  ≠" in text
    assert "Mind: machine not the same" in text


class Stream(io.StringIO):
    """A terminal, or none."""

    def __init__(self, *, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


class Clock:
    """Says what it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_progress_on_a_terminal_is_one_line_written_anew(clock):
    stream = Stream(terminal=True)
    progress = BenchProgress(stream, clock=clock)
    progress.step(0, 40, "macvtap bridge, 64 bytes, round 1 of 5")
    clock.now += 3
    progress.step(12, 40, "macvtap bridge, 64 bytes, round 2 of 5")
    clock.now += 0.2
    progress.rate(1.23e6)
    assert "\n" not in stream.getvalue()
    *_, last = stream.getvalue().split("\r")
    assert last == (
        "[12/40] macvtap bridge, 64 bytes, round 2 of 5  1.23 Mframes/s  7 s left\x1b[K"
    )
    progress.done()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_progress_does_not_write_more_often_than_eyes_read(clock):
    stream = Stream(terminal=True)
    progress = BenchProgress(stream, clock=clock)
    progress.step(0, 2, "x")
    before = stream.getvalue()
    progress.rate(1e6)
    assert stream.getvalue() == before


def test_progress_is_never_wider_than_the_terminal(clock):
    stream = Stream(terminal=True)
    BenchProgress(stream, clock=clock).step(1, 2, "x" * 200)
    (line,) = stream.getvalue().removeprefix("\r").removesuffix("\x1b[K").splitlines()
    assert len(line) < 80
    assert "…" in line


def test_progress_elsewhere_is_a_line_now_and_then(clock):
    stream = Stream(terminal=False)
    progress = BenchProgress(stream, clock=clock)
    for done in range(30):
        progress.step(done, 30, f"step {done}")
        progress.rate(1e6)
        clock.now += 1
    progress.done()
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["[10/30] step 10", "[20/30] step 20"]
    assert all(line.isprintable() for line in lines)


def test_a_long_time_left_is_in_minutes(clock):
    stream = Stream(terminal=True)
    progress = BenchProgress(stream, clock=clock)
    clock.now += 60
    progress.step(1, 11, "x")
    assert "10 min left" in stream.getvalue()


def test_run_is_the_benchmarks_own(make_run):
    assert isinstance(make_run(), Run)
