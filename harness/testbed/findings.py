"""What is found on the live links that the topology does not say, and how much it explains."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Finding", "Weight", "differs", "state", "surest_first"]


class Weight(IntEnum):
    """How sure it is that a finding bears on a difference, the surest first."""

    ACTED = 0  # it has done something to frames: its counter has moved, or it holds some back
    DIFFERS = 1  # a part that decides about frames is not as declared
    THERE = 2  # undeclared, but nothing shows that it did anything


@dataclass(frozen=True)
class Finding:
    """One sentence for people: what is there, where, and what the topology says of it.

    `place` is the station or link that it is about.
    """

    weight: Weight
    place: str
    says: str

    def __str__(self) -> str:
        return self.says


def surest_first(found: Iterable[Finding], path: Collection[str] = ()) -> list[Finding]:
    """Sorted by weight, those that lie on `path` (stations) before others, else as they came."""
    return sorted(found, key=lambda finding: (finding.weight, finding.place not in path))


def differs(place: str, says: str) -> Finding:
    """A part that decides about frames is not as declared."""
    return Finding(Weight.DIFFERS, place, says)


def state(on: object) -> str:
    """A setting in words."""
    return "on" if on else "off"
