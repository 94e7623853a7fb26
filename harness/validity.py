"""What makes a topology of its parts: everything that one part alone cannot know."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.errors import TopologyError
from harness.parts import External, Guest, Lower, LowerKind, Mode, Router, Switch

__all__ = ["RESERVED_NAMES", "check_parts"]

RESERVED_NAMES = frozenset(
    {"broadcast", "unknown", "lo", "switch", "beacon", "beacon-port", "all", "default"}
    | {f"beacon-{i}" for i in range(10)}
    | {f"beacon-{i}-port" for i in range(10)}
)
_MOST_SWITCHES = 8

_NAME = re.compile(r"[a-z][a-z0-9-]{0,14}")
_NAME_ALLOWED = "a lower-case letter, then up to 14 of a-z, 0-9 and -"

# Every station, by the field that it stands in.
_Stations = dict[str, Guest | Lower | External | Router]


def check_parts(
    *,
    guests: tuple[Guest, ...],
    lowers: tuple[Lower, ...],
    switches: tuple[Switch, ...],
    externals: tuple[External, ...],
    router: Router | None,
) -> None:
    """Raise TopologyError, naming the field, when these parts make no network.

    Their addresses are filled in already.
    """
    stations: _Stations = {f"guest[{i}]": x for i, x in enumerate(guests, 1)}
    stations |= {f"lower[{i}]": x for i, x in enumerate(lowers, 1)}
    stations |= {f"external[{i}]": x for i, x in enumerate(externals, 1)}
    stations |= {"router": router} if router else {}
    _check_names(stations)
    _check_switches(switches, stations)
    _check_lowers(lowers)
    _check_guests(guests)
    _check_macs(stations)
    _check_ports(switches, stations)


def _check_names(stations: _Stations) -> None:
    seen: dict[str, str] = {}
    for where, part in stations.items():
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


def _plugged(stations: _Stations) -> Iterator[tuple[str, Lower | External | Router]]:
    """Those that have a switch port of their own."""
    for where, part in stations.items():
        if isinstance(part, Guest) or (isinstance(part, Lower) and part.kind is not LowerKind.VETH):
            continue
        yield where, part


def _check_switches(switches: tuple[Switch, ...], stations: _Stations) -> None:
    taken = {part.name for part in stations.values()}
    if len(switches) > _MOST_SWITCHES:
        raise TopologyError(
            "switch", f"there are {len(switches)}", allowed=f"up to {_MOST_SWITCHES}"
        )
    for i, switch in enumerate(switches, 1):
        where = "switch.name" if len(switches) == 1 else f"switch[{i}].name"
        if not _NAME.fullmatch(switch.name) or switch.name in RESERVED_NAMES - {"switch"}:
            raise TopologyError(where, f"{switch.name!r} cannot be a name", allowed=_NAME_ALLOWED)
        if switch.name in taken:
            raise TopologyError(where, f"{switch.name!r} is taken", allowed="a name of its own")
        taken.add(switch.name)
    names = [switch.name for switch in switches]
    for where, part in _plugged(stations):
        if part.switch not in names:
            raise TopologyError(
                f"{where}.switch", f"no switch {part.switch!r}", allowed=", ".join(names)
            )


def _check_lowers(lowers: tuple[Lower, ...]) -> None:
    kinds = {x.name: x.kind for x in lowers}
    vlans: set[tuple[str, int]] = set()
    if not kinds:
        raise TopologyError("lower", "there is none", allowed="one lower device at least")
    for i, lower in enumerate(lowers, 1):
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


def _check_guests(guests: tuple[Guest, ...]) -> None:
    on = [guest.lower for guest in guests]
    for i, guest in enumerate(guests, 1):
        where = f"guest[{i}]"
        if guest.mode is Mode.PASSTHRU and on.count(guest.lower) > 1:
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


def _check_macs(stations: _Stations) -> None:
    """One address per station, but for a passthru guest and its lower device, and vlans."""
    macs = {part.name: part.mac for part in stations.values()}
    owner: dict[str, str] = {}
    for where, part in stations.items():
        if isinstance(part, Guest) and part.mode is Mode.PASSTHRU:
            continue
        if isinstance(part, Lower) and part.kind is LowerKind.VLAN:
            if part.mac == macs[part.parent]:
                continue
        if part.mac in owner:
            raise TopologyError(
                f"{where}.mac",
                f"{part.mac} belongs to {owner[part.mac]}",
                allowed="an address of its own",
            )
        owner[part.mac] = part.name


def _check_ports(switches: tuple[Switch, ...], stations: _Stations) -> None:
    seen: set[str] = set()
    for number, switch in enumerate(switches, 1):
        table = "switch" if len(switches) == 1 else f"switch[{number}]"
        plugged = [part.name for _, part in _plugged(stations) if part.switch == switch.name]
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
