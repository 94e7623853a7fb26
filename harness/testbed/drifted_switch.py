"""Switches that are not as declared: bridge and port settings, entries of the forwarding table."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from harness.kernel.links import AGEING
from harness.kernel.readback import Link, Snapshot
from harness.model.bridge import behind
from harness.parts import BEACON_MAC, Switch
from harness.testbed.findings import Finding, Weight, differs, state
from harness.topology import Topology

__all__ = ["drifted_forwarding", "drifted_switch"]

_FORWARDING = 3  # BR_STATE_FORWARDING
_STATES = {0: "disabled", 1: "listening", 2: "learning", 4: "blocking"}

# Settings of a switch port that no topology has: what they do when they are not 0.
_PORT_EXTRAS = {
    "isolated": "isolated: it hands nothing to other isolated ports",
    "locked": "locked: it refuses frames from stations that the switch has not learned there",
    "mab": "MAC authentication bypass",
    "guard": "BPDU guard",
    "protect": "root protection",
    "neigh_suppress": "neighbour suppression",
    "neigh_vlan_suppress": "neighbour suppression per VLAN",
    "mcast_to_ucast": "multicast turned to unicast",
    "proxyarp": "proxy ARP",
    "proxyarp_wifi": "proxy ARP",
    "vlan_tunnel": "VLAN tunnelling",
    "group_fwd_mask": "reserved groups let through",
    "backup_port": "a backup port",
}
_BRIDGE_SETTINGS = (
    ("stp_state", 0, "STP"),
    ("mcast_snooping", 0, "multicast snooping"),
    ("group_fwd_mask", 0, "forwarding of reserved groups (group_fwd_mask)"),
    ("nf_call_iptables", 0, "iptables on bridged frames"),
    ("nf_call_ip6tables", 0, "ip6tables on bridged frames"),
    ("nf_call_arptables", 0, "arptables on bridged frames"),
)


def drifted_switch(
    topology: Topology, switch: Switch, live: Snapshot, beacon: str
) -> Iterator[Finding]:
    """What of `switch` is not as declared; its sentinels start at the link `beacon`."""
    bridge = live.links.get(switch.name)
    it = "the switch" if len(topology.switches) == 1 else f"switch {switch.name}"
    if bridge is None:
        yield differs(switch.name, f"{it} is gone")
        return
    if not bridge.up:
        yield differs(switch.name, f"{it} is down")
    yield from _settings(switch, it, bridge)
    for name in topology.stations_on[switch.name]:
        yield from _port(topology, name, live.links.get(name), bridge)
    port = live.links.get(f"{beacon}-port")
    if port is None or port.master != bridge.index or not port.up:
        yield differs(beacon, f"the {beacon}, where sentinels start, is no port of {it} any more")
    else:
        yield from _port_state(beacon, port)


def _settings(switch: Switch, it: str, bridge: Link) -> Iterator[Finding]:
    wanted = (*_BRIDGE_SETTINGS, ("vlan_filtering", int(switch.vlan_filtering), "VLAN filtering"))
    for setting, value, words in wanted:
        now = bridge.settings.get(setting, value)
        if now != value:
            says = f"{it} has {words} {state(now)}, the topology says {state(value)}"
            yield differs(switch.name, says)
    ageing = bridge.settings.get("ageing_time", 100 * AGEING)
    if ageing != 100 * AGEING:
        yield differs(
            switch.name,
            f"{it} forgets stations after {ageing / 100:g} s (ageing_time), a testbed's does "
            f"after {AGEING} s",
        )


def _port(topology: Topology, name: str, link: Link | None, bridge: Link) -> Iterator[Finding]:
    if link is None:
        yield differs(name, f"switch port {name} is gone")
        return
    declared = topology.port(name)
    if link.up is not declared.up:
        says = "up, the topology says down" if link.up else "down"
        yield differs(name, f"switch port {name} is {says}")
    if link.master != bridge.index:
        yield differs(name, f"switch port {name} is no port of the switch any more")
        return
    for setting, attribute, wanted in (
        ("hairpin", "mode", bool(declared.hairpin)),
        ("learning", "learning", declared.learning),
        ("flood", "unicast_flood", declared.flood),
        ("multicast_flood", "mcast_flood", declared.multicast_flood),
        ("broadcast flood", "bcast_flood", True),
    ):
        now = link.port.get(attribute)
        if now is not None and bool(now) is not wanted:
            yield differs(
                name,
                f"switch port {name} has {setting} {state(now)}, the topology says {state(wanted)}",
            )
    yield from _port_state(name, link)


def _port_state(name: str, link: Link) -> Iterator[Finding]:
    now = link.port.get("state", _FORWARDING)
    if now != _FORWARDING and link.up and link.carrier:
        yield differs(
            name, f"switch port {name} is {_STATES.get(now, now)}, the topology says forwarding"
        )
    for setting, words in _PORT_EXTRAS.items():
        if link.port.get(setting):
            yield differs(name, f"switch port {name} has {words}, the topology says no such thing")


def drifted_forwarding(
    topology: Topology, live: Snapshot, misled: Collection[str]
) -> Iterator[Finding]:
    """Entries of the forwarding tables that no priming has put there, but for `misled` MACs."""
    owner = {mac: name for name, mac in reversed(topology.macs.items())}
    own = {link.mac for link in live.links.values()}
    for entry in live.forwarding:
        if entry.mac in misled and not (entry.static or entry.local):
            continue
        station = owner.get(entry.mac)
        whose = f" ({station})" if station else ""
        if entry.local and entry.mac not in own:
            yield differs(
                station or entry.port,
                f"the switch takes frames for {entry.mac}{whose} itself: a foreign local entry at "
                f"port {entry.port}, the topology says none",
            )
            continue
        expected = behind(topology, station)[0] if station else None
        if entry.static:
            yield differs(
                station or entry.port,
                f"a foreign static entry sends frames for {entry.mac}{whose} to switch port "
                f"{entry.port}, the topology says {expected.to if expected else 'none'}",
            )
        elif expected and not entry.local and entry.port != expected.to:
            yield differs(
                station or entry.port,
                f"the switch has learned {entry.mac}{whose} at port {entry.port}, "
                f"the topology says {expected.to}",
            )
        elif not station and not entry.local and entry.mac != BEACON_MAC:
            yield Finding(
                Weight.THERE,
                entry.port,
                f"the switch has learned {entry.mac} at port {entry.port}, "
                "which no station of the topology has",
            )
