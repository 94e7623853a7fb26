"""Stations that are not as declared: lower devices, guests, hosts outside, the router."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from harness.kernel.readback import Link, Snapshot
from harness.parts import Guest, LowerKind, Mode
from harness.testbed.findings import Finding, Weight, differs, state
from harness.topology import Topology

__all__ = ["drifted_guests", "drifted_lowers", "drifted_router", "drifted_station"]

_MACVTAP_QUEUE = 500  # TUN_READQ_SIZE, drivers/net/tap.c
_BROADCAST_QUEUE = 1000  # MACVLAN_DEFAULT_BC_QUEUE_LEN, drivers/net/macvlan.c


def drifted_station(
    name: str, link: Link | None, mac: str, *, up: bool = True
) -> Iterator[Finding]:
    """What every station has: a link, its state, its address."""
    if link is None:
        yield differs(name, f"{name} is gone")
        return
    if link.up is not up:
        says = "up, the topology says down" if link.up else "down, the topology says up"
        yield differs(name, f"{name} is {says}")
    if link.mac != mac:
        yield differs(name, f"{name} has the address {link.mac}, the topology says {mac}")


def drifted_lowers(topology: Topology, live: Snapshot) -> Iterator[Finding]:
    """Lower devices that are not as declared."""
    for lower in topology.lowers:
        link = live.links.get(lower.name)
        yield from drifted_station(lower.name, link, lower.mac, up=lower.up)
        if link is None:
            continue
        yield from _mtu(link, lower.mtu)
        yield from _user_flags(link, promiscuous=False, allmulticast=False)
        if lower.kind is LowerKind.VLAN and link.settings.get("id") != lower.vlan:
            yield differs(
                lower.name,
                f"{lower.name} has the VLAN id {link.settings.get('id')}, "
                f"the topology says {lower.vlan}",
            )
        if link.master:
            yield differs(lower.name, f"{lower.name} is enslaved to another link")


def drifted_guests(
    topology: Topology, host: Snapshot, moved: Mapping[str, Snapshot]
) -> Iterator[Finding]:
    """Guests that are not as declared, wherever they have been `moved`."""
    for guest in topology.guests:
        yield from _guest(topology, guest, moved.get(guest.namespace, host))


def _guest(topology: Topology, guest: Guest, live: Snapshot) -> Iterator[Finding]:
    name, link = guest.name, live.links.get(guest.name)
    yield from drifted_station(name, link, guest.mac, up=guest.up)
    if link is None:
        return
    mode = link.settings.get("mode")
    if mode and mode != guest.mode.value:
        yield differs(name, f"{name} is in {mode} mode, the topology says {guest.mode}")
    below = {other.index: other.name for other in live.links.values()}.get(link.on)
    if link.on and below != guest.lower:
        yield differs(name, f"{name} sits on {below}, the topology says {guest.lower}")
    flags = link.settings.get("flags", 0)
    for bit, flag, wanted in ((1, "nopromisc", guest.nopromisc), (2, "nodst", guest.nodst)):
        if bool(flags & bit) is not wanted:
            yield differs(
                name, f"{name} has {flag} {state(flags & bit)}, the topology says {state(wanted)}"
            )
    if guest.mode is Mode.SOURCE and link.sources != set(guest.sources):
        yield differs(
            name,
            f"{name} takes frames of the sources {_listed(link.sources)}, "
            f"the topology says {_listed(guest.sources)}",
        )
    yield from _queues(topology, guest, link)
    yield from _user_flags(link, promiscuous=guest.promiscuous, allmulticast=guest.allmulticast)
    missing = set(guest.groups) - live.groups.get(name, frozenset())
    if missing and live.groups:
        yield differs(name, f"{name} is not in the groups {_listed(missing)}, the topology says so")
    yield from _mtu(link, topology.lower(guest.lower).mtu)


def _queues(topology: Topology, guest: Guest, link: Link) -> Iterator[Finding]:
    if link.queue_length != _MACVTAP_QUEUE:
        yield differs(
            guest.name,
            f"the queue of {guest.name} takes {link.queue_length} frames (txqueuelen), "
            f"the topology says the usual {_MACVTAP_QUEUE}",
        )
    used = link.settings.get("bc_queue_len_used")
    asked = [g.bcqueuelen for g in topology.guests_on(guest.lower)]
    wanted = max(_BROADCAST_QUEUE if length is None else length for length in asked)
    if used is not None and used != wanted:
        yield differs(
            guest.name,
            f"the broadcast queue of {guest.lower} takes {used} frames (bcqueuelen), "
            f"the topology says {wanted}",
        )


def _listed(macs: Collection[str]) -> str:
    return ", ".join(sorted(macs)) or "nobody"


def _mtu(link: Link, declared: int) -> Iterator[Finding]:
    if link.mtu != declared:
        says = f"{link.name} has the MTU {link.mtu}, the topology says {declared}"
        yield Finding(Weight.THERE, link.name, says)


def _user_flags(link: Link, *, promiscuous: bool, allmulticast: bool) -> Iterator[Finding]:
    for what, is_on, wanted in (
        ("promiscuous", link.promiscuous, promiscuous),
        ("allmulticast", link.allmulticast, allmulticast),
    ):
        if is_on is not wanted:
            yield differs(
                link.name,
                f"{link.name} has {what} {state(is_on)}, the topology says {state(wanted)}",
            )
    # On a macvtap nothing but its own flag raises the count; on a lower device much does.
    if link.kind == "macvtap" and link.promiscuity > link.promiscuous:
        yield Finding(
            Weight.THERE,
            link.name,
            f"somebody listens promiscuously on {link.name} (promiscuity {link.promiscuity})",
        )


def drifted_router(topology: Topology, name: str, live: Snapshot) -> Iterator[Finding]:
    """What lets the router `name` route: forwarding, its address, neighbours, its one route."""
    for knob, value in live.sysctls.items():
        if value == "0":
            yield differs(name, f"{name} does not forward ({knob} is 0), the topology says it does")
    address = f"{topology.ips[name]}/16"
    if address not in live.addresses.get(name, frozenset()):
        yield differs(name, f"{name} has lost its address {address}")
    known = {neighbour.ip: neighbour.mac for neighbour in live.neighbours}
    for station, ip in topology.ips.items():
        if station != name and known.get(ip) != topology.macs[station]:
            yield differs(
                name,
                f"{name} has the neighbour {known.get(ip) or 'nobody'} for {ip} ({station}), "
                f"the topology says {topology.macs[station]}",
            )
    for route in live.routes:
        if (route.kind, route.link) != ("unicast", name) or route.to != "10.104.0.0/16":
            yield differs(
                name, f"{name} has a foreign route: {route.kind} {route.to} {route.link}".rstrip()
            )
