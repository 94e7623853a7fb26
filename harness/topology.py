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

from harness.errors import TopologyError
from harness.parts import (
    BEACON_MAC,
    NOWHERE_MAC,
    UNKNOWN_MAC,
    External,
    Guest,
    Lower,
    LowerKind,
    Mode,
    Port,
    Router,
    Switch,
    is_multicast,
    parse_mac,
)

__all__ = ["Topology"]

RESERVED_NAMES = frozenset(
    {"broadcast", "unknown", "lo", "switch", "beacon", "beacon-port", "all", "default"}
)

_NAME = re.compile(r"[a-z][a-z0-9-]{0,14}")
_NAME_ALLOWED = "a lower-case letter, then up to 14 of a-z, 0-9 and -"

# Stations without an address of their own get a locally administered one: 02:h:p:kind:index.
_GUEST, _LOWER, _EXTERNAL, _ROUTER = 1, 2, 3, 4


def _derived_mac(kind: int, index: int) -> str:
    return f"02:68:70:{kind:02x}:{index >> 8:02x}:{index & 0xFF:02x}"


@dataclass(frozen=True)
class Topology:
    """A whole network, checked on construction.

    Addresses left empty are filled in from the position of the station, so two topologies
    written alike are equal and hash alike. Raises TopologyError naming the field.
    """

    guests: tuple[Guest, ...] = ()
    lowers: tuple[Lower, ...] = (Lower(),)
    switch: Switch = Switch()
    externals: tuple[External, ...] = (External(),)
    router: Router | None = None
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __init__(
        self,
        guests: Iterable[Guest] = (),
        *,
        lowers: Iterable[Lower] = (Lower(),),
        switch: Switch | None = None,
        externals: Iterable[External] = (External(),),
        router: Router | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "lowers", _with_lower_macs(tuple(lowers)))
        put(self, "guests", _with_guest_macs(tuple(guests), {x.name: x for x in self.lowers}))
        put(self, "switch", switch or Switch())
        put(
            self,
            "externals",
            tuple(
                replace(x, mac=_checked_mac(f"external[{i}].mac", x.mac, _EXTERNAL, i))
                for i, x in enumerate(externals, 1)
            ),
        )
        put(
            self,
            "router",
            router and replace(router, mac=_checked_mac("router.mac", router.mac, _ROUTER, 1)),
        )
        put(
            self,
            "_hash",
            hash((self.guests, self.lowers, self.switch, self.externals, self.router)),
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
        """Station name to the IPv4 address that routed stimuli use for it (10.104.0.0/16)."""
        return {name: f"10.104.{i >> 8}.{i & 0xFF}" for i, name in enumerate(self.macs, 2)}

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
    def without_hairpin(self) -> Topology:
        """The same network with hairpin off on every port."""
        ports = tuple(replace(port, hairpin=False) for port in self.switch.ports)
        return Topology(
            self.guests,
            lowers=self.lowers,
            switch=replace(self.switch, hairpin=False, ports=ports),
            externals=self.externals,
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

    def guests_on(self, lower: str) -> tuple[Guest, ...]:
        """Guests on that lower device itself (not on a vlan above it)."""
        return tuple(g for g in self.guests if g.lower == lower)

    def root_of(self, lower: str) -> Lower:
        """The veth or dummy that carries `lower`: itself, unless it is a vlan."""
        found = self.lower(lower)
        return self.root_of(found.parent) if found.kind is LowerKind.VLAN else found

    def plugged(self) -> tuple[str, ...]:
        """Stations with a switch port of their own, in port order."""
        veths = [x.name for x in self.lowers if x.kind is LowerKind.VETH]
        return (
            *veths,
            *(x.name for x in self.externals),
            *([self.router.name] if self.router else []),
        )

    def port(self, station: str) -> Port:
        """Resolved settings of the port that `station` is plugged into: `hairpin` is a bool."""
        declared = next((p for p in self.switch.ports if p.to == station), Port(to=station))
        if declared.hairpin is not None:
            return declared
        is_lower = any(x.name == station for x in self.lowers)
        return replace(declared, hairpin=self.switch.hairpin and is_lower)


def _checked_mac(where: str, mac: str, kind: int, index: int) -> str:
    """`mac` in canonical form, or a derived address when it is empty."""
    if not mac:
        return _derived_mac(kind, index)
    try:
        canonical = parse_mac(mac)
    except ValueError as error:
        raise TopologyError(where, str(error), allowed="six pairs of hex digits") from None
    if canonical in (BEACON_MAC, NOWHERE_MAC, UNKNOWN_MAC):
        raise TopologyError(where, f"{mac} is hairpin's own", allowed="any other unicast MAC")
    if is_multicast(canonical) or canonical == "00:00:00:00:00:00":
        raise TopologyError(where, f"{mac} cannot be a station's address", allowed="a unicast MAC")
    return canonical


def _checked_list(where: str, macs: Iterable[str], *, group: bool) -> tuple[str, ...]:
    """A list of group or unicast addresses in canonical form."""
    allowed = "group (multicast) MACs" if group else "unicast MACs"
    canonical = []
    for text in macs:
        try:
            mac = parse_mac(text)
        except ValueError as error:
            raise TopologyError(where, str(error), allowed=allowed) from None
        if is_multicast(mac) is not group:
            raise TopologyError(where, f"{text} does not belong here", allowed=allowed)
        canonical.append(mac)
    return tuple(canonical)


def _with_lower_macs(lowers: tuple[Lower, ...]) -> tuple[Lower, ...]:
    """Addresses filled in; a vlan takes its parent's, as the kernel does (vlan_dev_init)."""
    macs = {
        x.name: _checked_mac(f"lower[{i}].mac", x.mac, _LOWER, i) for i, x in enumerate(lowers, 1)
    }
    for lower in lowers:
        if lower.kind is LowerKind.VLAN and not lower.mac:
            macs[lower.name] = macs.get(lower.parent, macs[lower.name])
    return tuple(replace(x, mac=macs[x.name]) for x in lowers)


def _with_guest_macs(guests: tuple[Guest, ...], lowers: dict[str, Lower]) -> tuple[Guest, ...]:
    """Addresses filled in.

    Passthru has its lower device's, whatever is asked for (macvlan_common_newlink).
    """
    filled = []
    for i, guest in enumerate(guests, 1):
        where = f"guest[{i}]"
        lower = lowers.get(guest.lower)
        if lower is None:
            raise TopologyError(
                f"{where}.lower", f"no lower device {guest.lower!r}", allowed=", ".join(lowers)
            )
        if guest.mode is Mode.PASSTHRU:
            if guest.mac not in ("", lower.mac):
                raise TopologyError(
                    f"{where}.mac",
                    "passthru ignores the address asked for",
                    allowed=f"none: it is the lower device's, {lower.mac}",
                )
            mac = lower.mac
        else:
            mac = _checked_mac(f"{where}.mac", guest.mac, _GUEST, i)
        filled.append(
            replace(
                guest,
                mac=mac,
                sources=_checked_list(f"{where}.sources", guest.sources, group=False),
                groups=tuple(
                    dict.fromkeys(_checked_list(f"{where}.groups", guest.groups, group=True))
                ),
            )
        )
    return tuple(filled)


def _check(topology: Topology) -> None:
    """Everything that one part alone cannot know."""
    _check_names(topology)
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
    plugged = topology.plugged()
    seen: set[str] = set()
    for i, port in enumerate(topology.switch.ports, 1):
        where = f"switch.port[{i}]"
        if port.to not in plugged:
            raise TopologyError(
                f"{where}.to", f"{port.to!r} has no port", allowed=", ".join(plugged) or "nothing"
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
