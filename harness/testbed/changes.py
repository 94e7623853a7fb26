"""From one live topology to the next: the smallest set of requests, worked out by comparison.

Guests may come, go and change; lower devices may change their address and state; switch ports
their state, hairpin, learning and flooding. For anything else a testbed is built anew.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace

from harness.errors import KernelError
from harness.kernel import links
from harness.kernel.netlink import Request
from harness.kernel.waiting import look_until
from harness.parts import Guest, LowerKind, Mode
from harness.testbed.wiring import Wiring
from harness.topology import Topology

__all__ = ["settle", "transition"]

_SETTLED_WITHIN = 3.0  # seconds; linkwatch may put an event off for one (linkwatch_schedule_work)
_STATE_DISABLED = 0  # BR_STATE_DISABLED
_CHANGELINK = ("mode", "sources", "nodst", "nopromisc", "bcqueuelen")
_STATE = ("up", "promiscuous", "allmulticast")


def transition(wiring: Wiring, after: Topology) -> None:
    """Make the links of `wiring` those of `after`, which then is its topology.

    Links whose carrier has changed have settled when it returns. Raises ValueError when the two
    differ in what cannot be changed on a live network, KernelError when the kernel refuses.
    """
    before = wiring.topology
    _refuse_others(before, after)
    _remove_guests(wiring, before, after)
    wiring.host.rtnl.transact(_lower_requests(wiring, before, after))
    wiring.switch.rtnl.transact(_port_requests(wiring, before, after))
    for guest in after.guests:
        if before.is_guest(guest.name) and before.guest(guest.name) != guest:
            _change_guest(wiring, before, after, guest)
    wiring.topology = after
    added = tuple(g for g in after.guests if not before.is_guest(g.name))
    for guest in added:
        wiring.new_index(guest.name)
    wiring.add_guests(added)
    if after.macs != before.macs:
        wiring.set_neighbours()
    if any(after.has_carrier(x) is not before.has_carrier(x) for x in after.plugged()):
        settle(wiring)


def _refuse_others(before: Topology, after: Topology) -> None:
    """Only what the functions below take care of may differ."""

    def rest(topology: Topology) -> object:
        lowers = [replace(x, mac="", up=True) for x in topology.lowers]
        switches = [replace(x, hairpin=False, ports=()) for x in topology.switches]
        vlans = [(p.to, p.pvid, p.vlans) for p in map(topology.port, topology.plugged())]
        return lowers, switches, vlans, topology.externals, topology.router

    if rest(before) != rest(after):
        raise ValueError("the topologies differ in more than can be changed on a live network")
    for guest in after.guests:
        if before.is_guest(guest.name):
            was = before.guest(guest.name)
            if (was.lower, was.bc_cutoff) != (guest.lower, guest.bc_cutoff):
                raise ValueError(f"guest {guest.name} cannot change its lower device or bc_cutoff")


def _remove_guests(wiring: Wiring, before: Topology, after: Topology) -> None:
    for guest in before.guests:
        if not after.is_guest(guest.name):
            ns = wiring.guest_place(guest).ns
            ns.rtnl.transact([links.delete_link(guest.name, index=wiring.index.pop(guest.name))])
            wiring.forget_membership(guest.name)


def _lower_requests(wiring: Wiring, before: Topology, after: Topology) -> Iterator[Request]:
    for lower in after.lowers:
        was, index = before.lower(lower.name), wiring.index[lower.name]
        if lower.mac != was.mac:
            yield links.set_mac(lower.name, lower.mac, index=index)
        if lower.up is not was.up:
            yield links.set_link(lower.name, index=index, up=lower.up)


def _port_requests(wiring: Wiring, before: Topology, after: Topology) -> Iterator[Request]:
    for name, index in wiring.port_index.items():
        was, port = before.port(name), after.port(name)
        if replace(port, up=was.up) != was:
            yield links.set_bridge_port(port, index=index)
        if port.up is not was.up:
            yield links.set_link(name, index=index, up=port.up)


def _change_guest(wiring: Wiring, before: Topology, after: Topology, guest: Guest) -> None:
    was, index = before.guest(guest.name), wiring.index[guest.name]
    here = wiring.guest_place(was).ns

    def changed(*names: str) -> bool:
        return any(getattr(was, name) != getattr(guest, name) for name in names)

    requests = []
    if changed(*_CHANGELINK):
        requests.append(links.change_guest(guest, index=index))
    if changed("nopromisc"):
        # The kernel leaves the multicast filters as the promiscuity had them (macvlan_changelink)
        # until the next macvlan_set_mac_lists: docs/findings.md.
        turned = replace(guest, allmulticast=not guest.allmulticast)
        requests += [links.set_guest(turned, index=index), links.set_guest(guest, index=index)]
    # In passthru the address has come along with the lower device's (macvlan_device_event).
    if changed("mac") and guest.mode is not Mode.PASSTHRU:
        requests.append(links.set_mac(guest.name, guest.mac, index=index))
    if changed(*_STATE):
        requests.append(links.set_guest(guest, index=index))
    here.rtnl.transact(requests)
    if changed("namespace"):
        wiring.move(guest, here)
    if changed("groups", "namespace"):
        wiring.join(guest)


def settle(wiring: Wiring) -> None:
    """Wait until switch ports and macvtaps have noticed the carrier, which linkwatch tells them.

    Raises KernelError when they do not.
    """
    unsettled = look_until(
        lambda: [*_unsettled_ports(wiring), *_unsettled_guests(wiring)],
        lambda names: not names,
        within=_SETTLED_WITHIN,
    )
    if unsettled:
        raise KernelError(
            "wait for the carrier", errno.ETIMEDOUT, f"not settled: {', '.join(unsettled)}"
        )


def _unsettled_ports(wiring: Wiring) -> Iterator[str]:
    live = {link["index"]: link for link in wiring.switch.rtnl.links()}
    for name, index in wiring.port_index.items():
        info = live[index].get_attr("IFLA_LINKINFO")
        state = info.get_attr("IFLA_INFO_SLAVE_DATA").get_attr("IFLA_BRPORT_STATE")
        if (state != _STATE_DISABLED) is not wiring.topology.has_carrier(name):
            yield f"switch port {name}"


def _unsettled_guests(wiring: Wiring) -> Iterator[str]:
    topology = wiring.topology
    for ns in {wiring.guest_place(g).ns for g in topology.guests}:
        for link in ns.rtnl.links():
            name = link.get_attr("IFLA_IFNAME")
            if not topology.is_guest(name) or not topology.guest(name).up:
                continue
            lower = topology.guest(name).lower
            if topology.root_of(lower).kind is LowerKind.DUMMY:
                continue
            is_up = link.get_attr("IFLA_OPERSTATE") == "UP"
            if is_up is not topology.has_carrier(lower):
                yield name
