"""What all plots have in common: colours, axes, legends, and files that are always the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.bench.measurement import Run

__all__ = ["MUTED", "Look", "Picture", "legend", "looks_of", "new_figure", "plain_axes"]

# Okabe and Ito's, which the colour-blind can tell apart; without the yellow, too light for lines.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", ":")
_MARKERS = "osD^vP*Xph<>"
MUTED = "#B0B0B0"
_RC: Any = {  # what its keys are typed as is not the same in all versions
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 10,
    "axes.titlesize": 10,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "hairpin",
}
# Neither the date nor matplotlib's version: equal runs give equal files.
_METADATA: Mapping[str, Mapping[str, str | None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
_DPI = 120


@dataclass(frozen=True)
class Look:
    """How a path looks, in every plot of a run; not by its colour alone."""

    colour: str
    dashes: str
    marker: str


def looks_of(run: Run) -> dict[str, Look]:
    """The look of each path."""
    paths = dict.fromkeys(m.path for m in run.measurements)
    ways = cycle(product(_DASHES, _COLOURS))
    return {
        path: Look(colour, dashes, marker)
        for path, (dashes, colour), marker in zip(paths, ways, cycle(_MARKERS), strict=False)
    }


@dataclass(frozen=True)
class Picture:
    """A plot that is still to be drawn. `name` is that of its files."""

    name: str
    draw: Callable[[], Figure]

    def save(self, folder: Path, forms: Sequence[str]) -> Iterator[Path]:
        """Write it to `folder` as svg, as png; the files. Raises OSError."""
        with matplotlib.rc_context(_RC):
            figure = self.draw()
            figure.dpi = _DPI
            layout = figure.get_layout_engine()
            if layout:  # once for all formats: it takes longer than drawing
                layout.execute(figure)
                figure.set_layout_engine("none")
            for form in forms:
                path = folder / f"{self.name}.{form}"
                figure.savefig(path, format=form, dpi=_DPI, metadata=dict(_METADATA.get(form, {})))
                yield path


def new_figure(
    run: Run,
    title: str,
    *,
    size: tuple[float, float],
    rows: int = 1,
    columns: int = 1,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """A figure with its axes, row by row; `size` in inches, `heights` of rows to each other.

    The title says kernel and date.
    """
    figure = Figure(figsize=size, layout="constrained")
    partial = ", interrupted: partial" if run.interrupted else ""
    about = f"Linux {run.kernel}, {run.machine}, {run.date[:10]}{partial}"
    figure.suptitle(f"{title}\n{about}", fontsize=11)
    axes = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
    return figure, list(axes.flat)


def plain_axes(axes: Axes, *, x: str, y: str, title: str = "") -> None:
    """Labels, a faint grid behind the data, no frame at the top and the right."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if title:
        axes.set_title(title)
    axes.grid(visible=True, color="#E4E4E4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def legend(figure: Figure, panels: Iterable[Axes]) -> None:
    """One legend for all `panels`, below them: outside of the data."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(str(label), handle)
    if entries:
        longest = max(map(len, entries))
        columns = max(1, min(len(entries), int(figure.get_figwidth() * 13 / (longest + 6))))
        # So that the data keep their room however many lines there are.
        figure.set_figheight(figure.get_figheight() + 0.2 * (-(-len(entries) // columns) - 1))
        figure.legend(
            list(entries.values()),
            list(entries),
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            handlelength=3.5,  # a dash and a dot
        )
