"""Two benchmark runs held against each other, as a person reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import Console

from harness.bench.comparison import BenchComparison
from harness.bench.contrast import DRIFTING, REFERENCED, Contrast, Difference
from harness.bench.measurement import Key, Run
from harness.report.figures import percent, ratio
from harness.report.page import BOLD, FAINT, Page, Part, count
from harness.report.sheet import Row, Sheet

__all__ = ["print_bench_comparison"]

_STYLES = {
    Difference.SLOWER: "bold red",
    Difference.FASTER: "bold green",
    Difference.NONE: "green",
    Difference.UNTOLD: "yellow",
}
_ABOUT = (
    ("kernel", "kernel"),
    ("machine", "machine"),
    ("CPUs", "cpus"),
    ("engine", "engine"),
    ("date", "date"),
)
_ANYWAY = "date"  # not the same in two runs anyway


def print_bench_comparison(comparison: BenchComparison, console: Console) -> None:
    """Print `comparison`: both runs, the whole, each path, each measurement, the verdict.

    A ratio stands only where it can be told; where noise could hide a change, its interval does.
    """
    page = Page(console, console.options.ascii_only)
    _print_runs(page, comparison.base, comparison.run)
    for caveat in comparison.caveats:
        page.prose(f"Mind: {caveat}.", style="bold yellow", hang=2)
    page.title("Forwarding and throughput, all frame sizes together")
    page.line()
    Sheet(("path", "ratio", "95 % interval", "of", "verdict"), _path_rows(comparison), _LEFT).print(
        page
    )
    page.title("Each measurement")
    page.line()
    # Of what cannot be told at all the reasons stand below.
    told = (item for item in comparison.measurements.items() if not item[1].why)
    rows = [_row(key, contrast) for key, contrast in told]
    headings = ("path", "test", "frame", "ratio", "95 % interval", "verdict")
    rows.sort(key=lambda row: row.label)
    Sheet(headings, rows, _LEFT, optional=("95 % interval",)).print(page)
    _print_reasons(page, comparison)
    _print_lonely(page, comparison)
    _print_verdict(page, comparison)


_LEFT = frozenset({"test", "verdict"})


def _print_runs(page: Page, base: Run, run: Run) -> None:
    rows = [("", "base", "run")]
    rows += [(label, f"{getattr(base, name)}", f"{getattr(run, name)}") for label, name in _ABOUT]
    first, second = (max(len(row[i]) for row in rows) for i in (0, 1))
    for label, before, after in rows:
        mark = "  ≠" if label not in ("", _ANYWAY) and before != after else ""
        style = BOLD if not label else ""
        page.line((f"{label:<{first}}  ", FAINT), (f"{before:<{second}}  {after}{mark}", style))


def _path_rows(comparison: BenchComparison) -> list[Row]:
    named = [(name, contrast) for name, contrast in comparison.paths.items()]
    if comparison.whole:
        named.append(("all of them", comparison.whole))
    return [
        Row(name, (*_numbers(contrast), (f"{contrast.members}", FAINT), _verdict(contrast)))
        for name, contrast in named
    ]


def _row(key: Key, contrast: Contrast) -> Row:
    test, path, frame, variant = key
    what = ", ".join(filter(None, (test, variant)))
    return Row(path, ((what, ""), (frame, ""), *_numbers(contrast), _verdict(contrast)))


def _numbers(contrast: Contrast) -> tuple[Part, Part]:
    """Ratio and interval: of noise the interval alone, of what was not asked nothing."""
    if contrast.why:
        return ("", ""), ("", "")
    interval = f"{ratio(contrast.low)} – {ratio(contrast.high)}"
    told = contrast.difference is not Difference.UNTOLD
    return (ratio(contrast.ratio) if told else "", BOLD), (interval, FAINT)


def _verdict(contrast: Contrast) -> Part:
    text = "not told" if contrast.why else contrast.difference.value
    return text + _mark(contrast), _STYLES[contrast.difference]


def _mark(contrast: Contrast) -> str:
    return " *" if contrast.rules == DRIFTING else ""


def _print_reasons(page: Page, comparison: BenchComparison) -> None:
    """What the verdicts do not say themselves."""
    page.line()
    page.prose(
        "A ratio below 1 is worse. Told is what is beyond "
        f"{percent(REFERENCED.margin)} and not by chance; too noisy to tell: "
        f"{percent(REFERENCED.hidden)} could hide in the interval.",
        style=FAINT,
    )
    if any(contrast.rules == DRIFTING for contrast in comparison.contrasts):
        page.prose(
            "* without references beside the samples: the machine itself may have become so much "
            f"slower, so only what is beyond {percent(DRIFTING.margin)} is told.",
            style=FAINT,
            hang=2,
        )
    whys: dict[str, list[str]] = {}
    for key, contrast in comparison.measurements.items():
        if contrast.why:
            whys.setdefault(contrast.why, []).append(_name(key))
    for why, names in whys.items():
        page.prose(f"not told: {why}: {', '.join(names)}", style=FAINT, hang=2)


def _name(key: Key) -> str:
    return " ".join(filter(None, key))


def _print_lonely(page: Page, comparison: BenchComparison) -> None:
    for name, keys in (("base", comparison.only_in_base), ("run", comparison.only_in_run)):
        if keys:
            page.prose(f"Only in the {name}: {', '.join(map(_name, keys))}", hang=2)


def _print_verdict(page: Page, comparison: BenchComparison) -> None:
    verdict = comparison.verdict
    text = f"{verdict.value.capitalize()}{': ' if _told(comparison, verdict) else ''}"
    text += ", ".join(_told(comparison, verdict))
    other = Difference.FASTER if verdict is Difference.SLOWER else None
    if other and (faster := _told(comparison, other)):
        text += f"; {other.value}: {', '.join(faster)}"
    if verdict is Difference.UNTOLD:
        whole = comparison.whole
        hidden = f": {percent(1 - whole.low)} could hide" if whole else ""
        text = f"No difference can be told, too noisy{hidden}"
    amounts = Counter(c.difference for c in comparison.measurements.values())
    parts = [f"{amounts[x]} {x.value}" for x in Difference if amounts[x]]
    page.title(f"{text}.", _STYLES[verdict])
    page.prose(f"{count(len(comparison.measurements), 'measurement')}: {', '.join(parts)}")


def _told(comparison: BenchComparison, difference: Difference) -> list[str]:
    """What is told to be so, in the largest units: the whole, else paths, else measurements."""
    if difference not in (Difference.SLOWER, Difference.FASTER):
        return []
    return list(_told_of(comparison, difference))


def _told_of(comparison: BenchComparison, difference: Difference) -> Iterator[str]:
    whole = comparison.whole
    if whole and whole.difference is difference:
        yield f"forwarding as a whole ({ratio(whole.ratio)})"
    told = {name for name, c in comparison.paths.items() if c.difference is difference}
    for name in comparison.paths:
        if name in told:
            yield f"{name} ({ratio(comparison.paths[name].ratio)})"
    for key, contrast in comparison.measurements.items():
        if contrast.difference is difference and key[1] not in told:
            yield f"{_name(key)} ({ratio(contrast.ratio)})"
