"""A topology's links, live: who sits in which namespace, and how they are joined.

    host                          switch                        one namespace each
    .----------------------.      .-------------------------.      .----------.
    | a --.                |      | lower -.      external--|------| external |
    |      lower ----------|------|         switch          |      '----------'
    | b --'                |      |  beacon-'     router ---|------  router
    '----------------------'      '-------------------------'

Every link bears its station's name; a switch port bears the name of the station behind it.
The beacon is a port of the switch that no topology knows of: sentinels start there. It does
not learn, so that a sentinel may bear any source address. Further switches are bridges beside
the first, each with a beacon; a guest that has been moved is in a namespace of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from harness.kernel import links
from harness.kernel.netlink import Request
from harness.kernel.netns import NetNS
from harness.kernel.packets import Membership
from harness.kernel.stock import Furnished, Stock
from harness.parts import Guest, Lower, LowerKind, Mode, Port, Switch
from harness.resource import Resource
from harness.topology import Topology

__all__ = ["Wiring"]

_SWITCH_INDEX = 2  # and two for the beacon's veth; the next switch follows
_OUTSIDE_INDEX = 2
_FIRST_INDEX = 40
# The two ends of a veth with equal indexes would be no "upper" device to linkwatch, which puts
# their events off for up to a second (linkwatch_urgent_event).
_FIRST_PORT_INDEX = 2000


class Wiring(Resource):
    """Namespaces of one topology, and after `build` its links. Use it in a `with` statement.

    `index` maps every station to the index of its link in its own namespace, `port_index`
    every plugged station to the index of its switch port, `switch_index` every switch to that
    of its bridge and `beacons` every switch to its beacon's link.
    """

    def __init__(self, topology: Topology, stock: Stock | None = None) -> None:
        self.topology = topology
        self._stock = stock
        self._last_index = _FIRST_INDEX - 1
        self.index: dict[str, int] = {}
        for name in (*(g.name for g in topology.guests), *(x.name for x in topology.lowers)):
            self.new_index(name)
        plugged = topology.plugged()
        self.port_index = {name: _FIRST_PORT_INDEX + i for i, name in enumerate(plugged)}
        names = [switch.name for switch in topology.switches]
        self.switch_index = {name: _SWITCH_INDEX + 3 * i for i, name in enumerate(names)}
        self.beacons = {
            name: f"beacon-{i}" if i > 1 else "beacon" for i, name in enumerate(names, 1)
        }
        self._memberships: dict[str, Membership] = {}
        self._moved_to: dict[str, Furnished] = {}
        self._undo = ExitStack()
        try:
            self.host_place = self._place()
            self.switch_place = self._place()
            self.outside_places = {
                name: self._place() for name in plugged if not topology.is_lower(name)
            }
        except BaseException:
            self.close()
            raise
        self.index |= dict.fromkeys(self.outside_places, _OUTSIDE_INDEX)
        self.host = self.host_place.ns
        self.switch = self.switch_place.ns
        self.outside = {name: place.ns for name, place in self.outside_places.items()}

    def _place(self) -> Furnished:
        place = self._stock.take() if self._stock else Furnished(0)
        self._undo.callback(place.close)
        return place

    def new_index(self, station: str) -> int:
        """An index for the link of a guest or lower device, never given before."""
        self._last_index += 1
        self.index[station] = self._last_index
        return self._last_index

    def guest_place(self, guest: Guest) -> Furnished:
        """Where the guest's macvtap is, or is to be moved to."""
        if not guest.namespace:
            return self.host_place
        if guest.namespace not in self._moved_to:
            self._moved_to[guest.namespace] = self._place()
        return self._moved_to[guest.namespace]

    def namespace_of(self, station: str) -> NetNS:
        """The namespace that the station's link is in."""
        if self.topology.is_guest(station):
            return self.guest_place(self.topology.guest(station)).ns
        return self.outside.get(station, self.host)

    def build(self) -> None:
        """Make and join the links. Raises KernelError."""
        self.build_network()
        self.add_guests(self.topology.guests)
        down = [x for x in self.port_index if not self.topology.port(x).up]
        self.switch.rtnl.transact(
            links.set_link(name, index=self.port_index[name], up=False) for name in down
        )

    def build_network(self) -> None:
        """All of it but the guests, every port up. Raises KernelError."""
        self.switch.rtnl.transact(self._switch_requests())
        self.host.rtnl.transact(self._lower_requests())
        for name, ns in self.outside.items():
            if self.topology.router and name == self.topology.router.name:
                self._set_up_router(ns, name)
            else:
                ns.rtnl.transact([links.set_link(name, index=_OUTSIDE_INDEX, up=True)])

    def _switch_requests(self) -> list[Request]:
        topology = self.topology
        requests: list[Request] = []
        for switch in topology.switches:
            requests += self._bridge_requests(switch)
        mtus = {x.name: x.mtu for x in topology.lowers}
        biggest = max(mtus.values())
        for name, index in self.port_index.items():
            requests += [
                links.add_veth(
                    name,
                    index=index,
                    peer=name,
                    peer_index=self.index[name],
                    peer_ns=self.namespace_of(name).fd,
                    peer_mac=topology.macs[name],
                    master=self.switch_index[topology.switch_of(name).name],
                    mtu=mtus.get(name, biggest),
                ),
                links.set_bridge_port(topology.port(name), index=index),
            ]
        for switch in topology.switches:
            if switch.vlan_filtering:
                requests += self._vlan_requests(switch)
        return requests

    def _bridge_requests(self, switch: Switch) -> Iterator[Request]:
        """The bridge itself, and its beacon."""
        index, beacon = self.switch_index[switch.name], self.beacons[switch.name]
        yield links.add_bridge(switch.name, index=index, vlan_filtering=switch.vlan_filtering)
        yield links.add_veth(
            f"{beacon}-port", index=index + 1, peer=beacon, peer_index=index + 2, master=index
        )
        yield links.set_link(beacon, index=index + 2, up=True)
        port = Port(to=beacon, hairpin=False, learning=False)
        yield links.set_bridge_port(port, index=index + 1)

    def _vlan_requests(self, switch: Switch) -> Iterator[Request]:
        """Memberships; the beacon is a trunk of every VLAN there is."""
        everything: set[int] = set()
        for name in self.topology.stations_on[switch.name]:
            port = self.topology.port(name)
            everything.update((port.pvid, *port.vlans))
            yield links.set_bridge_vlans(
                name, index=self.port_index[name], pvid=port.pvid, tagged=port.vlans
            )
        yield links.set_bridge_vlans(
            self.beacons[switch.name],
            index=self.switch_index[switch.name] + 1,
            pvid=None,
            tagged=tuple(sorted(everything)),
        )

    def _lower_requests(self) -> Iterator[Request]:
        for lower in sorted(self.topology.lowers, key=lambda x: x.kind is LowerKind.VLAN):
            index = self.index[lower.name]
            if lower.kind is LowerKind.VETH:
                yield links.set_link(lower.name, index=index, up=lower.up)
                continue
            yield self._made_here(lower, index)
            if not lower.up:
                yield links.set_link(lower.name, index=index, up=False)

    def _made_here(self, lower: Lower, index: int) -> Request:
        if lower.kind is LowerKind.DUMMY:
            return links.add_dummy(lower.name, index=index, mac=lower.mac, mtu=lower.mtu)
        return links.add_vlan(
            lower.name,
            index=index,
            parent=self.index[lower.parent],
            vlan=lower.vlan or 0,
            mac=lower.mac,
        )

    def add_guests(self, guests: tuple[Guest, ...]) -> None:
        """Make the macvtaps, move those that belong elsewhere, join their groups."""
        self.host.rtnl.transact(
            links.add_macvtap(
                replace(g, up=False) if g.namespace else g,
                index=self.index[g.name],
                lower=self.index[g.lower],
            )
            for g in guests
        )
        for guest in guests:
            if guest.namespace:
                self.move(guest, self.host)
            self.join(guest)

    def move(self, guest: Guest, there: NetNS) -> None:
        """Move a macvtap from `there` to where the guest says, and bring it up again."""
        place, index = self.guest_place(guest).ns, self.index[guest.name]
        self.forget_membership(guest.name)
        there.rtnl.transact([links.move_link(guest.name, index=index, to=place.fd)])
        place.rtnl.transact([links.set_guest(guest, index=index)])

    def join(self, guest: Guest) -> None:
        """Let the guest be a member of its groups, and of no others."""
        if guest.name in self._memberships:
            self._memberships[guest.name].set(guest.groups)
        elif guest.groups:
            ns, index = self.guest_place(guest).ns, self.index[guest.name]
            joined = Membership(ns, guest.name, index, guest.groups)
            self._undo.callback(joined.close)
            self._memberships[guest.name] = joined

    def forget_membership(self, guest: str) -> None:
        """The link has gone, or to another namespace, and the kernel has ended its memberships."""
        self._memberships.pop(guest, None)

    def _set_up_router(self, ns: NetNS, name: str) -> None:
        """One arm, an address in the stations' network, a permanent neighbour for each."""
        for knob in ("ip_forward", f"conf.{name}.forwarding"):
            ns.sysctl(f"net.ipv4.{knob}", "1")
        for knob in (
            "all.send_redirects",
            f"{name}.send_redirects",
            "all.rp_filter",
            f"{name}.rp_filter",
        ):
            ns.sysctl(f"net.ipv4.conf.{knob}", "0")
        ns.rtnl.transact(
            [
                links.set_link(name, index=_OUTSIDE_INDEX, up=True),
                links.add_address(self.topology.ips[name], 16, index=_OUTSIDE_INDEX),
            ]
        )
        self.set_neighbours()

    def set_neighbours(self) -> None:
        """Let the router know where every station is."""
        topology = self.topology
        if topology.router:
            router = topology.router.name
            self.outside[router].rtnl.transact(
                links.set_neighbour(ip, topology.macs[station], index=_OUTSIDE_INDEX)
                for station, ip in topology.ips.items()
                if station != router
            )

    def flush_fdb(self) -> None:
        """Let every switch forget all that it has learned."""
        self.switch.rtnl.transact(
            links.flush_fdb(name, index=index) for name, index in self.switch_index.items()
        )

    def set_hairpin(self, station: str, *, on: bool) -> None:
        """Switch hairpin on the live port of `station`. The topology does not learn of it."""
        declared = self.topology.port(station)
        port = replace(declared, hairpin=on)
        self.switch.rtnl.transact([links.set_bridge_port(port, index=self.port_index[station])])

    def set_mode(self, guest: str, mode: Mode) -> None:
        """Change the mode of a live macvtap. The topology does not learn of it."""
        changed = replace(self.topology.guest(guest), mode=mode)
        request = links.change_guest(changed, index=self.index[guest])
        self.namespace_of(guest).rtnl.transact([request])

    def close(self) -> None:
        """Let go of every namespace, and so of every link; idempotent."""
        self._undo.close()
