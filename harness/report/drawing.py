"""The plots of a benchmark run: what each shows, by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from harness.bench.measurement import Measurement, Run, Test
from harness.report.benchtables import label_of, rival_ratios
from harness.report.canvas import MUTED, Look, Picture, legend, looks_of, new_figure, plain_axes
from harness.report.figures import Scale, ratio, scale_of
from harness.report.figures import figure as written

__all__ = ["pictures"]

_BY_NUMBER = {
    Test.SCALE: ("Scale", "guests on one lower device"),
    Test.ADDRESSES: ("Address scaling", "addresses"),
    Test.FAN_OUT: ("Broadcast fan-out", "receivers"),
}
_WIDE = 8.0  # inches
_MARKERS = 12  # on a line, about
_DECADES = 100  # from smallest to greatest: more is drawn on a logarithmic axis


def pictures(run: Run) -> Iterator[Picture]:
    """The plots that `run` has figures for."""
    plots: tuple[tuple[str, Callable[[Run, Sequence[Measurement]], Figure], bool, set[Test]], ...]
    plots = (
        ("rate", _rates, False, {Test.FORWARDING, Test.THROUGHPUT}),
        ("latency", _latencies, True, {Test.LATENCY}),
        ("loss", _losses, True, {Test.LOSS}),
        ("rivals", _rivals, False, {Test.RIVAL}),
        ("scale", _by_number, True, set(_BY_NUMBER)),
    )
    for name, draw, of_curves, tests in plots:
        shown = [m for m in run.measurements if m.test in tests and (m.curve or not of_curves)]
        if shown:
            yield Picture(name, partial(draw, run, shown))


def _rates(run: Run, measurements: Sequence[Measurement]) -> Figure:
    """Rate by frame size, a line for each path: the median, lowest and highest."""
    # More guests, more queues: the table has them, at one size.
    measurements = [m for m in measurements if not m.variant] or measurements
    tests = list(dict.fromkeys(m.test for m in measurements))
    figure, panels = new_figure(
        run, "Rate by frame size", rows=len(tests), size=(_WIDE, 1.6 + 3.2 * len(tests))
    )
    styles = _styles(run, [replace(m, frame="") for m in measurements])
    frames = _in_order({m.frame for m in measurements})
    for axes, test in zip(panels, tests, strict=True):
        of_test = [m for m in measurements if m.test is test]
        unit = of_test[0].unit
        scale = scale_of([max(m.samples) for m in of_test], unit)
        lines: dict[str, list[Measurement]] = {}
        for m in of_test:
            if m.unit == unit:
                lines.setdefault(label_of(m), []).append(m)
        for i, (label, points) in enumerate(lines.items()):
            # Beside each other, so that the spreads can be told apart.
            aside = (i - (len(lines) - 1) / 2) * min(0.06, 0.5 / len(lines))
            at = {frame: x + aside for x, frame in enumerate(frames)}
            _draw_rates(axes, at, points, scale, label=label, style=styles[label])
        axes.set_xticks(range(len(frames)), frames)
        axes.set_xlim(-0.5, len(frames) - 0.5)
        axes.set_ylim(bottom=0)
        plain_axes(
            axes, x="frame size in bytes", y=scale.unit, title=test.value if len(tests) > 1 else ""
        )
    legend(figure, panels)
    return figure


def _draw_rates(
    axes: Axes,
    at: Mapping[str, float],
    points: Sequence[Measurement],
    scale: Scale,
    *,
    label: str,
    style: Mapping[str, Any],
) -> None:
    """Sizes joined by a line; what is no size (GSO) stands alone."""
    sizes = sorted((m for m in points if m.frame.isdigit()), key=lambda m: at[m.frame])
    others = [[m] for m in points if not m.frame.isdigit()]
    for part in filter(None, (sizes, *others)):
        medians = [scale(m.value) for m in part]
        lowest = [y - scale(m.spread[0]) for y, m in zip(medians, part, strict=True)]
        highest = [scale(m.spread[1]) - y for y, m in zip(medians, part, strict=True)]
        axes.errorbar(
            [at[m.frame] for m in part],
            medians,
            yerr=(lowest, highest),
            label=label,
            elinewidth=0.8,
            capsize=2,
            **style,
        )


def _in_order(frames: set[str]) -> list[str]:
    """Sizes by size, then what is none."""
    return sorted(frames, key=lambda f: (not f.isdigit(), int(f) if f.isdigit() else 0, f))


def _bytes(frame: str) -> str:
    return f"{frame} bytes" if frame.isdigit() else frame


def _style(look: Look) -> dict[str, Any]:
    return {
        "color": look.colour,
        "linestyle": look.dashes,
        "marker": look.marker,
        "markersize": 4.5,
        "linewidth": 1.5,
    }


def _latencies(run: Run, measurements: Sequence[Measurement]) -> Figure:
    """Latency by percentile, the axis as HdrHistogram draws it, a panel for each load."""
    loads = list(dict.fromkeys(m.variant for m in measurements))
    figure, panels = new_figure(
        run, "Latency under load", rows=len(loads), size=(_WIDE, 1.8 + 3.2 * len(loads))
    )
    plain = [replace(m, variant="") for m in measurements]
    styles = _styles(run, plain)
    nines = max((x for m in measurements for x, _ in m.curve if x < 100), default=90.0)
    end = 10 ** math.ceil(math.log10(1 / (1 - nines / 100)) + 0.3)
    for axes, load in zip(panels, loads, strict=True):
        for m, line in zip(measurements, plain, strict=True):
            if m.variant != load:
                continue
            points = [(1 / (1 - x / 100) if x < 100 else end, y) for x, y in m.curve]
            name = _name(line, plain)
            often = max(1, len(points) // _MARKERS)
            axes.plot(*zip(*points, strict=True), label=name, markevery=often, **styles[name])
        _scale_latency(axes, end, positive=all(y > 0 for m in measurements for _, y in m.curve))
        plain_axes(axes, x="percentile", y="latency in µs", title=load)
    legend(figure, panels)
    return figure


def _scale_latency(axes: Axes, end: float, *, positive: bool) -> None:
    """Each nine takes as much room; the greatest stands at `end`."""
    axes.set_xscale("log")
    if positive:
        axes.set_yscale("log")
    ticks = [
        (2.0, "50"),
        *((10.0**n, f"{100 - 100 / 10**n:.{max(n - 2, 0)}f}") for n in range(1, 9)),
    ]
    ticks = [(1.0, "0"), *(tick for tick in ticks if tick[0] < end), (float(end), "max")]
    axes.set_xticks([x for x, _ in ticks], [text for _, text in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(1, end * 1.15)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))


def _styles(run: Run, measurements: Sequence[Measurement]) -> dict[str, dict[str, Any]]:
    """By name of the line: the look of its path, and of each path every line another kind."""
    looks, ways = looks_of(run), {m.path: cycle(("", "--", ":", "-.")) for m in measurements}
    styles: dict[str, dict[str, Any]] = {}
    for m in measurements:
        name = _name(m, measurements)
        if name not in styles:
            dashes = next(ways[m.path])
            styles[name] = _style(looks[m.path]) | ({"linestyle": dashes} if dashes else {})
    return styles


def _name(measurement: Measurement, among: Sequence[Measurement]) -> str:
    """Path and variant, and the frame's size where there are several."""
    several = len({m.frame for m in among if m.frame}) > 1
    return ", ".join(
        filter(None, (label_of(measurement), _bytes(measurement.frame) if several else ""))
    )


def _losses(run: Run, measurements: Sequence[Measurement]) -> Figure:
    """Share of frames lost, against what was offered."""
    figure, (axes,) = new_figure(run, "Frame loss against load", size=(_WIDE, 4.8))
    styles = _styles(run, measurements)
    scale = scale_of([x for m in measurements for x, _ in m.curve], "frames/s")
    for m in measurements:
        points = sorted((scale(x), 100 * y) for x, y in m.curve)
        name = _name(m, measurements)
        often = max(1, len(points) // _MARKERS)
        axes.plot(*zip(*points, strict=True), label=name, markevery=often, **styles[name])
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    plain_axes(axes, x=f"offered load in {scale.unit}", y="frames lost in %")
    legend(figure, [axes])
    return figure


def _rivals(run: Run, measurements: Sequence[Measurement]) -> Figure:
    """A bar for each program: the median, lowest and highest, and how the engine compares."""
    groups: dict[tuple[str, str, str], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.path, m.frame, m.unit), []).append(m)
    sizes = [len(group) for group in groups.values()]
    height = 1.3 + 0.34 * sum(sizes) + 0.9 * len(sizes)
    figure, panels = new_figure(
        run, "hairpin's engine and others", rows=len(sizes), heights=sizes, size=(_WIDE, height)
    )
    ratios, looks = rival_ratios(measurements), looks_of(run)
    for axes, ((path, frame, unit), group) in zip(panels, groups.items(), strict=True):
        scale = scale_of([m.value for m in group], unit)
        for i, m in enumerate(group):
            value, (low, high) = scale(m.value), map(scale, m.spread)
            colour = looks[path].colour if not m.beside else MUTED
            axes.barh(i, value, color=colour, height=0.7)
            axes.errorbar(
                value, i, xerr=([value - low], [high - value]), color="#333333", capsize=3, lw=1
            )
            found = ratios.get(m)
            times = f"   {ratio(median(found))} ×" if found else ""
            axes.annotate(
                f"{written(m.value, m.unit)}{times}",
                (high, i),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
        axes.set_yticks(range(len(group)), [m.variant for m in group])
        axes.invert_yaxis()
        axes.margins(x=0.35)
        axes.set_xlim(left=0)
        plain_axes(axes, x=scale.unit, y="", title=", ".join(filter(None, (path, _bytes(frame)))))
        axes.grid(visible=False, axis="y")
    unit = panels[-1].get_xlabel()
    panels[-1].set_xlabel(f"{unit}    (×: what the engine does by this, turn by turn)")
    return figure


def _by_number(run: Run, measurements: Sequence[Measurement]) -> Figure:
    """A panel for each test and unit: what it takes, or yields, by the number of something."""
    lines: dict[tuple[Test, str, str, str], Measurement] = {}
    for m in sorted(measurements, key=lambda m: list(_BY_NUMBER).index(m.test)):
        line = m.test, m.path, m.frame, m.unit
        points = (*lines[line].curve, *m.curve) if line in lines else m.curve
        lines[line] = replace(m, curve=points, variant="")
    groups: dict[tuple[Test, str], list[Measurement]] = {}
    for m in lines.values():
        if len(m.curve) > 1 or len(lines) == 1:  # one point says no more than the table
            groups.setdefault((m.test, m.unit), []).append(m)
    columns = min(2, len(groups))
    rows = -(-len(groups) // columns)
    figure, panels = new_figure(
        run, "Scale", rows=rows, columns=columns, size=(5 * columns, 1.8 + 3.2 * rows)
    )
    styles = _styles(run, [m for group in groups.values() for m in group])
    for axes, ((test, unit), group) in zip(panels, groups.items(), strict=False):
        _draw_numbers(axes, test, unit, group, styles)
    for unused in panels[len(groups) :]:
        unused.remove()
    legend(figure, panels[: len(groups)])
    return figure


def _draw_numbers(
    axes: Axes,
    test: Test,
    unit: str,
    group: Sequence[Measurement],
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    scale = scale_of([y for m in group for _, y in m.curve], unit)
    for m in group:
        points = sorted((x, scale(y)) for x, y in m.curve)
        axes.plot(*zip(*points, strict=True), label=label_of(m), **styles[label_of(m)])
    numbers = sorted({x for m in group for x, _ in m.curve})
    axes.set_xscale("log")
    axes.set_xticks(numbers, [f"{n:,.0f}" for n in numbers])
    axes.xaxis.set_minor_locator(NullLocator())
    values = [y for m in group for _, y in m.curve if y > 0]
    if max(values, default=0) > _DECADES * min(values, default=0):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    else:
        axes.set_ylim(bottom=0)
    title, what = _BY_NUMBER[test]
    if unit.endswith("/group"):
        what = "groups"
    plain_axes(axes, x=what, y=scale.unit, title=title)
