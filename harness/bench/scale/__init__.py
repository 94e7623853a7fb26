"""Scale: many guests on one lower device, many addresses behind one switch port, many groups.

    g0   [tap]--.
    …           lower ----- switch ----- external
    g999 [tap]--'

What it takes to make, open, prove and remove them, in time and memory, against `ip -batch`; how
long a broadcast takes to the last of them; and what forwarding costs when tables grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping

from harness.bench.measurement import Measurement
from harness.bench.scale.budget import FULL, QUICK, Progress, ScaleBudget
from harness.bench.scale.growth import addresses, groups
from harness.bench.scale.life import lives
from harness.bench.scale.memory import weighings
from harness.bench.scale.race import races
from harness.errors import UnfitError

__all__ = ["FULL", "QUICK", "ScaleBudget", "measure_scale"]

_PARTS: dict[
    str, Callable[[ScaleBudget, Progress, MutableMapping[str, str]], Iterator[Measurement]]
]
_PARTS = {
    "scale: guests up": races,
    "scale: guests ready, verified, removed; broadcast": lives,
    "scale: memory": weighings,
    "scale: addresses at the switch": addresses,
    "scale: groups joined": groups,
}


def measure_scale(
    budget: ScaleBudget, *, progress: Progress, missing: MutableMapping[str, str]
) -> Iterator[Measurement]:
    """Each figure as soon as its samples are complete.

    `progress` is told what is being done; into `missing` goes what could not be measured here,
    and why. Raises KernelError, and DifferenceError when a guest does not get what is its.
    """
    for name, part in _PARTS.items():
        try:
            yield from part(budget, progress, missing)
        except UnfitError as error:
            missing[name] = str(error)
