"""Figures as people write them: 1.23 Mframes/s, 58.1 Gb/s, 3.40 µs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Scale", "digits", "figure", "percent", "ratio", "scale_of"]

_UP = (("G", 1e9), ("M", 1e6), ("k", 1e3))
_DOWN = (("m", 1e-3), ("µ", 1e-6), ("n", 1e-9))
_PREFIXES = dict((*_UP, *_DOWN, ("u", 1e-6), ("", 1.0)))
_COUNTED = r"[A-Za-z ]+/s|B|b|bytes"  # takes a prefix upwards
_TIMED = "s"  # takes one downwards
_PREFIXED = re.compile(rf"([GMkmµun]?)({_TIMED})((?:/| per ).*)?$")
_RATED = re.compile(rf"([GMk]?)({_COUNTED})((?:/| per ).*)?$")
_SHARES = ("share", "lost", "of 1")


@dataclass(frozen=True)
class Scale:
    """What to multiply values by, and the unit that they then have."""

    factor: float
    unit: str

    def __call__(self, value: float) -> float:
        """`value` in this unit."""
        return value * self.factor


@lru_cache(maxsize=256)
def _base(unit: str) -> tuple[float, str, str]:
    """`kframes/s` is 1,000, `frames/s`, and prefixes go up; what has none goes nowhere."""
    if unit in _SHARES:
        return 100.0, "%", ""
    match = _PREFIXED.match(unit)
    if match:
        return _PREFIXES[match[1]], f"s{match[3] or ''}", "down"
    match = _RATED.match(unit)
    if match:
        base = "B" if match[2] == "bytes" else match[2]
        return _PREFIXES[match[1]], f"{base}{match[3] or ''}", "up"
    return 1.0, unit, ""


def scale_of(values: Iterable[float], unit: str) -> Scale:
    """The scale that suits the largest of `values`, all of which are in `unit`."""
    size, base, way = _base(unit)
    largest = max((abs(value) * size for value in values), default=0.0)
    # What rounds to 1,000 is written with the next prefix.
    fits = [(name, one) for name, one in _UP if largest >= 0.9995 * one]
    if way == "up" and fits:
        name, one = fits[0]
    elif way == "down" and 0 < largest < 0.9995:
        below = [(name, one) for name, one in _DOWN if largest >= 0.9995 * one]
        name, one = below[0] if below else _DOWN[-1]
    else:
        name, one = "", 1.0
    return Scale(size / one, f"{name}{base}")


def digits(value: float) -> str:
    """Three digits that count, no exponent: 1.23, 12.3, 123, 1,234."""
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.9995 else f"{value:.3g}"


def figure(value: float, unit: str) -> str:
    """`value` with its unit, by the prefix that suits it."""
    scale = scale_of((value,), unit)
    return f"{digits(scale(value))} {scale.unit}".rstrip()


def percent(share: float) -> str:
    """0.123 is `12 %`, 0.0123 `1.2 %`."""
    value = 100 * share
    return f"{value:.0f} %" if abs(value) >= 9.95 else f"{value:.1f} %"


def ratio(value: float) -> str:
    """A factor: `0.97`, `1.52`, `38.1`."""
    return f"{value:.2f}" if abs(value) < 9.995 else digits(value)
