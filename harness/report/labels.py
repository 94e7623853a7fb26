"""What a topology is called in the matrix."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from harness.parts import Guest, LowerKind, Mode, Port
from harness.topology import Topology

__all__ = ["column_of"]


@lru_cache(maxsize=1024)
def column_of(topology: Topology) -> tuple[str, str]:
    """Headings of a topology: the guests and what is special, and the switches' hairpin."""
    joint = " → " if len(topology.guests) == 2 else " + "
    guests = joint.join(_guest(topology, guest) for guest in topology.guests) or "no guest"
    ports = (port for switch in topology.switches for port in switch.ports)
    special = [*_lowers(topology), *_plugged(topology), *map(_port, ports)]
    return "; ".join([guests, *(x for x in special if x)]), _hairpin(topology)


def _hairpin(topology: Topology) -> str:
    states = {x.name: "on" if x.hairpin else "off" for x in topology.switches}
    if len(set(states.values())) == 1:
        return f"hairpin {states[topology.switch.name]}"
    return f"hairpin {', '.join(f'{state} at {name}' for name, state in states.items())}"


def _guest(topology: Topology, guest: Guest) -> str:
    words = {
        f"on {guest.lower}": len({g.lower for g in topology.guests}) > 1,
        _sources(topology, guest) if guest.mode is Mode.SOURCE else "": guest.mode is Mode.SOURCE,
        "nodst": guest.nodst,
        "nopromisc": guest.nopromisc,
        "allmulticast": guest.allmulticast,
        "promiscuous": guest.promiscuous,
        f"bcqueuelen {guest.bcqueuelen}": guest.bcqueuelen is not None,
        f"bc_cutoff {guest.bc_cutoff}": guest.bc_cutoff is not None,
        "down": not guest.up,
        f"in {guest.namespace}": bool(guest.namespace),
    }
    return " ".join([guest.mode.value, *(word for word, told in words.items() if told)])


def _sources(topology: Topology, guest: Guest) -> str:
    names = {mac: name for name, mac in topology.macs.items()}
    return f"({', '.join(names.get(mac, mac) for mac in guest.sources) or 'nobody'})"


def _lowers(topology: Topology) -> Iterator[str]:
    for lower in topology.lowers:
        if lower.kind is not LowerKind.VETH:
            vlan = f" {lower.vlan}" if lower.vlan else ""
            yield f"{lower.name} is a {lower.kind}{vlan}"
        if not lower.up:
            yield f"{lower.name} down"
    if topology.router:
        yield "router"


def _plugged(topology: Topology) -> Iterator[str]:
    """Who is plugged in where, when there is a choice, and which switch filters VLANs."""
    several = len(topology.switches) > 1
    for switch in topology.switches:
        if several:
            yield f"{switch.name}: {', '.join(topology.stations_on[switch.name]) or 'nobody'}"
        if switch.vlan_filtering:
            yield f"VLAN filtering{f' at {switch.name}' if several else ''}"


def _port(port: Port) -> str:
    """What is not as it comes; nothing of a port that is."""
    told = {
        "down": not port.up,
        f"hairpin {'on' if port.hairpin else 'off'}": port.hairpin is not None,
        f"pvid {port.pvid}": port.pvid != 1,
        f"vlans {', '.join(map(str, port.vlans))}": bool(port.vlans),
        "no learning": not port.learning,
        "no flooding": not port.flood,
        "no multicast flooding": not port.multicast_flood,
    }
    words = [word for word, is_told in told.items() if is_told]
    return f"{port.to}: {', '.join(words)}" if words else ""
