"""Why a verdict differs, in words: what changed behind our back, or which rule the kernel broke."""

from __future__ import annotations

from collections.abc import Mapping

from harness.model import Rule, predict
from harness.stimulus import frame_of
from harness.testbed.drift import drift
from harness.testbed.findings import Finding, Weight, surest_first
from harness.testbed.verdict import Barrier, Verdict, fits
from harness.testbed.wiring import Wiring

__all__ = ["causes", "explaining_rules", "stray_causes"]

_MOST_RULES = 4
_MOST_FINDINGS = 8


def causes(
    verdict: Verdict, wiring: Wiring, own_taps: Mapping[str, int] | None = None
) -> tuple[str, ...]:
    """Likely causes of the differences of `verdict`, the surest first.

    First whatever on the live links is not as declared and decides about frames: what has
    acted before what only could have, what lies on the frame's way before the rest. Failing
    that, each rule of the model which, turned round, would make it predict exactly what was
    seen, and then what is there besides. `own_taps` are the descriptors of the testbed's taps,
    by guest.
    """
    source = frame_of(verdict.topology, verdict.stimulus).src
    found = drift(wiring, own_taps, misled=[source] if verdict.stimulus.source else [])
    ordered = surest_first(found, _path(verdict))
    certain = [finding for finding in ordered if finding.weight is not Weight.THERE]
    told = _told(certain)
    if not told:
        told = [
            f"the kernel behaves as if this were turned round: {rule.says}  [{rule.where}]"
            for rule in explaining_rules(verdict)
        ]
        told += _told([finding for finding in ordered if finding.weight is Weight.THERE])
    lost = [name for name, b in verdict.observation.barriers.items() if b is Barrier.LOST]
    if lost:
        told.append(f"no sentinel reached {', '.join(lost)}: the path there is cut")
    return tuple(told) or ("no single rule explains it; see the trace",)


def stray_causes(wiring: Wiring, own_taps: Mapping[str, int] | None = None) -> tuple[str, ...]:
    """Likely causes of a copy that came after its barrier: whatever has acted on the links."""
    found = surest_first(drift(wiring, own_taps))
    return tuple(_told(found)) or ("nothing on the links is other than the topology says",)


def explaining_rules(verdict: Verdict) -> list[Rule]:
    """Up to four rules of which each alone, turned round, predicts what was seen."""
    found = []
    for rule in Rule:
        turned = predict(
            verdict.topology,
            verdict.stimulus,
            behaviours=verdict.prediction.behaviours,
            inverted=frozenset({rule}),
        )
        if fits(turned, verdict.observation):
            found.append(rule)
    return found[:_MOST_RULES]


def _path(verdict: Verdict) -> set[str]:
    """Stations and links that the frame passes by, or where it was missed or seen."""
    observers = [difference.observer for difference in verdict.differences]
    return {
        verdict.stimulus.sender,
        verdict.stimulus.to,
        *(step.at.partition(".")[0] for step in verdict.prediction.trace),
        *(observer.partition(".")[0] for observer in observers),
    }


def _told(found: list[Finding]) -> list[str]:
    """Each finding once, and how many more there are."""
    said = list(dict.fromkeys(finding.says for finding in found))
    more = len(said) - _MOST_FINDINGS
    return said[:_MOST_FINDINGS] + ([f"and {more} more"] if more > 0 else [])
