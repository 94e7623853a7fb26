"""Kernel releases: which is older, and how to call several of them in few characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

__all__ = ["release_key", "short_names"]

_PARTS = re.compile(r"(\d+)|([^\d]+)")
_VERSION = re.compile(r"(\d+(?:\.\d+)*)")
_CANDIDATE = re.compile(r"-rc(\d+)")
_FINAL = 1 << 30  # as a candidate's number: newer than all of them

_Part = tuple[int, int, str]


def release_key(release: str) -> tuple[tuple[int, ...], int, tuple[_Part, ...]]:
    """A key by which releases sort from old to new: 5.4, 5.10, 6.19-rc1, 6.19, 6.19.1.

    What is no release sorts first, by its letters.
    """
    found = _VERSION.match(release)
    numbers = [int(n) for n in found[1].split(".")] if found else []
    while numbers and not numbers[-1]:  # 6.19.0-rc1 is one of 6.19
        numbers.pop()
    candidate = _CANDIDATE.search(release)
    return tuple(numbers), int(candidate[1]) if candidate else _FINAL, _natural(release)


def _natural(text: str) -> tuple[_Part, ...]:
    """Numbers as numbers, so that ABI 40 is older than 151."""
    parts = _PARTS.findall(text)
    return tuple((0, int(n), "") if n else (1, 0, word) for n, word in parts)


def short_names(releases: Sequence[str]) -> tuple[str, ...]:
    """Each release as short as it can be told from the others: 6.1, else 6.1-cloud, 6.1.0-40, …

    A release that occurs twice keeps its whole name.
    """
    names = {release: _version(release, 2) for release in releases}
    for group in _groups(names):
        longer = next((f for f in _LONGER if _all_differ([f(x, group) for x in group])), None)
        names |= {x: longer(x, group) if longer else x for x in group}
    return tuple(names[release] for release in releases)


def _groups(names: dict[str, str]) -> list[list[str]]:
    """Those that have one name among several."""
    groups: dict[str, list[str]] = {}
    for release, name in names.items():
        groups.setdefault(name, []).append(release)
    return [group for group in groups.values() if len(group) > 1]


def _all_differ(texts: Sequence[str]) -> bool:
    return len(set(texts)) == len(texts)


def _version(release: str, parts: int) -> str:
    """The first `parts` numbers and which candidate it is; the release where it has no numbers."""
    found = _VERSION.match(release)
    if not found:
        return release
    candidate = _CANDIDATE.search(release)
    return ".".join(found[1].split(".")[:parts]) + (candidate[0] if candidate else "")


def _words(release: str) -> list[str]:
    return [x for x in release.split("-")[1:] if not x.isdigit() and not x.startswith("rc")]


def _flavour(release: str, group: Iterable[str]) -> str:
    """What is not in the name of all of the group: cloud, lowlatency."""
    common = set.intersection(*(set(_words(x)) for x in group))
    return "".join(f"-{word}" for word in _words(release) if word not in common)


def _with_abi(release: str) -> str:
    """`6.1.0-40`: all that is a number."""
    found = re.match(r"\d+(?:\.\d+)*(?:-\d+)*", release)
    return found[0] if found else release


_LONGER: tuple[Callable[[str, Sequence[str]], str], ...] = (
    lambda x, group: _version(x, 2) + _flavour(x, group),
    lambda x, _: _version(x, 3),
    lambda x, group: _version(x, 3) + _flavour(x, group),
    lambda x, _: _with_abi(x),
    lambda x, group: _with_abi(x) + _flavour(x, group),
)
