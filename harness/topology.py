"""The declared network: frozen facts, valid without root and on any system.

        a [tap]--.                         .-- external
                 lower --[wire]-- switch --+
        b [tap]--'                         '-- router (optional)

A *station* is whoever has a MAC address: each guest, each lower device (the host's own stack
on it), each external host and the router. Stations share one space of names, which are also
their link names in the kernel.

What looks at frames is an *observer*. Every station is one, and each lower device has more:

    ``lower``             the host's stack took the frame
    ``lower.otherhost``   the host's stack saw it and drops it as PACKET_OTHERHOST
    ``lower.out``         the frame went onto the wire, towards the switch
    ``lower.in``          the frame came off the wire, from the switch
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from harness.addresses import EXTERNAL, ROUTER, checked_mac, with_guest_macs, with_lower_macs
from harness.parts import External, Guest, Lower, LowerKind, Port, Router, Switch
from harness.validity import check_parts

__all__ = ["Topology"]


@dataclass(frozen=True)
class Topology:
    """A whole network, checked on construction.

    Addresses left empty are filled in from the position of the station, so two topologies
    written alike are equal and hash alike. `switch` is short for one of `switches`. Raises
    TopologyError naming the field.
    """

    guests: tuple[Guest, ...] = ()
    lowers: tuple[Lower, ...] = (Lower(),)
    switches: tuple[Switch, ...] = (Switch(),)
    externals: tuple[External, ...] = (External(),)
    router: Router | None = None
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __init__(
        self,
        guests: Iterable[Guest] = (),
        *,
        lowers: Iterable[Lower] = (Lower(),),
        switch: Switch | None = None,
        switches: Iterable[Switch] = (),
        externals: Iterable[External] = (External(),),
        router: Router | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "lowers", with_lower_macs(tuple(lowers)))
        put(self, "guests", with_guest_macs(tuple(guests), {x.name: x for x in self.lowers}))
        put(self, "switches", tuple(switches) or (switch or Switch(),))
        put(
            self,
            "externals",
            tuple(
                replace(x, mac=checked_mac(f"external[{i}].mac", x.mac, EXTERNAL, i))
                for i, x in enumerate(externals, 1)
            ),
        )
        put(
            self,
            "router",
            router and replace(router, mac=checked_mac("router.mac", router.mac, ROUTER, 1)),
        )
        put(
            self,
            "_hash",
            hash((self.guests, self.lowers, self.switches, self.externals, self.router)),
        )
        check_parts(
            guests=self.guests,
            lowers=self.lowers,
            switches=self.switches,
            externals=self.externals,
            router=self.router,
        )

    def __hash__(self) -> int:
        # Topologies key the caches of predictions and of live testbeds: hash once.
        return self._hash

    @cached_property
    def macs(self) -> dict[str, str]:
        """Station name to MAC address, guests first."""
        return {x.name: x.mac for x in self._stations()}

    @cached_property
    def ips(self) -> dict[str, str]:
        """Station name to the IPv4 address that routed stimuli use for it (10.104.0.0/16).

        The router is 10.104.0.1, whoever comes and goes.
        """
        others = [name for name in self.macs if not self.router or name != self.router.name]
        ips = {name: f"10.104.{i >> 8}.{i & 0xFF}" for i, name in enumerate(others, 2)}
        return ips | ({self.router.name: "10.104.0.1"} if self.router else {})

    @cached_property
    def observers(self) -> tuple[str, ...]:
        """Names of all observers, guests first."""
        extra = []
        for lower in self.lowers:
            extra.append(f"{lower.name}.otherhost")
            if lower.kind is LowerKind.VETH:
                extra += [f"{lower.name}.out", f"{lower.name}.in"]
        return (*self.macs, *extra)

    @cached_property
    def _guest_by_name(self) -> dict[str, Guest]:
        return {x.name: x for x in self.guests}

    @cached_property
    def _lower_by_name(self) -> dict[str, Lower]:
        return {x.name: x for x in self.lowers}

    @cached_property
    def _guests_on(self) -> dict[str, tuple[Guest, ...]]:
        return {x.name: tuple(g for g in self.guests if g.lower == x.name) for x in self.lowers}

    @cached_property
    def _ports(self) -> dict[str, Port]:
        declared = {port.to: port for switch in self.switches for port in switch.ports}
        lowers = self._lower_by_name
        resolved = {}
        for name in self.plugged():
            port = declared.get(name) or Port(to=name)
            if port.hairpin is None:
                reflecting = name in lowers and self.switch_of(name).hairpin
                port = replace(port, hairpin=reflecting)
            resolved[name] = port
        return resolved

    @cached_property
    def _plugged_into(self) -> dict[str, str]:
        plugged = {x.name: x.switch for x in self.lowers if x.kind is LowerKind.VETH}
        plugged |= {x.name: x.switch for x in self.externals}
        return plugged | ({self.router.name: self.router.switch} if self.router else {})

    @cached_property
    def _switch_by_name(self) -> dict[str, Switch]:
        return {x.name: x for x in self.switches}

    @cached_property
    def switch(self) -> Switch:
        """The first switch: the only one, mostly."""
        return self.switches[0]

    @cached_property
    def without_hairpin(self) -> Topology:
        """The same network with hairpin off on every port."""
        return self.with_parts(
            switches=tuple(
                replace(
                    switch,
                    hairpin=False,
                    ports=tuple(replace(port, hairpin=False) for port in switch.ports),
                )
                for switch in self.switches
            )
        )

    def with_parts(
        self,
        *,
        guests: Iterable[Guest] | None = None,
        lowers: Iterable[Lower] | None = None,
        switches: Iterable[Switch] | None = None,
        externals: Iterable[External] | None = None,
    ) -> Topology:
        """The same network with other guests, lower devices, switches or externals."""
        return Topology(
            self.guests if guests is None else guests,
            lowers=self.lowers if lowers is None else lowers,
            switches=self.switches if switches is None else switches,
            externals=self.externals if externals is None else externals,
            router=self.router,
        )

    def _stations(self) -> Iterator[Guest | Lower | External | Router]:
        yield from self.guests
        yield from self.lowers
        yield from self.externals
        if self.router:
            yield self.router

    def guest(self, name: str) -> Guest:
        """The guest of that name. Raises KeyError."""
        return self._guest_by_name[name]

    def lower(self, name: str) -> Lower:
        """The lower device of that name. Raises KeyError."""
        return self._lower_by_name[name]

    def is_guest(self, name: str) -> bool:
        """Whether a guest bears that name."""
        return name in self._guest_by_name

    def is_lower(self, name: str) -> bool:
        """Whether a lower device bears that name."""
        return name in self._lower_by_name

    def guests_on(self, lower: str) -> tuple[Guest, ...]:
        """Guests on that lower device itself (not on a vlan above it)."""
        return self._guests_on.get(lower, ())

    @cached_property
    def _vlans_on(self) -> dict[str, tuple[Lower, ...]]:
        vlans = [x for x in self.lowers if x.kind is LowerKind.VLAN]
        return {x.name: tuple(v for v in vlans if v.parent == x.name) for x in self.lowers}

    def vlans_on(self, lower: str) -> tuple[Lower, ...]:
        """The vlan devices on a lower device."""
        return self._vlans_on[lower]

    def root_of(self, lower: str) -> Lower:
        """The veth or dummy that carries `lower`: itself, unless it is a vlan."""
        found = self.lower(lower)
        return self.root_of(found.parent) if found.kind is LowerKind.VLAN else found

    def plugged(self) -> tuple[str, ...]:
        """Stations with a switch port of their own, in port order."""
        return tuple(self._plugged_into)

    def switch_of(self, station: str) -> Switch:
        """The switch that `station`, which is plugged, is plugged into. Raises KeyError."""
        return self._switch_by_name[self._plugged_into[station]]

    def port(self, station: str) -> Port:
        """Resolved settings of the port that `station` is plugged into: `hairpin` is a bool.

        Raises KeyError for a station without a port.
        """
        return self._ports[station]

    @cached_property
    def stations_on(self) -> dict[str, tuple[str, ...]]:
        """Switch name to the stations that are plugged into it, in port order."""
        return {
            x.name: tuple(s for s, switch in self._plugged_into.items() if switch == x.name)
            for x in self.switches
        }

    @cached_property
    def _carriers(self) -> dict[str, bool]:
        carriers = {name: port.up for name, port in self._ports.items()}
        for lower in sorted(self.lowers, key=lambda x: x.kind is LowerKind.VLAN):
            if lower.kind is LowerKind.VETH:
                carriers[lower.name] &= lower.up
            elif lower.kind is LowerKind.DUMMY:
                carriers[lower.name] = True
            else:
                carriers[lower.name] = lower.up and carriers[lower.parent]
        return carriers

    def has_carrier(self, station: str) -> bool:
        """Whether the link of a lower device or of a plugged station has a carrier.

        A veth has none when either end is down (veth_close), a dummy always has one.
        """
        return self._carriers[station]
