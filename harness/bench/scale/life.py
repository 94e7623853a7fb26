"""The life of a crowd: ready, every guest proved its own, broadcast to, removed."""

from __future__ import annotations

import time
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field

from harness.bench.measurement import Better, Limit, Measurement, Test
from harness.bench.scale.broadcast import FRAME, Broadcaster, Flood
from harness.bench.scale.budget import (
    Progress,
    ScaleBudget,
    counted,
    crowd,
    figure,
    need_taps,
    room_for,
    timed,
)
from harness.bench.scale.canary import Canary
from harness.errors import DifferenceError
from harness.kernel import links
from harness.stimulus import Stimulus
from harness.testbed import Testbed, Verdict
from harness.testbed.wiring import Wiring
from harness.topology import Topology

__all__ = ["lives", "verify"]

_COPIES = 20_000  # in a burst, all guests' together
# Below the 277 of the shortest frames that fill a socket's buffer while nobody has read them.
_LONGEST_BURST = 200
_SHORTEST_BURST = 32
_ONE_BY_ONE = 5  # guests; each removal waits for RCU grace periods
_OUTSIDE = "outside → every guest"


def verify(bed: Testbed) -> None:
    """Prove that a unicast frame from outside reaches each guest, once, and nobody else.

    A frame for every guest, in volleys, each observer read up to its sentinel after each volley
    (`Testbed.burst`). Raises DifferenceError that names who could not be reached.
    """
    (external,) = bed.wiring.outside
    guests = [guest.name for guest in bed.topology.guests]
    at_once = 64  # so that a deaf guest is waited for once, not once in every volley
    for first in range(0, len(guests), at_once):
        part = guests[first : first + at_once]
        differing = bed.burst([Stimulus(external, to=name) for name in part])
        if differing:
            raise DifferenceError(_told(differing))


def _told(differing: Sequence[Verdict]) -> str:
    """Who was not reached; what else differs, if everybody was."""
    deaf = {d.observer: None for verdict in differing for d in verdict.differences if d.lost}
    if deaf:
        return f"no frame reaches {', '.join(deaf)}: the link is down, or the path is cut"
    return str(differing[0])


@dataclass
class _Samples:
    """Seconds of each round, and copies per second."""

    ready: list[float] = field(default_factory=list)
    verified: list[float] = field(default_factory=list)
    lower_removed: list[float] = field(default_factory=list)
    namespace_gone: list[float] = field(default_factory=list)
    last_copy: list[float] = field(default_factory=list)
    copies: list[float] = field(default_factory=list)
    limited_by: Limit | None = None
    flood: Flood | None = None


def lives(
    budget: ScaleBudget, progress: Progress, missing: MutableMapping[str, str]
) -> Iterator[Measurement]:
    """Time for each guest of testbeds, and broadcasts to all of a testbed's guests."""
    need_taps()
    for guests in budget.lives:
        samples = _Samples()
        topology = crowd(guests)
        for at in range(budget.rounds):
            progress(f"{counted(guests, 'guest')} ready and gone, {at + 1} of {budget.rounds}")
            flood = budget.flood if guests == max(budget.lives) and at == 0 else 0
            with room_for(guests):
                _live(topology, samples, budget, flood=flood, by_lower=at % 2 == 0)
        yield _each("guests ready, opened and primed", guests, samples.ready)
        yield _each("guests verified", guests, samples.verified)
        yield _each("removed with lower device", guests, samples.lower_removed)
        if samples.namespace_gone:
            yield _each("removed with namespace", guests, samples.namespace_gone)
        yield _copies(guests, samples)
        yield figure(
            f"{_OUTSIDE}, last copy",
            guests,
            "guest",
            "ms",
            [1e3 * x for x in samples.last_copy],
            test=Test.FAN_OUT,
            frame=FRAME,
            note=_flooded(samples.flood) if samples.flood else "",
        )
    yield _one_by_one(budget, progress)


def _each(path: str, guests: int, seconds: Sequence[float]) -> Measurement:
    return figure(path, guests, "guest", "ms/guest", [1e3 * x / guests for x in seconds])


def _copies(guests: int, samples: _Samples) -> Measurement:
    return figure(
        _OUTSIDE,
        guests,
        "guest",
        "frames/s",
        samples.copies,
        test=Test.FAN_OUT,
        better=Better.HIGHER,
        frame=FRAME,
        limited_by=samples.limited_by,
        note="copies, all guests' together",
    )


def _flooded(flood: Flood) -> str:
    return (
        f"of {flood.sent:,} broadcasts in one go the broadcast queue (bcqueuelen) dropped "
        f"{flood.dropped:,}, counted as the lower device's rx_dropped; every guest had "
        f"{flood.fewest:,} or more of the others"
    )


def _live(
    topology: Topology, samples: _Samples, budget: ScaleBudget, *, flood: int, by_lower: bool
) -> None:
    """One round: a testbed from nothing to nothing, removed with its lower device or as a whole."""
    started = time.perf_counter()
    with Testbed(topology) as bed:
        samples.ready.append(time.perf_counter() - started)
        with Canary(bed.wiring.host) as canary:
            samples.verified.append(timed(lambda: verify(bed)))
            _broadcast(bed, samples, budget, flood)
            if by_lower:
                lower = topology.lowers[0].name
                gone = links.delete_link(lower, index=bed.wiring.index[lower])
                samples.lower_removed.append(timed(lambda: bed.wiring.host.rtnl.transact([gone])))
            started = time.perf_counter()
            bed.close()
            canary.wait()
            if not by_lower:
                samples.namespace_gone.append(time.perf_counter() - started)


def _broadcast(bed: Testbed, samples: _Samples, budget: ScaleBudget, flood: int) -> None:
    guests = len(bed.topology.guests)
    frames = max(_SHORTEST_BURST, min(_LONGEST_BURST, _COPIES // guests))
    with Broadcaster(bed) as broadcaster:
        taken = sorted(broadcaster.flash() for _ in range(budget.broadcasts))
        samples.last_copy.append(taken[len(taken) // 2])
        samples.copies.append(broadcaster.burst(frames))
        samples.limited_by = broadcaster.limited_by
        if flood:
            samples.flood = broadcaster.flood(flood)


def _one_by_one(budget: ScaleBudget, progress: Progress) -> Measurement:
    """Removing guests each by itself."""
    topology, samples = crowd(_ONE_BY_ONE), []
    for at in range(budget.rounds):
        progress(f"guests removed one by one, {at + 1} of {budget.rounds}")
        with Wiring(topology) as wiring:
            wiring.build()
            requests = [
                links.delete_link(g.name, index=wiring.index[g.name]) for g in topology.guests
            ]
            samples.append(timed(lambda: wiring.host.rtnl.transact(requests)))  # noqa: B023
    return _each("removed one by one", _ONE_BY_ONE, samples)
