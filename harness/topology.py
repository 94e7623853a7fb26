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

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from harness.addresses import EXTERNAL, ROUTER, checked_mac, with_guest_macs, with_lower_macs
from harness.errors import TopologyError
from harness.parts import External, Guest, Lower, LowerKind, Mode, Port, Router, Switch

__all__ = ["Topology"]

RESERVED_NAMES = frozenset(
    {"broadcast", "unknown", "lo", "switch", "beacon", "beacon-port", "all", "default"}
    | {f"beacon-{i}" for i in range(10)}
    | {f"beacon-{i}-port" for i in range(10)}
)
_MOST_SWITCHES = 8

_NAME = re.compile(r"[a-z][a-z0-9-]{0,14}")
_NAME_ALLOWED = "a lower-case letter, then up to 14 of a-z, 0-9 and -"


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
        _check(self)

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


def _check(topology: Topology) -> None:
    """Everything that one part alone cannot know."""
    _check_names(topology)
    _check_switches(topology)
    _check_lowers(topology)
    _check_guests(topology)
    _check_macs(topology)
    _check_ports(topology)


def _fields(topology: Topology) -> Iterator[tuple[str, Guest | Lower | External | Router]]:
    for i, guest in enumerate(topology.guests, 1):
        yield f"guest[{i}]", guest
    for i, lower in enumerate(topology.lowers, 1):
        yield f"lower[{i}]", lower
    for i, external in enumerate(topology.externals, 1):
        yield f"external[{i}]", external
    if topology.router:
        yield "router", topology.router


def _check_switches(topology: Topology) -> None:
    switches = {}
    stations = topology.macs
    if len(topology.switches) > _MOST_SWITCHES:
        raise TopologyError(
            "switch", f"there are {len(topology.switches)}", allowed=f"up to {_MOST_SWITCHES}"
        )
    for i, switch in enumerate(topology.switches, 1):
        where = "switch.name" if len(topology.switches) == 1 else f"switch[{i}].name"
        if not _NAME.fullmatch(switch.name) or switch.name in RESERVED_NAMES - {"switch"}:
            raise TopologyError(where, f"{switch.name!r} cannot be a name", allowed=_NAME_ALLOWED)
        if switch.name in switches or switch.name in stations:
            raise TopologyError(where, f"{switch.name!r} is taken", allowed="a name of its own")
        switches[switch.name] = switch
    for where, part in _fields(topology):
        plugged = part.name in topology.plugged()
        if plugged and not isinstance(part, Guest) and part.switch not in switches:
            raise TopologyError(
                f"{where}.switch", f"no switch {part.switch!r}", allowed=", ".join(switches)
            )


def _check_names(topology: Topology) -> None:
    seen: dict[str, str] = {}
    for where, part in _fields(topology):
        if not _NAME.fullmatch(part.name):
            raise TopologyError(
                f"{where}.name", f"{part.name!r} cannot be a name", allowed=_NAME_ALLOWED
            )
        if part.name in RESERVED_NAMES:
            raise TopologyError(
                f"{where}.name",
                f"{part.name!r} is reserved",
                allowed=f"anything but {', '.join(sorted(RESERVED_NAMES))}",
            )
        if part.name in seen:
            raise TopologyError(
                f"{where}.name",
                f"{part.name!r} is taken by {seen[part.name]}",
                allowed="a name of its own",
            )
        seen[part.name] = where


def _check_lowers(topology: Topology) -> None:
    kinds = {x.name: x.kind for x in topology.lowers}
    vlans: set[tuple[str, int]] = set()
    if not kinds:
        raise TopologyError("lower", "there is none", allowed="one lower device at least")
    for i, lower in enumerate(topology.lowers, 1):
        where = f"lower[{i}]"
        if not 68 <= lower.mtu <= 65535:
            raise TopologyError(
                f"{where}.mtu", f"{lower.mtu} is out of range", allowed="68 to 65535"
            )
        if lower.kind is not LowerKind.VLAN:
            for name in ("vlan", "parent"):
                if getattr(lower, name) not in ("", None):
                    raise TopologyError(
                        f"{where}.{name}", f"a {lower.kind} has no {name}", allowed="kind = 'vlan'"
                    )
            continue
        if kinds.get(lower.parent) not in (LowerKind.VETH, LowerKind.DUMMY):
            raise TopologyError(
                f"{where}.parent",
                f"{lower.parent!r} cannot carry a vlan",
                allowed="the name of a veth or dummy lower device",
            )
        if lower.vlan is None or not 1 <= lower.vlan <= 4094:
            raise TopologyError(f"{where}.vlan", f"{lower.vlan} is no VLAN id", allowed="1 to 4094")
        if (lower.parent, lower.vlan) in vlans:
            raise TopologyError(
                f"{where}.vlan",
                f"{lower.parent} has a vlan {lower.vlan} already",
                allowed="one device per VLAN id",
            )
        vlans.add((lower.parent, lower.vlan))


def _check_guests(topology: Topology) -> None:
    for i, guest in enumerate(topology.guests, 1):
        where = f"guest[{i}]"
        if guest.mode is Mode.PASSTHRU and len(topology.guests_on(guest.lower)) > 1:
            raise TopologyError(
                f"{where}.mode",
                f"passthru beside another guest on {guest.lower!r}",
                allowed="passthru as the only guest of its lower device",
            )
        if guest.mode is not Mode.SOURCE and (guest.sources or guest.nodst):
            name = "sources" if guest.sources else "nodst"
            raise TopologyError(
                f"{where}.{name}", f"not in {guest.mode} mode", allowed="mode = 'source'"
            )
        if guest.mode is not Mode.PASSTHRU and guest.nopromisc:
            raise TopologyError(
                f"{where}.nopromisc", f"not in {guest.mode} mode", allowed="mode = 'passthru'"
            )
        if guest.bcqueuelen is not None and not 0 <= guest.bcqueuelen < 1 << 32:
            raise TopologyError(
                f"{where}.bcqueuelen",
                f"{guest.bcqueuelen} is out of range",
                allowed="0 to 4294967295",
            )
        if guest.bc_cutoff is not None and not -1 <= guest.bc_cutoff < 1 << 31:
            raise TopologyError(
                f"{where}.bc_cutoff",
                f"{guest.bc_cutoff} is out of range",
                allowed="-1 to 2147483647",
            )


def _check_macs(topology: Topology) -> None:
    """One address per station, but for a passthru guest and its lower device, and vlans."""
    owner: dict[str, str] = {}
    for where, part in _fields(topology):
        if isinstance(part, Guest) and part.mode is Mode.PASSTHRU:
            continue
        if isinstance(part, Lower) and part.kind is LowerKind.VLAN:
            if part.mac == topology.macs[part.parent]:
                continue
        if part.mac in owner:
            raise TopologyError(
                f"{where}.mac",
                f"{part.mac} belongs to {owner[part.mac]}",
                allowed="an address of its own",
            )
        owner[part.mac] = part.name


def _check_ports(topology: Topology) -> None:
    seen: set[str] = set()
    for number, switch in enumerate(topology.switches, 1):
        table = "switch" if len(topology.switches) == 1 else f"switch[{number}]"
        plugged = [x for x in topology.plugged() if topology.switch_of(x) is switch]
        for i, port in enumerate(switch.ports, 1):
            where = f"{table}.port[{i}]"
            if port.to not in plugged:
                raise TopologyError(
                    f"{where}.to",
                    f"{port.to!r} has no port",
                    allowed=", ".join(plugged) or "nothing",
                )
            if port.to in seen:
                raise TopologyError(
                    f"{where}.to", f"{port.to!r} is set twice", allowed="one entry a port"
                )
            seen.add(port.to)
            for name, vids in (("pvid", (port.pvid,)), ("vlans", port.vlans)):
                for vid in vids:
                    if not 1 <= vid <= 4094:
                        raise TopologyError(
                            f"{where}.{name}", f"{vid} is no VLAN id", allowed="1 to 4094"
                        )
