"""Where a difference begins, in words: "as predicted up to 6.1, differs since 6.8"."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

__all__ = ["course"]


def course(values: Sequence[tuple[str, str]], *, ordered: bool) -> str:
    """Which runs did what: `values` are pairs of a run and what it did, in order.

    Where the order means something ("up to", "since"), runs next to each other are told as one.
    What all but one or some of them did comes last, as "elsewhere".
    """
    where = _stretches(values) if ordered else _places(values)
    usual = _usual(values, where, ordered=ordered)
    told = [f"{what} {' and '.join(places)}" for what, places in where.items() if what != usual]
    return ", ".join([*told, f"elsewhere {usual}"] if usual else told)


def _stretches(values: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """What was done, and for how long each time, in the order of kernels."""
    found: dict[str, list[str]] = {}
    groups = [(what, [run for run, _ in group]) for what, group in groupby(values, lambda x: x[1])]
    for i, (what, runs) in enumerate(groups):
        if i == 0 and (len(runs) > 1 or len(groups) == 2):
            text = f"up to {runs[-1]}"
        elif i == len(groups) - 1:
            text = f"since {runs[0]}"
        else:
            text = f"in {runs[0]}" if len(runs) == 1 else f"in {runs[0]} – {runs[-1]}"
        found.setdefault(what, []).append(text)
    return found


def _places(values: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """What was done, and on which hosts."""
    found: dict[str, list[str]] = {}
    for run, what in values:
        found.setdefault(what, []).append(run)
    return {what: [f"on {', '.join(runs)}"] for what, runs in found.items()}


def _usual(values: Sequence[tuple[str, str]], where: dict[str, list[str]], *, ordered: bool) -> str:
    """What most did, where naming the others is shorter; "" where a beginning is to be named."""
    if ordered and all(len(places) == 1 for places in where.values()):
        return ""
    amounts = {what: sum(x == what for _, x in values) for what in where}
    most = max(amounts, key=lambda what: amounts[what])
    return most if 2 * amounts[most] > len(values) else ""
