"""Which sentinels end an observation: frames that take the same queues, later.

Sender and softirq share one CPU's backlog, which is first in, first out. After the stimulus:

1. *The others.* One frame for an address that nobody has starts at the beacon, a switch port
   like any other, and is flooded to the wire, the host's stack and the outside. It takes two
   hops, so once it has arrived everything that stood before it has moved on by two hops: a
   unicast copy for a guest lies in the guest's queue. A stimulus that may take more hops
   (through the router; a copy that macvlan queues again with netif_rx) gets two such rounds.
2. *The guests.* Then each guest gets a frame of its own, put on the wire at the switch's end.
   For a unicast stimulus that is unicast. For a group stimulus it is a broadcast: group frames
   wait in the lower device's broadcast queue (a workqueue, macvlan_broadcast_enqueue), which
   unicast would overtake. A source-mode guest gets unicast from a source that it lists, and a
   passthru guest a broadcast like the host beside it.

The first half empties the backlog; the second proves, guest by guest, that its queue has been
read to the end and that it could have received.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.frames import Frame, Kind, Tag, payload
from harness.model.bridge import behind
from harness.parts import BEACON_MAC, BROADCAST_MAC, NOWHERE_MAC, Guest, LowerKind, Mode
from harness.topology import Topology

__all__ = ["SentinelPlan", "hears", "plan", "reachable", "vouched_for"]


@dataclass(frozen=True)
class SentinelPlan:
    """The frames of one round, ident 0.

    `others` start at a beacon: pairs of switch and frame. Those for guests start at the switch's
    end of a wire: pairs of lower device and frame, for `unicast` and for `group` stimuli.
    """

    others: tuple[tuple[str, Frame], ...]
    unicast: tuple[tuple[str, Frame], ...]
    group: tuple[tuple[str, Frame], ...]


def reachable(topology: Topology, guest: Guest) -> bool:
    """Whether a sentinel can arrive at the guest's endpoint."""
    wired = topology.root_of(guest.lower).kind is LowerKind.VETH
    wired = wired and topology.has_carrier(guest.lower)
    return wired and guest.up and (guest.mode is not Mode.SOURCE or bool(guest.sources))


def hears(topology: Topology, endpoint: str) -> bool:
    """Whether a sentinel can arrive at the endpoint of that name."""
    station, _, part = endpoint.partition(".")
    if topology.is_guest(station):
        return reachable(topology, topology.guest(station))
    if part == "ipv4":
        return False  # sentinels are of another protocol
    if topology.is_lower(station) and topology.root_of(station).kind is LowerKind.DUMMY:
        return False
    return topology.has_carrier(station)


def vouched_for(topology: Topology, endpoint: str, *, group: bool) -> bool:
    """Whether sentinels elsewhere prove that nothing more can come to an endpoint that hears none.

    All namespaces share one backlog on one CPU, so any sentinel of the others that has arrived
    has driven everything before it two hops on. Only a group frame may wait outside of it, in
    the broadcast queue of a lower device, which a sibling's group sentinel then has passed.
    """
    if not any(topology.has_carrier(station) for station in topology.plugged()):
        return False
    if not group or not topology.is_guest(endpoint):
        return True
    lower = topology.guest(endpoint).lower
    return any(
        reachable(topology, sibling) and sibling.mode is not Mode.SOURCE
        for sibling in topology.guests_on(lower)
    ) and any(g.bcqueuelen != 0 for g in topology.guests_on(lower))


def plan(topology: Topology) -> SentinelPlan:
    """The sentinels of a topology."""
    return SentinelPlan(
        tuple(_for_others(topology)),
        tuple(_for_guests(topology, group=False)),
        tuple(_for_guests(topology, group=True)),
    )


def _frame(kind: Kind, dst: str, tag: Tag | None, src: str = BEACON_MAC) -> Frame:
    return Frame(dst, src, payload=payload(kind), tags=(tag,) if tag else ())


def _for_guests(topology: Topology, *, group: bool) -> Iterator[tuple[str, Frame]]:
    kind = Kind.SENTINEL_TAP
    broadcast_on = set()
    for guest in topology.guests:
        if not reachable(topology, guest):
            continue
        wire = topology.root_of(guest.lower).name
        _, tag = behind(topology, guest.name)
        # With bcqueuelen 0 for everybody no group frame is queued, and none would come through.
        queue_open = any(g.bcqueuelen != 0 for g in topology.guests_on(guest.lower))
        if guest.mode is Mode.SOURCE:
            yield wire, _frame(kind, topology.macs[guest.lower], tag, guest.sources[0])
        elif (group or guest.mode is Mode.PASSTHRU) and queue_open:
            if guest.lower not in broadcast_on:
                yield wire, _frame(kind, BROADCAST_MAC, tag)
            broadcast_on.add(guest.lower)
        else:
            yield wire, _frame(kind, guest.mac, tag)


def _for_others(topology: Topology) -> Iterator[tuple[str, Frame]]:
    """Flooded frames, each once: unknown unicast, or broadcast where that does not arrive."""
    frames = {}
    for station in (*(x.name for x in topology.lowers), *topology.plugged()):
        port, tag = behind(topology, station)
        if port is None or not topology.has_carrier(station):
            continue
        switch = topology.switch_of(port.to)
        if tag is None and switch.vlan_filtering:
            tag = Tag(port.pvid)
        passthru = any(g.mode is Mode.PASSTHRU for g in topology.guests_on(station))
        # Passthru takes all unicast away from the host; a port that does not flood gets only
        # what the switch has learned, and a stimulus may just have misled it.
        dst = BROADCAST_MAC if passthru or not port.flood else NOWHERE_MAC
        frames[switch.name, dst, tag] = _frame(Kind.SENTINEL_NET, dst, tag)
    for (switch_name, _, _), frame in frames.items():
        yield switch_name, frame
