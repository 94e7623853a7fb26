"""A benchmark run as a person reads it: a table for each test, the rivals, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from rich.console import Console

from harness.bench.measurement import Cost, Measurement, Run, Test
from harness.bench.noise import NOISY, dispersion, scatter, too_noisy
from harness.report.figures import digits, figure, percent, ratio, scale_of
from harness.report.page import BOLD, FAINT, Page, Part, count
from harness.report.sheet import Row, Sheet

__all__ = ["TOO_NOISY", "label_of", "print_bench", "rival_ratios"]

TOO_NOISY = "too noisy to tell"
_WARNING = "bold yellow"
_NONE: Part = ("", "")
_LEFT = frozenset({"limit"})
_WIDE = 100
_PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}

_ABOUT: Mapping[Test, str] = {
    Test.FORWARDING: "sender, kernel and receiver in turn on one core; nothing is lost",
    Test.THROUGHPUT: "the highest rate without loss; sender and receiver each on a core",
    Test.LATENCY: "from the sender's write to the receiver's read, under load",
    Test.LOSS: "what is lost at a load",
    Test.BURST: "the longest burst of which nothing is lost",
    Test.ADDRESSES: "by the number of addresses",
    Test.FAN_OUT: "a broadcast, by the number of receivers",
    Test.RIVAL: "in turns on the same path; the ratio is hairpin's to theirs, above 1 for faster",
    Test.SCALE: "by the number of guests on one lower device",
}
_BY_NUMBER = (Test.ADDRESSES, Test.FAN_OUT, Test.SCALE)


def print_bench(run: Run, console: Console) -> None:
    """Print `run`: what it is of, a table for each test, what is missing and why.

    Instead of a figure whose samples, each next to its reference, scatter by more than
    `harness.bench.noise.NOISY` it says so, and gives the spread.
    """
    page = Page(console, console.options.ascii_only)
    about = (f"Linux {run.kernel}", run.machine, count(run.cpus, "CPU"), run.engine, run.date)
    page.prose(", ".join(filter(None, about)), style=BOLD)
    if run.interrupted:
        page.prose("Interrupted: partial. What was not finished is not there.", style=_WARNING)
    for test in Test:
        of_test = [m for m in run.measurements if m.test is test]
        if of_test:
            _print_test(page, test, of_test)
    page.line()
    page.prose(
        "spread: lowest and highest of the rounds; limit: what a figure was limited by", style=FAINT
    )
    _print_noise(page, run.measurements)
    if run.missing:
        page.title("Missing")
        for what, why in run.missing.items():
            page.prose(f"{what}: {why}", hang=2)
    page.line()
    amount = f"{count(len(run.measurements), 'measurement')} in {figure(run.seconds, 's')}"
    page.prose(f"{amount}: interrupted, partial" if run.interrupted else amount, style=BOLD)


def label_of(measurement: Measurement) -> str:
    """What a measurement is of, but for its test and its frames."""
    return ", ".join(filter(None, (measurement.path, measurement.variant)))


def _print_test(page: Page, test: Test, measurements: Sequence[Measurement]) -> None:
    page.title(f"{test.value.capitalize()}: {_ABOUT[test]}")
    page.line()
    by_number = [m for m in measurements if test in _BY_NUMBER and m.curve]
    if test is Test.RIVAL:
        _print_rivals(page, measurements)
    elif test is Test.LATENCY and any(m.curve for m in measurements):
        _print_latencies(page, measurements)
    elif plain := [m for m in measurements if m not in by_number]:
        _print_plain(page, plain)
    if by_number:
        _print_by_number(page, by_number)
    _print_notes(page, test, measurements)


def _print_notes(page: Page, test: Test, measurements: Sequence[Measurement]) -> None:
    """Each note once, with what it is about, if that is not all of the test."""
    about: dict[str, dict[str, None]] = {}
    for m in measurements:
        if m.note:
            subject = m.path if test in _BY_NUMBER else ", ".join((label_of(m), m.frame))
            about.setdefault(m.note, {})[subject] = None
    for note, subjects in about.items():
        whole = sum(m.note == note for m in measurements) == len(measurements)
        page.prose(
            note if whole else f"{'; '.join(subjects)}: {note}",
            style=FAINT,
            hang=2,
        )


def _print_plain(page: Page, measurements: Iterable[Measurement]) -> None:
    rows = [
        Row(
            label_of(m),
            (
                (m.frame, ""),
                *_median_and_spread(m, page),
                (_cost(m.cost), ""),
                (_instructions(m.cost), FAINT),
                (m.limited_by or "", ""),
            ),
        )
        for m in measurements
    ]
    headings = ("path", "frame", "median", "spread", "ns user+system", "instr.", "limit")
    Sheet(headings, rows, _LEFT, optional=("instr.",)).print(page)


def _noisy_text(page: Page) -> str:
    return TOO_NOISY if page.width >= _WIDE else TOO_NOISY.removesuffix(" to tell")


def _median_and_spread(measurement: Measurement, page: Page) -> tuple[Part, Part]:
    """The median with its unit and the spread in the same; of noise the spread alone."""
    if too_noisy(measurement):
        return (_noisy_text(page), _WARNING), (_spread(measurement, with_unit=True), _WARNING)
    return (figure(measurement.value, measurement.unit), BOLD), (_spread(measurement), FAINT)


def _spread(measurement: Measurement, *, with_unit: bool = False) -> str:
    if len(measurement.samples) < 2:
        return ""
    low, high = measurement.spread
    scale = scale_of((high if with_unit else measurement.value,), measurement.unit)
    text = f"{digits(scale(low))} – {digits(scale(high))}"
    return f"{text} {scale.unit}" if with_unit else text


def _cost(cost: Cost | None) -> str:
    """CPU time per frame in ns: `80 + 430`."""
    return f"{cost.user:,.0f} + {cost.system:,.0f}" if cost else ""


def _instructions(cost: Cost | None) -> str:
    return f"{cost.instructions:,.0f}" if cost and cost.instructions is not None else ""


def _print_latencies(page: Page, measurements: Iterable[Measurement]) -> None:
    rows = []
    for m in measurements:
        if too_noisy(m):
            cells = [(_noisy_text(page), _WARNING), *[_NONE] * (len(_PERCENTILES) - 1)]
        else:
            cells = [(_at(m, percentile), "") for percentile in _PERCENTILES.values()]
        spread = (_spread(m, with_unit=True), _WARNING if too_noisy(m) else FAINT)
        rows.append(Row(label_of(m), ((m.frame, ""), *cells, spread, (m.limited_by or "", ""))))
    headings = ("path", "frame", *_PERCENTILES, "spread", "limit")
    Sheet(headings, rows, _LEFT, optional=("limit",)).print(page)


def _at(measurement: Measurement, percentile: float) -> str:
    """The latency that so many per cent do not exceed, by the curve (in µs)."""
    above = [y for x, y in measurement.curve if x >= percentile]
    return figure(above[0], "µs") if above else ""


def _print_by_number(page: Page, measurements: Sequence[Measurement]) -> None:
    """A row for each path, a column for each number of guests, addresses or groups."""
    groups: dict[tuple[str, str, str], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.path, m.frame, m.unit), []).append(m)
    numbers = sorted({x for m in measurements for x, _ in m.curve})
    rows = []
    for (path, frame, unit), group in groups.items():
        # `ms/guest` in each cell would be said too often.
        plain, per, of = unit.partition("/") if not unit.endswith("/s") else (unit, "", "")
        values = {x: y for m in group for x, y in m.curve}
        cells = [(figure(values[n], plain), "") if n in values else _NONE for n in numbers]
        most = group[-1]
        spread = (_spread(most, with_unit=True), _WARNING if too_noisy(most) else FAINT)
        label = ", ".join(filter(None, (path, f"per {of}" if per else "")))
        rows.append(Row(label, ((frame, ""), *cells, spread, (most.limited_by or "", ""))))
    headings = ("path", "frame", *(f"{n:,.0f}" for n in numbers), "spread, most", "limit")
    Sheet(headings, rows, _LEFT, optional=("spread, most", "limit")).print(page)


def rival_ratios(measurements: Sequence[Measurement]) -> dict[Measurement, tuple[float, ...]]:
    """For each rival how many times as fast the engine was, one ratio for each alternation.

    None for a rival that what it is to be compared with was not measured beside.
    """
    found = {(m.path, m.frame, m.variant): m for m in measurements}
    ratios = {}
    for rival in measurements:
        engine = found.get((rival.path, rival.frame, rival.beside)) if rival.beside else None
        if engine:
            pairs = zip(engine.samples, rival.samples, strict=False)
            ratios[rival] = tuple(mine / theirs for mine, theirs in pairs if theirs)
    return {rival: shares for rival, shares in ratios.items() if shares}


def _print_rivals(page: Page, measurements: Sequence[Measurement]) -> None:
    ratios = rival_ratios(measurements)
    rows = []
    for m in measurements:
        found = ratios.get(m, ())
        noisy = len(found) > 1 and scatter(found) > NOISY
        shown = ratio(median(found)) if found else ""
        spread = f"{ratio(min(found))} – {ratio(max(found))}" if len(found) > 1 else ""
        cells = (
            (m.frame, ""),
            (m.variant, "" if m.beside else BOLD),
            (figure(m.value, m.unit), ""),
            (_noisy_text(page), _WARNING) if noisy else (shown, BOLD),
            (spread, _WARNING if noisy else FAINT),
            (m.beside, FAINT),
            (m.limited_by or "", ""),
        )
        rows.append(Row(m.path, cells))
    headings = ("path", "frame", "program", "median", "ratio", "spread", "of", "limit")
    Sheet(headings, rows, frozenset({"program", "of", "limit"}), optional=("of", "limit")).print(
        page
    )


def _print_noise(page: Page, measurements: Iterable[Measurement]) -> None:
    noisy = [dispersion(m) for m in measurements if too_noisy(m)]
    if noisy:
        page.line()
        page.prose(
            f"{count(len(noisy), 'measurement')} too noisy to tell: the middle half of the "
            "samples, each next to the engine's own ceiling at that moment, is spread over more "
            f"than {percent(NOISY)} of their median (up to {percent(max(noisy))}).",
            style=_WARNING,
        )
