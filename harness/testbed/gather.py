"""Evidence on a difference: the same stimulus once more, with counters and drops read around it.

    first observation     it differs
    control round         sentinels alone:              what they count and drop by themselves
    second observation    stimulus and sentinels:       less the control, what the stimulus does

Sentinels are frames too: they move the counters of every link, and the kernel throws each of
them away at its end. One round like another moves them alike, so what is left after taking the
control round off is the stimulus's own, to the frame.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace

from harness.errors import HairpinError, KernelError, StrayFrameError
from harness.frames import ETHERTYPE_EXPERIMENTAL, ETHERTYPE_IPV4
from harness.kernel.counters import LinkCounters, beyond, link_counters, moved, softnet_counters
from harness.kernel.drops import Drop, DropTrace
from harness.kernel.syscalls import current_cpu
from harness.testbed.evidence import Evidence, Repeat
from harness.testbed.verdict import Barrier, Verdict
from harness.testbed.wiring import Wiring

__all__ = ["gather"]

# skb->protocol of our frames; on its way a tag is now in the frame, now beside it.
_PROTOCOLS = frozenset({ETHERTYPE_EXPERIMENTAL, 0x8100, 0x88A8})
# A late copy is seen by several observers, and each of them spoils a control round.
_MOST_CONTROLS = 16

_Places = dict[str, LinkCounters]


@dataclass(frozen=True)
class _Round:
    """What one round moved and dropped."""

    counters: _Places
    drops: Counter[Drop]


def gather(
    verdict: Verdict,
    wiring: Wiring,
    *,
    idle: Callable[[], object],
    again: Callable[[], Verdict],
) -> Evidence:
    """Evidence on the differences of `verdict`, as Evidence says.

    `idle` makes a round of sentinels without a stimulus, `again` observes the stimulus once
    more, with the same sentinels. What they raise is evidence as well, and is not passed on.
    """
    found = Evidence(Repeat.FAILED, seen_at=time.time(), again_at=time.time())
    watch, unknown = _drop_trace()
    protocols = _PROTOCOLS | ({ETHERTYPE_IPV4} if verdict.stimulus.via else frozenset())
    notes: list[str] = []
    with watch or nullcontext():
        observed: list[Verdict] = []
        try:
            usual = _control(wiring, watch, protocols, idle, notes)
            found = replace(found, again_at=time.time())
            whole = _watched(wiring, watch, protocols, lambda: observed.append(again()))
        except (HairpinError, OSError) as error:
            notes.append(f"Sending it again failed: {error}.")
            return replace(found, drops_unknown=unknown, notes=tuple(notes))
    (second,) = observed
    barriers = second.observation.barriers
    return replace(
        found,
        repeat=_repeat(verdict, second),
        arrivals=second.observation.arrivals,
        lost=tuple(name for name, barrier in barriers.items() if barrier is Barrier.LOST),
        counters={
            place: changes
            for place in whole.counters
            if (changes := beyond(usual.counters.get(place, {}), whole.counters[place]))
        },
        drops=dict(whole.drops - usual.drops),
        drops_unknown=unknown,
        notes=tuple(notes),
    )


def _drop_trace() -> tuple[DropTrace | None, str]:
    """What traces drops, or why nothing does."""
    try:
        return DropTrace(), ""
    except KernelError as error:
        return None, error.detail or str(error)


def _control(
    wiring: Wiring,
    watch: DropTrace | None,
    protocols: frozenset[int],
    idle: Callable[[], object],
    notes: list[str],
) -> _Round:
    """The control round. A late copy of the first sending spoils one, and is noted."""
    for _ in range(_MOST_CONTROLS - 1):
        try:
            return _watched(wiring, watch, protocols, idle)
        except StrayFrameError as error:
            notes.append(f"A copy came late, after the sentinels: {error}.")
    return _watched(wiring, watch, protocols, idle)


def _watched(
    wiring: Wiring,
    watch: DropTrace | None,
    protocols: frozenset[int],
    work: Callable[[], object],
) -> _Round:
    before = _counters(wiring)
    if watch:
        watch.take(protocols)
    work()
    drops = watch.take(protocols) if watch else Counter[Drop]()
    after = _counters(wiring)
    return _Round({place: moved(before[place], after[place]) for place in after}, drops)


def _counters(wiring: Wiring) -> _Places:
    """Links by place, without the beacons': those are no part of any topology."""
    switch = link_counters(wiring.switch)
    cpu = current_cpu()
    return {
        "host": link_counters(wiring.host) | _in_namespaces_of_their_own(wiring, guests=True),
        "port": {name: switch[name] for name in wiring.port_index if name in switch},
        "bridge": {name: switch[name] for name in wiring.switch_index if name in switch},
        "outside": _in_namespaces_of_their_own(wiring, guests=False),
        "cpu": {f"backlog of CPU {cpu}": softnet_counters(cpu)},
    }


def _in_namespaces_of_their_own(wiring: Wiring, *, guests: bool) -> dict[str, Mapping[str, int]]:
    """The links of guests that were moved, or of the stations behind the switch."""
    found: dict[str, Mapping[str, int]] = {}
    for station in wiring.topology.macs:
        ns = wiring.namespace_of(station)
        if ns is not wiring.host and wiring.topology.is_guest(station) is guests:
            found[station] = link_counters(ns).get(station, {})
    return found


def _repeat(first: Verdict, second: Verdict) -> Repeat:
    if not second.differences:
        return Repeat.NOT
    return Repeat.SAME if second.differences == first.differences else Repeat.OTHER
