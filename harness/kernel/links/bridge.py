"""Requests that make bridges and set their ports, and forwarding entries."""

from __future__ import annotations

import socket

from pyroute2.netlink.rtnl.ndmsg import ndmsg

from harness.kernel.links.message import (
    CHANGE,
    IFF_UP,
    NESTED,
    Attributes,
    info,
    link_request,
    remembered,
    set_request,
)
from harness.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    Request,
)
from harness.parts import Port

__all__ = [
    "AGEING",
    "add_bridge",
    "add_fdb_entry",
    "flush_fdb",
    "set_bridge_port",
    "set_bridge_vlans",
]

AGEING = 24 * 60 * 60
"""Seconds for which a bridge of ours knows an address that it no longer hears from."""

_RTM_NEWNEIGH = 28
_NLM_F_REPLACE = 0x100
_NUD_PERMANENT = 0x80
_NTF_SELF = 0x02
_BRIDGE_VLAN_PVID = 2
_BRIDGE_VLAN_UNTAGGED = 4


@remembered
def add_bridge(name: str, *, index: int, vlan_filtering: bool = False) -> Request:
    """A bridge that is up, without STP and without multicast snooping.

    It forgets nobody within a day: by default it would after 300 s (BR_DEFAULT_AGEING_TIME), and
    who only receives is not heard again.
    """
    data: Attributes = [("IFLA_BR_MCAST_SNOOPING", 0), ("IFLA_BR_AGEING_TIME", 100 * AGEING)]
    if vlan_filtering:
        # Without the second, every new port is in VLAN 1 (nbp_vlan_init).
        data += [("IFLA_BR_VLAN_FILTERING", 1), ("IFLA_BR_VLAN_DEFAULT_PVID", 0)]
    return link_request(
        f"add bridge {name}",
        [("IFLA_IFNAME", name), info("bridge", data)],
        index=index,
        set_flags=IFF_UP,
    )


@remembered
def flush_fdb(name: str, *, index: int) -> Request:
    """Let a bridge forget all that it has learned."""
    return link_request(
        f"flush the FDB of {name}",
        [info("bridge", [("IFLA_BR_FDB_FLUSH", None)])],
        index=index,
        flags=CHANGE,
    )


@remembered
def set_bridge_port(port: Port, *, index: int) -> Request:
    """Hairpin, learning and flooding of a bridge port, as declared and resolved."""
    settings: Attributes = [
        ("IFLA_BRPORT_MODE", int(bool(port.hairpin))),
        ("IFLA_BRPORT_LEARNING", int(port.learning)),
        ("IFLA_BRPORT_UNICAST_FLOOD", int(port.flood)),
        ("IFLA_BRPORT_MCAST_FLOOD", int(port.multicast_flood)),
    ]
    # br_setlink reads settings from a nested attribute only; without the flag it is a state.
    return set_request(
        f"set switch port {port.to}",
        [("IFLA_PROTINFO", {"attrs": settings}, NESTED)],
        index=index,
        family=socket.AF_BRIDGE,
    )


@remembered
def set_bridge_vlans(
    name: str, *, index: int, pvid: int | None, tagged: tuple[int, ...]
) -> Request:
    """VLAN membership of a bridge port: `pvid` untagged, the others tagged."""
    members: Attributes = []
    if pvid is not None:
        flags = _BRIDGE_VLAN_PVID | _BRIDGE_VLAN_UNTAGGED
        members.append(("IFLA_BRIDGE_VLAN_INFO", {"flags": flags, "vid": pvid}))
    members += [("IFLA_BRIDGE_VLAN_INFO", {"flags": 0, "vid": vid}) for vid in tagged]
    return set_request(
        f"set VLANs of switch port {name}",
        [("IFLA_AF_SPEC", {"attrs": members}, NESTED)],
        index=index,
        family=socket.AF_BRIDGE,
    )


def add_fdb_entry(mac: str, *, index: int, replace: bool = False) -> Request:
    """An address in the device's own filter, as `bridge fdb add MAC dev LINK self`."""
    message = ndmsg()
    message["family"] = socket.AF_BRIDGE
    message["ifindex"] = index
    message["state"] = _NUD_PERMANENT
    message["flags"] = _NTF_SELF
    message["attrs"] = [("NDA_LLADDR", mac)]
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | (_NLM_F_REPLACE if replace else NLM_F_EXCL)
    return Request.of(f"add FDB entry {mac}", message, _RTM_NEWNEIGH, flags)
