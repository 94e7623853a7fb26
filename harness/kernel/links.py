"""Requests that make and change links: facts in, netlink requests out.

Indexes are chosen by the caller (the kernel takes ifi_index since 3.7), so that one batch can
make a link and at once refer to it.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from harness.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    RTM_NEWLINK,
    RTM_SETLINK,
    LinkMessage,
    Request,
)
from harness.parts import Guest, Mode, Port

__all__ = [
    "add_address",
    "add_bridge",
    "add_dummy",
    "add_fdb_entry",
    "add_macvtap",
    "add_veth",
    "add_vlan",
    "change_guest",
    "change_macvtap",
    "configure_macvtap",
    "delete_link",
    "delete_neighbour",
    "flush_fdb",
    "move_link",
    "new_macvtap",
    "set_attributes",
    "set_bridge_port",
    "set_bridge_vlans",
    "set_guest",
    "set_link",
    "set_mac",
    "set_mtu",
    "set_neighbour",
    "set_queue_length",
]

_RTM_DELLINK = 17
_RTM_NEWADDR = 20
_RTM_NEWNEIGH = 28
_RTM_DELNEIGH = 29
_IFF_UP = 0x1
_IFF_PROMISC = 0x100
_IFF_ALLMULTI = 0x200
_NLM_F_REPLACE = 0x100
_NUD_PERMANENT = 0x80
_NTF_SELF = 0x02
_IFA_F_NODAD = 0x02
_NESTED = 0x8000

_MODES = {
    Mode.PRIVATE: 1,
    Mode.VEPA: 2,
    Mode.BRIDGE: 4,
    Mode.PASSTHRU: 8,
    Mode.SOURCE: 16,
}
_FLAG_NOPROMISC = 1  # MACVLAN_FLAG_NOPROMISC
_FLAG_NODST = 2  # MACVLAN_FLAG_NODST
_MACADDR_SET = 3  # MACVLAN_MACADDR_SET
_BRIDGE_VLAN_PVID = 2
_BRIDGE_VLAN_UNTAGGED = 4

# Testbeds are much alike: a request once made, and encoded, serves again.
_remembered = lru_cache(maxsize=4096)

_CREATE = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
Attributes = list[Any]


def _link(
    purpose: str,
    attributes: Attributes,
    *,
    index: int = 0,
    kind: int = RTM_NEWLINK,
    flags: int = _CREATE,
    set_flags: int = 0,
    change: int | None = None,
    family: int = 0,
) -> Request:
    message = LinkMessage()
    message["family"] = family
    message["index"] = index
    message["flags"] = set_flags
    message["change"] = set_flags if change is None else change
    message["attrs"] = attributes
    return Request(purpose, message, kind, flags)


def _info(kind: str, data: Attributes | None = None) -> tuple[str, dict[str, Attributes]]:
    attributes: Attributes = [("IFLA_INFO_KIND", kind)]
    if data is not None:
        attributes.append(("IFLA_INFO_DATA", {"attrs": data}))
    return "IFLA_LINKINFO", {"attrs": attributes}


@_remembered
def add_bridge(name: str, *, index: int, vlan_filtering: bool = False) -> Request:
    """A bridge that is up, without STP and without multicast snooping."""
    data: Attributes = [("IFLA_BR_MCAST_SNOOPING", 0)]
    if vlan_filtering:
        # Without the second, every new port is in VLAN 1 (nbp_vlan_init).
        data += [("IFLA_BR_VLAN_FILTERING", 1), ("IFLA_BR_VLAN_DEFAULT_PVID", 0)]
    return _link(
        f"add bridge {name}",
        [("IFLA_IFNAME", name), _info("bridge", data)],
        index=index,
        set_flags=_IFF_UP,
    )


@_remembered
def flush_fdb(name: str, *, index: int) -> Request:
    """Let a bridge forget all that it has learned."""
    return _link(
        f"flush the FDB of {name}",
        [_info("bridge", [("IFLA_BR_FDB_FLUSH", None)])],
        index=index,
        flags=NLM_F_REQUEST | NLM_F_ACK,
    )


@_remembered
def add_veth(
    name: str,
    *,
    index: int,
    peer: str,
    peer_index: int,
    peer_ns: int | None = None,
    peer_mac: str = "",
    master: int | None = None,
    mtu: int = 1500,
) -> Request:
    """A veth pair: `name` here and up, as a port of the bridge with index `master` if given.

    `peer` lies in the namespace of the descriptor `peer_ns` (or here) and stays down: a peer
    cannot go up before its pair is complete (veth_open).
    """
    peer_attributes: Attributes = [("IFLA_IFNAME", peer), ("IFLA_MTU", mtu)]
    if peer_ns is not None:
        peer_attributes.append(("IFLA_NET_NS_FD", peer_ns))
    if peer_mac:
        peer_attributes.append(("IFLA_ADDRESS", peer_mac))
    attributes: Attributes = [("IFLA_IFNAME", name), ("IFLA_MTU", mtu)]
    if master is not None:
        attributes.append(("IFLA_MASTER", master))
    data = [("VETH_INFO_PEER", {"attrs": peer_attributes, "index": peer_index})]
    attributes.append(_info("veth", data))
    return _link(f"add veth {name}", attributes, index=index, set_flags=_IFF_UP)


@_remembered
def add_dummy(name: str, *, index: int, mac: str = "", mtu: int = 1500) -> Request:
    """A dummy device, up."""
    attributes: Attributes = [("IFLA_IFNAME", name), ("IFLA_MTU", mtu), _info("dummy")]
    if mac:
        attributes.append(("IFLA_ADDRESS", mac))
    return _link(f"add dummy {name}", attributes, index=index, set_flags=_IFF_UP)


@_remembered
def add_vlan(name: str, *, index: int, parent: int, vlan: int, mac: str = "") -> Request:
    """An 802.1Q device on the link with index `parent`, up."""
    attributes: Attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_LINK", parent),
        _info("vlan", [("IFLA_VLAN_ID", vlan)]),
    ]
    if mac:
        attributes.append(("IFLA_ADDRESS", mac))
    return _link(f"add vlan {name}", attributes, index=index, set_flags=_IFF_UP)


@_remembered
def add_macvtap(guest: Guest, *, index: int, lower: int) -> Request:
    """The macvtap of `guest` on the link with index `lower`, up if the guest is."""
    data: Attributes = [("IFLA_MACVTAP_MODE", _MODES[guest.mode])]
    flags = _FLAG_NOPROMISC * guest.nopromisc | _FLAG_NODST * guest.nodst
    if flags:
        data.append(("IFLA_MACVTAP_FLAGS", flags))
    if guest.sources:
        data.append(("IFLA_MACVTAP_MACADDR_MODE", _MACADDR_SET))
        listed = [("IFLA_MACVLAN_MACADDR", mac) for mac in guest.sources]
        data.append(("IFLA_MACVTAP_MACADDR_DATA", {"attrs": listed}))
    if guest.bcqueuelen is not None:
        data.append(("IFLA_MACVTAP_BC_QUEUE_LEN", guest.bcqueuelen))
    if guest.bc_cutoff is not None:
        data.append(("IFLA_MACVTAP_BC_CUTOFF", guest.bc_cutoff))
    attributes: Attributes = [
        ("IFLA_IFNAME", guest.name),
        ("IFLA_LINK", lower),
        _info("macvtap", data),
    ]
    if guest.mode is not Mode.PASSTHRU:
        attributes.append(("IFLA_ADDRESS", guest.mac))
    return _link(f"add macvtap {guest.name}", attributes, index=index, set_flags=_state(guest))


def _state(guest: Guest) -> int:
    return (
        _IFF_UP * guest.up | _IFF_PROMISC * guest.promiscuous | _IFF_ALLMULTI * guest.allmulticast
    )


@_remembered
def set_guest(guest: Guest, *, index: int) -> Request:
    """Bring the guest's macvtap up or down, and set what it wants to hear."""
    return _link(
        f"set guest {guest.name}",
        [],
        index=index,
        kind=RTM_SETLINK,
        flags=NLM_F_REQUEST | NLM_F_ACK,
        set_flags=_state(guest),
        change=_IFF_UP | _IFF_PROMISC | _IFF_ALLMULTI,
    )


@_remembered
def change_guest(guest: Guest, *, index: int) -> Request:
    """Make a live macvtap what `guest` says: mode, flags, sources, queue (macvlan_changelink).

    The list of sources is set as a whole, and only in source mode: others refuse one.
    """
    flags = _FLAG_NOPROMISC * guest.nopromisc | _FLAG_NODST * guest.nodst
    data: Attributes = [
        ("IFLA_MACVTAP_MODE", _MODES[guest.mode]),
        ("IFLA_MACVTAP_FLAGS", flags),
    ]
    if guest.mode is Mode.SOURCE:
        data.append(("IFLA_MACVTAP_MACADDR_MODE", _MACADDR_SET))
        listed = [("IFLA_MACVLAN_MACADDR", mac) for mac in guest.sources]
        data.append(("IFLA_MACVTAP_MACADDR_DATA", {"attrs": listed}))
    if guest.bcqueuelen is not None:
        data.append(("IFLA_MACVTAP_BC_QUEUE_LEN", guest.bcqueuelen))
    return _link(
        f"change macvtap {guest.name}",
        [_info("macvtap", data)],
        index=index,
        flags=NLM_F_REQUEST | NLM_F_ACK,
    )


@_remembered
def set_mac(name: str, mac: str, *, index: int) -> Request:
    """Give a link another address."""
    return _link(
        f"set the address of {name} to {mac}",
        [("IFLA_ADDRESS", mac)],
        index=index,
        kind=RTM_SETLINK,
        flags=NLM_F_REQUEST | NLM_F_ACK,
    )


def move_link(name: str, *, index: int, to: int) -> Request:
    """Move a link into the namespace of the descriptor `to`; it goes down, its index stays."""
    return _link(
        f"move {name} to another namespace",
        [("IFLA_NET_NS_FD", to)],
        index=index,
        kind=RTM_SETLINK,
        flags=NLM_F_REQUEST | NLM_F_ACK,
    )


@_remembered
def change_macvtap(name: str, *, index: int, mode: Mode) -> Request:
    """Change the mode of a live macvtap (macvlan_changelink)."""
    return _link(
        f"set macvtap {name} to {mode}",
        [_info("macvtap", [("IFLA_MACVTAP_MODE", _MODES[mode])])],
        index=index,
        flags=NLM_F_REQUEST | NLM_F_ACK,
    )


@_remembered
def set_link(name: str, *, index: int, up: bool) -> Request:
    """Bring a link up or down."""
    return _link(
        f"set link {name} {'up' if up else 'down'}",
        [],
        index=index,
        kind=RTM_SETLINK,
        flags=NLM_F_REQUEST | NLM_F_ACK,
        set_flags=_IFF_UP * up,
        change=_IFF_UP,
    )


@_remembered
def delete_link(name: str, *, index: int) -> Request:
    """Remove a link, and with it what sits on it."""
    return _link(
        f"delete link {name}", [], index=index, kind=_RTM_DELLINK, flags=NLM_F_REQUEST | NLM_F_ACK
    )


@_remembered
def set_bridge_port(port: Port, *, index: int) -> Request:
    """Hairpin, learning and flooding of a bridge port, as declared and resolved."""
    settings: Attributes = [
        ("IFLA_BRPORT_MODE", int(bool(port.hairpin))),
        ("IFLA_BRPORT_LEARNING", int(port.learning)),
        ("IFLA_BRPORT_UNICAST_FLOOD", int(port.flood)),
        ("IFLA_BRPORT_MCAST_FLOOD", int(port.multicast_flood)),
    ]
    # br_setlink reads settings from a nested attribute only; without the flag it is a state.
    return _link(
        f"set switch port {port.to}",
        [("IFLA_PROTINFO", {"attrs": settings}, _NESTED)],
        index=index,
        kind=RTM_SETLINK,
        flags=NLM_F_REQUEST | NLM_F_ACK,
        family=socket.AF_BRIDGE,
    )


@_remembered
def set_bridge_vlans(
    name: str, *, index: int, pvid: int | None, tagged: tuple[int, ...]
) -> Request:
    """VLAN membership of a bridge port: `pvid` untagged, the others tagged."""
    members: Attributes = []
    if pvid is not None:
        flags = _BRIDGE_VLAN_PVID | _BRIDGE_VLAN_UNTAGGED
        members.append(("IFLA_BRIDGE_VLAN_INFO", {"flags": flags, "vid": pvid}))
    members += [("IFLA_BRIDGE_VLAN_INFO", {"flags": 0, "vid": vid}) for vid in tagged]
    return _link(
        f"set VLANs of switch port {name}",
        [("IFLA_AF_SPEC", {"attrs": members}, _NESTED)],
        index=index,
        kind=RTM_SETLINK,
        flags=NLM_F_REQUEST | NLM_F_ACK,
        family=socket.AF_BRIDGE,
    )


@_remembered
def set_mtu(name: str, mtu: int, *, index: int) -> Request:
    """Set the MTU of a link, in bytes."""
    return _link(
        f"set MTU of {name} to {mtu}",
        [("IFLA_MTU", mtu)],
        index=index,
        kind=RTM_SETLINK,
        flags=NLM_F_REQUEST | NLM_F_ACK,
    )


@_remembered
def add_address(ip: str, prefix: int, *, index: int) -> Request:
    """An address with its connected route; an IPv6 one is taken as nobody else's."""
    message = ifaddrmsg()
    message["family"] = _family(ip)
    message["prefixlen"] = prefix
    message["index"] = index
    message["attrs"] = [("IFA_LOCAL", ip), ("IFA_ADDRESS", ip)]
    if message["family"] == socket.AF_INET6:
        message["flags"] = _IFA_F_NODAD
    return Request(f"add address {ip}", message, _RTM_NEWADDR, _CREATE)


@_remembered
def set_neighbour(ip: str, mac: str, *, index: int) -> Request:
    """A permanent neighbour entry, in place of what there was."""
    message = ndmsg()
    message["family"] = _family(ip)
    message["ifindex"] = index
    message["state"] = _NUD_PERMANENT
    message["attrs"] = [("NDA_DST", ip), ("NDA_LLADDR", mac)]
    replace = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | _NLM_F_REPLACE
    return Request(f"set neighbour {ip}", message, _RTM_NEWNEIGH, replace)


Asked = tuple[tuple[str, Any], ...]
"""Attributes by name, as they are asked for: sensible or not."""


def new_macvtap(
    name: str,
    *,
    index: int,
    lower: int | None,
    data: Asked = (),
    attributes: Asked = (),
    kind: str = "macvtap",
) -> Request:
    """A macvtap asked for attribute by attribute, down: for what `add_macvtap` would not say.

    `data` is IFLA_INFO_DATA, `attributes` what stands beside it; without `lower` there is no
    IFLA_LINK. `kind` may be one of macvtap's relatives, macvlan or ipvlan.
    """
    asked: Attributes = [("IFLA_IFNAME", name), *attributes, _info(kind, list(data) or None)]
    if lower is not None:
        asked.append(("IFLA_LINK", lower))
    return _link(f"add {kind} {name}", asked, index=index)


def configure_macvtap(name: str, *, index: int, data: Asked) -> Request:
    """Change a live macvtap's IFLA_INFO_DATA attribute by attribute (macvlan_changelink)."""
    return _link(
        f"configure macvtap {name}: {_words(data)}",
        [_info("macvtap", list(data))],
        index=index,
        flags=NLM_F_REQUEST | NLM_F_ACK,
    )


def set_attributes(
    name: str,
    *,
    index: int,
    attributes: Asked = (),
    promiscuous: bool | None = None,
    allmulticast: bool | None = None,
) -> Request:
    """Change a link's own attributes (IFLA_ADDRESS, IFLA_MTU, IFLA_MASTER, …) and filters."""
    wanted = {_IFF_PROMISC: promiscuous, _IFF_ALLMULTI: allmulticast}
    return _link(
        f"set {name}: {_words(attributes)}",
        list(attributes),
        index=index,
        flags=NLM_F_REQUEST | NLM_F_ACK,
        set_flags=sum(flag for flag, on in wanted.items() if on),
        change=sum(flag for flag, on in wanted.items() if on is not None),
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
    return Request(f"add FDB entry {mac}", message, _RTM_NEWNEIGH, flags)


def _words(asked: Asked) -> str:
    return ", ".join(f"{name} {value}" for name, value in asked)


@_remembered
def set_queue_length(name: str, *, index: int, frames: int) -> Request:
    """Change a link's txqueuelen, which is the length of a tap's queue (tap_queue_resize)."""
    return _link(
        f"set queue length of {name}",
        [("IFLA_TXQLEN", frames)],
        index=index,
        kind=RTM_SETLINK,
        flags=NLM_F_REQUEST | NLM_F_ACK,
    )


@_remembered
def delete_neighbour(ip: str, *, index: int) -> Request:
    """Remove a neighbour entry, found or permanent."""
    message = ndmsg()
    message["family"] = _family(ip)
    message["ifindex"] = index
    message["attrs"] = [("NDA_DST", ip)]
    return Request(f"delete neighbour {ip}", message, _RTM_DELNEIGH)


def _family(ip: str) -> int:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET
