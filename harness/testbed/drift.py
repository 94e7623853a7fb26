"""The live links held against the topology: everything that is not as declared, in words.

    the host  [guests, lower devices]  --  the switch [bridge, ports]  --  stations outside

Read back after a difference only, so it may take some milliseconds. `compare` is pure; `drift`
reads and compares.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from harness.errors import HairpinError
from harness.kernel.openers import Opener, opened_at, read_openers, tap_device
from harness.kernel.readback import Link, Snapshot, read_back
from harness.testbed.drifted_stations import (
    drifted_guests,
    drifted_lowers,
    drifted_router,
    drifted_station,
)
from harness.testbed.drifted_switch import drifted_forwarding, drifted_switch
from harness.testbed.findings import Finding, Weight, differs
from harness.testbed.foreign import Room, foreign_links, foreign_openers, foreign_rules
from harness.testbed.wiring import Wiring
from harness.topology import Topology

__all__ = ["Live", "compare", "drift"]

_ROUTER_SYSCTLS = ("net.ipv4.ip_forward", "net.ipv4.conf.{}.forwarding")


@dataclass(frozen=True)
class Live:
    """What was read back: one snapshot per room, and who holds the guests' taps open.

    `moved` are the namespaces that guests have been moved to, `beacons` the link at each switch
    that sentinels start from. `devices` maps the device number of each tap to its guest, `own`
    are this process's own descriptors, `since` when each guest's link was there at the latest
    (ns since the epoch), `misled` the MACs that the switch may have learned anywhere.
    """

    host: Snapshot
    switch: Snapshot
    outside: Mapping[str, Snapshot] = field(default_factory=dict)
    moved: Mapping[str, Snapshot] = field(default_factory=dict)
    beacons: Mapping[str, str] = field(default_factory=lambda: {"switch": "beacon"})
    devices: Mapping[int, str] = field(default_factory=dict)
    openers: tuple[Opener, ...] = ()
    own: frozenset[int] = frozenset()
    since: Mapping[str, int] = field(default_factory=dict)
    misled: frozenset[str] = frozenset()


def drift(
    wiring: Wiring, own: Mapping[str, int] | None = None, *, misled: Collection[str] = ()
) -> list[Finding]:
    """Read back the links of `wiring` and hold them against its topology.

    `own` are the tap descriptors that this process is meant to have, by guest. `misled` are
    MACs that the switch may have learned anywhere, because a stimulus has borrowed them. Never
    raises: what cannot be read back is a finding.
    """
    topology = wiring.topology
    router = topology.router.name if topology.router else ""
    knobs = [name.format(router) for name in _ROUTER_SYSCTLS]
    try:
        moved = {g.namespace: wiring.namespace_of(g.name) for g in topology.guests if g.namespace}
        devices = {tap_device(wiring.namespace_of(g.name), g.name): g.name for g in topology.guests}
        found = {number: name for number, name in devices.items() if number is not None}
        live = Live(
            host=read_back(wiring.host),
            switch=read_back(wiring.switch),
            outside={
                name: read_back(ns, sysctls=knobs if name == router else ())
                for name, ns in wiring.outside.items()
            },
            moved={name: read_back(ns) for name, ns in moved.items()},
            beacons=wiring.beacons,
            devices=found,
            openers=tuple(read_openers(found)) if found else (),
            own=frozenset((own or {}).values()),
            since={g.name: _since(wiring, g.name, own or {}) for g in topology.guests},
            misled=frozenset(misled),
        )
    except (HairpinError, OSError) as error:
        return [Finding(Weight.DIFFERS, "", f"the links cannot be read back ({error})")]
    return list(compare(topology, live))


def _since(wiring: Wiring, guest: str, own: Mapping[str, int]) -> int:
    """When the guest's link was there at the latest: its tap was opened, or its namespace made."""
    return opened_at(own[guest] if guest in own else wiring.namespace_of(guest).fd)


def compare(topology: Topology, live: Live) -> Iterator[Finding]:
    """Everything in `live` that `topology` does not say."""
    yield from drifted_lowers(topology, live.host)
    yield from drifted_guests(topology, live.host, live.moved)
    for switch in topology.switches:
        yield from drifted_switch(topology, switch, live.switch, live.beacons[switch.name])
    for name, outside in live.outside.items():
        yield from drifted_station(name, outside.links.get(name), topology.macs[name])
        if topology.router and name == topology.router.name:
            yield from drifted_router(topology, name, outside)
    yield from drifted_forwarding(topology, live.switch, live.misled)
    yield from _carriers(topology, live)
    for room in _rooms(topology, live):
        yield from foreign_links(room)
        yield from foreign_rules(room)
        for unread in room.live.unread:
            says = f"of {room} this cannot be read back: {unread}"
            yield Finding(Weight.THERE, room.title, says)
    yield from foreign_openers(live.devices, live.openers, live.own, live.since)


def _rooms(topology: Topology, live: Live) -> Iterator[Room]:
    """Each namespace, and the names of the links that are to be there."""
    guests = [guest.name for guest in topology.guests if not guest.namespace]
    lowers = [lower.name for lower in topology.lowers]
    yield Room("host", live.host, frozenset([*guests, *lowers]))
    beacons = [*live.beacons.values(), *(f"{beacon}-port" for beacon in live.beacons.values())]
    switches = [switch.name for switch in topology.switches]
    yield Room("switch", live.switch, frozenset([*switches, *beacons, *topology.plugged()]))
    for name, outside in live.outside.items():
        yield Room(name, outside, frozenset([name]))
    for name, moved in live.moved.items():
        here = [guest.name for guest in topology.guests if guest.namespace == name]
        yield Room(f"namespace {name}", moved, frozenset(here))


def _carriers(topology: Topology, live: Live) -> Iterator[Finding]:
    """Links without a carrier though they and what gives them one are up."""
    for name in topology.plugged():
        room = live.host if topology.is_lower(name) else live.outside.get(name, Snapshot())
        yield from _carrier(name, room.links.get(name), live.switch.links.get(name))
    for guest in topology.guests:
        room = live.moved.get(guest.namespace, live.host)
        below = live.host.links.get(guest.lower)
        if below and below.carrier:
            yield from _carrier(guest.name, room.links.get(guest.name), below)


def _carrier(name: str, link: Link | None, giver: Link | None) -> Iterator[Finding]:
    if link and giver and link.up and giver.up and not link.carrier:
        yield differs(name, f"{name} has no carrier, the topology says it has one")
