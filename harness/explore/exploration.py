"""The exploration itself: networks drawn by Hypothesis, each state tried out on the kernel.

    Hypothesis ──► topology, changes ──► Testbed ──► volleys of stimuli ──► difference?
                                                                               │
                          the smallest case that still differs ◄── minimise ◄──'

Hypothesis' state machine draws: which kinds of change an example has (swarm testing), and what
each is. Shrinking is not left to it: a replay costs a testbed, and a case says itself what can
be left out of it (`harness.explore.minimise`), which takes some dozens of replays, not thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.cases import Case
from harness.explore.explorer import Explorer, Limits, Tally
from harness.explore.machine import drive
from harness.kernel.features import Backend
from harness.parts import LowerKind

__all__ = ["Exploration", "explore"]


@dataclass(frozen=True)
class Exploration:
    """What came of it.

    `found` is the smallest case that differs, `why` what it comes to; both are empty when kernel
    and model agreed throughout. `reproduced` is false when it happened once and not again.
    """

    verdicts: int
    changes: int
    topologies: int
    seconds: float
    seed: int
    found: Case | None = None
    why: str = ""
    reproduced: bool = True


def explore(
    limits: Limits,
    *,
    seed: int,
    backend: Backend,
    kinds: Sequence[LowerKind],
    progress: Callable[[Tally], object] | None = None,
) -> Exploration:
    """Explore until a limit is reached or a difference found, which then is made small.

    `kinds` are the lower devices that this kernel can make. Raises UnfitError without Hypothesis.
    """
    with Explorer(limits, seed=seed, backend=backend, progress=progress) as explorer:
        stop = drive(explorer, seed=seed, kinds=kinds)
        tally, seconds = explorer.tally, explorer.tally.seconds
        found, why = stop.found, stop.why
        reproduced = True
        if found:
            found, again = explorer.smallest(found)
            why, reproduced = again or why, bool(again)
    return Exploration(
        tally.verdicts, tally.changes, tally.topologies, seconds, seed, found, why, reproduced
    )
