"""What can be said of one thing in two runs: slower, faster, no difference, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["DRIFTING", "REFERENCED", "Contrast", "Difference", "Rules"]


class Difference(StrEnum):
    """How a run is, next to its base."""

    SLOWER = "slower"
    FASTER = "faster"
    NONE = "no difference"
    UNTOLD = "too noisy to tell"


@dataclass(frozen=True)
class Rules:
    """Shares of speed: what is no difference yet (`margin`), what must not go unseen (`hidden`)."""

    margin: float
    hidden: float


REFERENCED = Rules(margin=0.03, hidden=0.15)
"""With references beside the samples, or for what does not hang on the machine's speed."""
DRIFTING = Rules(margin=0.25, hidden=0.40)
"""Without references: a shared machine may be so much slower an hour later."""


@dataclass(frozen=True)
class Contrast:
    """What became of a measurement, a path or the whole.

    `ratio` is how good the run is next to its base, below 1 for worse: rates new by old, times
    old by new. `low` and `high` are its 95 % interval, `p` how likely so much is by chance where
    there is no difference, adjusted for everything that was asked alike (Holm).
    """

    difference: Difference
    ratio: float
    low: float
    high: float
    p: float
    rules: Rules
    members: int = 1
    """Measurements that it is made of."""
    why: str = ""
    """Why nothing can be told, where that is no matter of noise."""
