"""The parts that a topology is made of: frozen facts, each meaningful alone.

What only the whole can know (names taken twice, passthru beside a sibling) is checked by
`harness.topology.Topology`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "BEACON_MAC",
    "BROADCAST_MAC",
    "NOWHERE_MAC",
    "UNKNOWN_MAC",
    "External",
    "Guest",
    "Lower",
    "LowerKind",
    "Mode",
    "Port",
    "Router",
    "Switch",
    "is_multicast",
    "parse_mac",
]

BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"
# Addresses that no station may have.
BEACON_MAC = "02:68:70:0f:00:01"  # where sentinels come from
NOWHERE_MAC = "02:68:70:0f:00:02"  # where they are flooded to
UNKNOWN_MAC = "02:68:70:ee:ee:ee"  # what an unknown destination is
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class Mode(StrEnum):
    """Delivery mode of a macvtap link (IFLA_MACVLAN_MODE)."""

    VEPA = "vepa"
    BRIDGE = "bridge"
    PRIVATE = "private"
    PASSTHRU = "passthru"
    SOURCE = "source"

    @classmethod
    def parse(cls, text: str) -> Mode:
        """Mode of that name; libvirt's spelling ``passthrough`` is accepted.

        Raises ValueError for any other word.
        """
        return cls.PASSTHRU if text == "passthrough" else cls(text)


class LowerKind(StrEnum):
    """What a lower device is made of."""

    VETH = "veth"
    DUMMY = "dummy"
    VLAN = "vlan"


@dataclass(frozen=True, kw_only=True)
class Lower:
    """A lower device: what macvtaps sit on, and the host's own stack on it.

    A veth is plugged into the switch. A dummy is plugged into nothing: what it sends is gone.
    A vlan is an 802.1Q device of id `vlan` on the lower device named `parent`. `switch` is the
    switch that a veth is plugged into.
    """

    name: str = "lower"
    kind: LowerKind = LowerKind.VETH
    parent: str = ""
    vlan: int | None = None
    mac: str = ""
    mtu: int = 1500
    up: bool = True
    switch: str = "switch"


@dataclass(frozen=True)
class Guest:
    """A guest's NIC: one macvtap on a lower device.

    `sources` is the list of source MACs of source mode; `nodst` consumes what it matched;
    `nopromisc` keeps passthru from making the lower device promiscuous. `groups` are the
    multicast MACs joined. `bcqueuelen` (frames) and `bc_cutoff` (subscribers; -1: never queue)
    go to the kernel when given. In passthru mode the address is always the lower device's.
    `namespace` is the network namespace that the macvtap has been moved to, empty for that of its
    lower device.
    """

    name: str
    mode: Mode = Mode.VEPA
    lower: str = "lower"
    mac: str = ""
    sources: tuple[str, ...] = ()
    nodst: bool = field(default=False, kw_only=True)
    nopromisc: bool = field(default=False, kw_only=True)
    groups: tuple[str, ...] = field(default=(), kw_only=True)
    allmulticast: bool = field(default=False, kw_only=True)
    promiscuous: bool = field(default=False, kw_only=True)
    bcqueuelen: int | None = field(default=None, kw_only=True)
    bc_cutoff: int | None = field(default=None, kw_only=True)
    up: bool = field(default=True, kw_only=True)
    namespace: str = field(default="", kw_only=True)


@dataclass(frozen=True, kw_only=True)
class Port:
    """Settings of the switch port that the station `to` is plugged into.

    `flood` is for unknown unicast, `multicast_flood` for groups; broadcast always floods.
    `pvid` and `vlans` (tagged members) count only when the switch filters VLANs. A port that is
    not `up` takes the carrier away from whoever is plugged into it.
    """

    to: str
    up: bool = True
    hairpin: bool | None = None
    learning: bool = True
    flood: bool = True
    multicast_flood: bool = True
    pvid: int = 1
    vlans: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Switch:
    """An external switch: a learning bridge. Several are not connected with each other.

    `hairpin` (802.1Q: reflective relay) is the default for the ports of lower devices; a
    `Port` overrides it for one port. Ports to other stations reflect only when told so.
    """

    name: str = "switch"
    hairpin: bool = False
    vlan_filtering: bool = False
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True)
class External:
    """A host behind a switch."""

    name: str = "external"
    mac: str = ""
    switch: str = field(default="switch", kw_only=True)


@dataclass(frozen=True)
class Router:
    """A one-armed IPv4 router behind a switch, with a route and a neighbour for every station."""

    name: str = "router"
    mac: str = ""
    switch: str = field(default="switch", kw_only=True)


def parse_mac(text: str) -> str:
    """`text` as a lower-case MAC address with colons. Raises ValueError when it is none."""
    lowered = text.lower().replace("-", ":")
    if not _MAC.fullmatch(lowered):
        raise ValueError(f"{text!r} is not a MAC address")
    return lowered


def is_multicast(mac: str) -> bool:
    """Whether the group bit is set (IEEE 802, 8.2): true for broadcast too."""
    return mac[1] in "13579bdfBDF"
