"""Requests that make devices, and change what every link has: state, address, namespace."""

from __future__ import annotations

from harness.kernel.links.message import (
    CHANGE,
    IFF_ALLMULTI,
    IFF_PROMISC,
    IFF_UP,
    Asked,
    Attributes,
    info,
    link_request,
    remembered,
    set_request,
    words,
)
from harness.kernel.netlink import NLM_F_ACK, NLM_F_REQUEST, Request

__all__ = [
    "add_dummy",
    "add_veth",
    "add_vlan",
    "delete_link",
    "move_link",
    "set_attributes",
    "set_link",
    "set_mac",
    "set_mtu",
    "set_queue_length",
]

_RTM_DELLINK = 17
_FLAGS = {"up": IFF_UP, "promiscuous": IFF_PROMISC, "allmulticast": IFF_ALLMULTI}


@remembered
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
    attributes.append(info("veth", data))
    return link_request(f"add veth {name}", attributes, index=index, set_flags=IFF_UP)


@remembered
def add_dummy(name: str, *, index: int, mac: str = "", mtu: int = 1500) -> Request:
    """A dummy device, up."""
    attributes: Attributes = [("IFLA_IFNAME", name), ("IFLA_MTU", mtu), info("dummy")]
    if mac:
        attributes.append(("IFLA_ADDRESS", mac))
    return link_request(f"add dummy {name}", attributes, index=index, set_flags=IFF_UP)


@remembered
def add_vlan(name: str, *, index: int, parent: int, vlan: int, mac: str = "") -> Request:
    """An 802.1Q device on the link with index `parent`, up."""
    attributes: Attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_LINK", parent),
        info("vlan", [("IFLA_VLAN_ID", vlan)]),
    ]
    if mac:
        attributes.append(("IFLA_ADDRESS", mac))
    return link_request(f"add vlan {name}", attributes, index=index, set_flags=IFF_UP)


@remembered
def set_link(name: str, *, index: int, up: bool) -> Request:
    """Bring a link up or down."""
    return set_request(
        f"set link {name} {'up' if up else 'down'}",
        [],
        index=index,
        set_flags=IFF_UP * up,
        change=IFF_UP,
    )


@remembered
def set_mac(name: str, mac: str, *, index: int) -> Request:
    """Give a link another address."""
    return set_request(f"set the address of {name} to {mac}", [("IFLA_ADDRESS", mac)], index=index)


@remembered
def set_mtu(name: str, mtu: int, *, index: int) -> Request:
    """Set the MTU of a link, in bytes."""
    return set_request(f"set MTU of {name} to {mtu}", [("IFLA_MTU", mtu)], index=index)


@remembered
def set_queue_length(name: str, *, index: int, frames: int) -> Request:
    """Change a link's txqueuelen, which is the length of a tap's queue (tap_queue_resize)."""
    return set_request(f"set queue length of {name}", [("IFLA_TXQLEN", frames)], index=index)


def set_attributes(
    name: str,
    *,
    index: int,
    attributes: Asked = (),
    up: bool | None = None,
    promiscuous: bool | None = None,
    allmulticast: bool | None = None,
) -> Request:
    """Change a link's own attributes (IFLA_ADDRESS, IFLA_MTU, IFLA_MASTER, …), then its flags.

    A flag that is None stays as it is (do_setlink, net/core/rtnetlink.c).
    """
    asked = {"up": up, "promiscuous": promiscuous, "allmulticast": allmulticast}
    flags = {flag: on for flag, on in asked.items() if on is not None}
    return link_request(
        f"set {name}: {words((*attributes, *flags.items()))}",
        list(attributes),
        index=index,
        flags=CHANGE,
        set_flags=sum(_FLAGS[flag] for flag, on in flags.items() if on),
        change=sum(_FLAGS[flag] for flag in flags),
    )


def move_link(name: str, *, index: int, to: int) -> Request:
    """Move a link into the namespace of the descriptor `to`; it goes down, its index stays."""
    return set_request(f"move {name} to another namespace", [("IFLA_NET_NS_FD", to)], index=index)


@remembered
def delete_link(name: str, *, index: int) -> Request:
    """Remove a link, and with it what sits on it."""
    return link_request(
        f"delete link {name}", [], index=index, kind=_RTM_DELLINK, flags=NLM_F_REQUEST | NLM_F_ACK
    )
