"""A topology's links, live: who sits in which namespace, and how they are joined.

    host                          switch                        one namespace each
    .----------------------.      .-------------------------.      .----------.
    | a --.                |      | lower -.      external--|------| external |
    |      lower ----------|------|         switch          |      '----------'
    | b --'                |      |  beacon-'     router ---|------  router
    '----------------------'      '-------------------------'

Every link bears its station's name; a switch port bears the name of the station behind it.
The beacon is a port of the switch that no topology knows of: sentinels start there. It does
not learn, so that a sentinel may bear any source address.
"""

from __future__ import annotations

from contextlib import ExitStack

from harness.kernel import links
from harness.kernel.netlink import Request
from harness.kernel.netns import NetNS
from harness.kernel.packets import Membership
from harness.kernel.stock import Furnished, Stock
from harness.parts import LowerKind, Mode, Port
from harness.resource import Resource
from harness.topology import Topology

__all__ = ["BEACON", "Wiring"]

BEACON = "beacon"
_SWITCH_INDEX = 2
_BEACON_PORT_INDEX = 3
_BEACON_INDEX = 4
_OUTSIDE_INDEX = 2
_FIRST_INDEX = 10


class Wiring(Resource):
    """Namespaces of one topology, and after `build` its links. Use it in a `with` statement.

    `index` maps every station to the index of its link in its own namespace, `port_index`
    every plugged station to the index of its switch port.
    """

    def __init__(self, topology: Topology, stock: Stock | None = None) -> None:
        self.topology = topology
        self._stock = stock
        stations = list(topology.macs)
        inside = [g.name for g in topology.guests] + [x.name for x in topology.lowers]
        self.index = {
            name: _FIRST_INDEX + i if name in inside else _OUTSIDE_INDEX
            for i, name in enumerate(stations)
        }
        self.port_index = {name: _FIRST_INDEX + i for i, name in enumerate(topology.plugged())}
        self._undo = ExitStack()
        try:
            self.host_place = self._place()
            self.switch_place = self._place()
            self.outside_places = {
                name: self._place() for name in topology.plugged() if name not in inside
            }
        except BaseException:
            self.close()
            raise
        self.host = self.host_place.ns
        self.switch = self.switch_place.ns
        self.outside = {name: place.ns for name, place in self.outside_places.items()}

    def _place(self) -> Furnished:
        place = self._stock.take() if self._stock else Furnished(0)
        self._undo.callback(place.close)
        return place

    def namespace_of(self, station: str) -> NetNS:
        """The namespace that the station's link is in."""
        return self.outside.get(station, self.host)

    def build(self) -> None:
        """Make and join the links. Raises KernelError."""
        self.switch.rtnl.transact(self._switch_requests())
        self.host.rtnl.transact(self._host_requests())
        for name, ns in self.outside.items():
            if self.topology.router and name == self.topology.router.name:
                self._set_up_router(ns, name)
            else:
                ns.rtnl.transact([links.set_link(name, index=_OUTSIDE_INDEX, up=True)])
        for guest in self.topology.guests:
            if guest.groups:
                joined = Membership(self.host, guest.name, self.index[guest.name], guest.groups)
                self._undo.callback(joined.close)

    def _switch_requests(self) -> list[Request]:
        topology = self.topology
        filtering = topology.switch.vlan_filtering
        requests = [
            links.add_bridge("switch", index=_SWITCH_INDEX, vlan_filtering=filtering),
            links.add_veth(
                f"{BEACON}-port",
                index=_BEACON_PORT_INDEX,
                peer=BEACON,
                peer_index=_BEACON_INDEX,
                master=_SWITCH_INDEX,
            ),
            links.set_link(BEACON, index=_BEACON_INDEX, up=True),
            links.set_bridge_port(
                Port(to=BEACON, hairpin=False, learning=False), index=_BEACON_PORT_INDEX
            ),
        ]
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
                    master=_SWITCH_INDEX,
                    mtu=mtus.get(name, biggest),
                ),
                links.set_bridge_port(topology.port(name), index=index),
            ]
        return requests + (self._vlan_requests() if filtering else [])

    def _vlan_requests(self) -> list[Request]:
        """Memberships; the beacon is a trunk of every VLAN there is."""
        requests = []
        everything: set[int] = set()
        for name, index in self.port_index.items():
            port = self.topology.port(name)
            everything.update((port.pvid, *port.vlans))
            requests.append(
                links.set_bridge_vlans(name, index=index, pvid=port.pvid, tagged=port.vlans)
            )
        return [
            *requests,
            links.set_bridge_vlans(
                BEACON, index=_BEACON_PORT_INDEX, pvid=None, tagged=tuple(sorted(everything))
            ),
        ]

    def _host_requests(self) -> list[Request]:
        requests = []
        for lower in sorted(self.topology.lowers, key=lambda x: x.kind is LowerKind.VLAN):
            index = self.index[lower.name]
            if lower.kind is LowerKind.VETH:
                requests.append(links.set_link(lower.name, index=index, up=True))
            elif lower.kind is LowerKind.DUMMY:
                requests.append(
                    links.add_dummy(lower.name, index=index, mac=lower.mac, mtu=lower.mtu)
                )
            else:
                requests.append(
                    links.add_vlan(
                        lower.name,
                        index=index,
                        parent=self.index[lower.parent],
                        vlan=lower.vlan or 0,
                        mac=lower.mac,
                    )
                )
        requests += [
            links.add_macvtap(g, index=self.index[g.name], lower=self.index[g.lower])
            for g in self.topology.guests
        ]
        return requests

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
        neighbours = [
            links.add_neighbour(ip, self.topology.macs[station], index=_OUTSIDE_INDEX)
            for station, ip in self.topology.ips.items()
            if station != name
        ]
        ns.rtnl.transact(
            [
                links.set_link(name, index=_OUTSIDE_INDEX, up=True),
                links.add_address(self.topology.ips[name], 16, index=_OUTSIDE_INDEX),
                *neighbours,
            ]
        )

    def set_ports(self, topology: Topology) -> None:
        """Set the switch's ports as `topology` has them, which becomes the declared one."""
        self.topology = topology
        self.switch.rtnl.transact(
            links.set_bridge_port(topology.port(name), index=index)
            for name, index in self.port_index.items()
        )

    def flush_fdb(self) -> None:
        """Let the switch forget all that it has learned."""
        self.switch.rtnl.transact([links.flush_fdb("switch", index=_SWITCH_INDEX)])

    def set_hairpin(self, station: str, *, on: bool) -> None:
        """Switch hairpin on the live port of `station`. The topology does not learn of it."""
        declared = self.topology.port(station)
        port = Port(
            to=station,
            hairpin=on,
            learning=declared.learning,
            flood=declared.flood,
            multicast_flood=declared.multicast_flood,
        )
        self.switch.rtnl.transact([links.set_bridge_port(port, index=self.port_index[station])])

    def set_mode(self, guest: str, mode: Mode) -> None:
        """Change the mode of a live macvtap. The topology does not learn of it."""
        request = links.change_macvtap(guest, index=self.index[guest], mode=mode)
        self.host.rtnl.transact([request])

    def close(self) -> None:
        """Let go of every namespace, and so of every link; idempotent."""
        self._undo.close()
