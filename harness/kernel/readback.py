"""What a namespace holds, read back from the kernel as plain facts.

Everything that can bear on a frame's way: links and their settings, forwarding tables, traffic
control, nf_tables, neighbours and routes, multicast memberships. Nothing here knows what ought
to be there.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import KernelError
from harness.kernel.dumps import Dumps, attributes, number
from harness.kernel.netns import NetNS
from harness.kernel.nftables import NETLINK_NETFILTER, Chain, ChainRule, read_chains, read_rules
from harness.kernel.traffic import Qdisc, TrafficFilter, read_filters, read_qdiscs

__all__ = ["FdbEntry", "Link", "Neighbour", "Route", "Snapshot", "read_back"]

_IFF_UP = 0x1
_IFF_PROMISC = 0x100
_IFF_ALLMULTI = 0x200
_IFF_LOWER_UP = 0x10000
_NUD_PERMANENT = 0x80
_NUD_NOARP = 0x40
_NTF_SELF = 0x02  # an entry of the link itself, not of its bridge

_RTM_GETADDR = 22
_RTM_GETROUTE = 26
_RTM_GETNEIGH = 30
_NDMSG = struct.Struct("=B3xiHBB")  # family, index, state, flags, type
_RTMSG = struct.Struct("=BBBBBBBBI")
_IFADDRMSG = struct.Struct("=BBBBI")
_FLAG_WORDS = {"none": 0, "nopromisc": 1}  # what pyroute2 makes of IFLA_MACVLAN_FLAGS
_ROUTE_TYPES = {1: "unicast", 6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw"}


@dataclass(frozen=True)
class Link:
    """A link. `master` is the index of the bridge it is enslaved to, `on` of the link below it.

    `settings` are those of its kind and `port` those of a bridge port, by the kernel's names
    in lower case without prefix (``ageing_time``, ``isolated``). `sources` is a macvtap's list
    of source MACs. `xdp` is the id of an XDP program, 0 for none.
    """

    name: str
    index: int
    kind: str = ""
    up: bool = True
    carrier: bool = True
    mac: str = ""
    mtu: int = 1500
    queue_length: int = 1000
    promiscuity: int = 0
    promiscuous: bool = False
    allmulticast: bool = False
    master: int = 0
    on: int = 0
    xdp: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    port: Mapping[str, Any] = field(default_factory=dict)
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FdbEntry:
    """An entry of a bridge's forwarding table: learned, unless `static` or `local`.

    A local one makes the bridge itself take the frame; every port has one for its own address.
    """

    mac: str
    port: str
    static: bool = False
    local: bool = False


@dataclass(frozen=True)
class Neighbour:
    """An IPv4 neighbour: its address in both layers; `mac` is empty when unresolved."""

    ip: str
    mac: str


@dataclass(frozen=True)
class Route:
    """A route of the main table, `to` as ``10.0.0.0/8``; `kind` as ip-route(8) names it."""

    to: str
    kind: str
    link: str


@dataclass(frozen=True)
class Snapshot:
    """All that was read of one namespace. `links` by name; `groups` joined, by link.

    `unread` says what the kernel would not tell, and why.
    """

    links: Mapping[str, Link] = field(default_factory=dict)
    forwarding: tuple[FdbEntry, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    routes: tuple[Route, ...] = ()
    addresses: Mapping[str, frozenset[str]] = field(default_factory=dict)
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    qdiscs: tuple[Qdisc, ...] = ()
    filters: tuple[TrafficFilter, ...] = ()
    chains: tuple[Chain, ...] = ()
    rules: tuple[ChainRule, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


def read_back(ns: NetNS, *, sysctls: Collection[str] = ()) -> Snapshot:
    """Read `ns`; `sysctls` are settings to read besides, named as sysctl(8) does.

    Raises KernelError or OSError when even the links cannot be read.
    """
    links = [_link(message) for message in ns.rtnl.links()]
    return ns.run(lambda: _read_inside(links, sysctls))


def _read_inside(links: list[Link], sysctls: Collection[str]) -> Snapshot:
    names = {link.index: link.name for link in links}
    found: dict[str, Any] = {}
    unread = []
    with ExitStack() as undo:
        route = undo.enter_context(Dumps())
        qdiscs = read_qdiscs(route, names)
        # A kernel without nf_tables, or a filter that goes while it is read, is no reason to
        # leave the rest untold.
        readers: dict[str, Callable[[], Any]] = {
            "forwarding": lambda: tuple(_forwarding(route, names)),
            "neighbours": lambda: tuple(_neighbours(route)),
            "routes": lambda: tuple(_routes(route, names)),
            "addresses": lambda: _addresses(route, names),
            "groups": _groups,
            "filters": lambda: tuple(read_filters(route, qdiscs, names)),
        }
        try:
            netfilter = undo.enter_context(Dumps(NETLINK_NETFILTER))
            readers["chains"] = lambda: tuple(read_chains(netfilter))
            readers["rules"] = lambda: tuple(read_rules(netfilter, names))
        except OSError as error:
            unread.append(f"netfilter ({error.strerror})")
        for what, reader in readers.items():
            try:
                found[what] = reader()
            except (KernelError, OSError) as error:
                unread.append(f"{what} ({error})")
    return Snapshot(
        links={link.name: link for link in links},
        qdiscs=tuple(qdiscs),
        sysctls={name: _sysctl(name) for name in sysctls},
        unread=tuple(unread),
        **found,
    )


def _link(message: Any) -> Link:
    """pyroute2's link message as plain facts."""
    get = message.get_attr
    info = get("IFLA_LINKINFO")
    settings = _settings(info, "IFLA_INFO_DATA")
    flags = settings.get("flags")
    if isinstance(flags, str):
        settings["flags"] = _FLAG_WORDS.get(flags, 0)
    xdp = get("IFLA_XDP")
    return Link(
        name=get("IFLA_IFNAME"),
        index=message["index"],
        kind=(info and info.get_attr("IFLA_INFO_KIND")) or "",
        up=bool(message["flags"] & _IFF_UP),
        carrier=bool(message["flags"] & _IFF_LOWER_UP),
        mac=get("IFLA_ADDRESS") or "",
        mtu=get("IFLA_MTU") or 0,
        queue_length=get("IFLA_TXQLEN") or 0,
        promiscuity=get("IFLA_PROMISCUITY") or 0,
        promiscuous=bool(message["flags"] & _IFF_PROMISC),
        allmulticast=bool(message["flags"] & _IFF_ALLMULTI),
        master=get("IFLA_MASTER") or 0,
        # The index of a veth's peer in another namespace says nothing here.
        on=0 if get("IFLA_LINK_NETNSID") is not None else get("IFLA_LINK") or 0,
        xdp=(xdp and xdp.get_attr("IFLA_XDP_PROG_ID")) or 0,
        settings=settings,
        port=_settings(info, "IFLA_INFO_SLAVE_DATA"),
        sources=_sources(info),
    )


def _settings(info: Any, where: str) -> dict[str, Any]:
    """Numbers and words of IFLA_INFO_DATA or IFLA_INFO_SLAVE_DATA, by short names."""
    inner = info and info.get_attr(where)
    if not inner or isinstance(inner, str):
        return {}
    return {
        name.split("_", 2)[2].lower(): value
        for name, value in inner["attrs"]
        if name.count("_") > 1 and isinstance(value, int | str)
    }


def _sources(info: Any) -> frozenset[str]:
    data = info and info.get_attr("IFLA_INFO_DATA")
    if not data or isinstance(data, str):
        return frozenset()
    for kind in ("IFLA_MACVTAP_MACADDR_DATA", "IFLA_MACVLAN_MACADDR_DATA"):
        listed = data.get_attr(kind)
        if listed:
            return frozenset(mac for _, mac in listed["attrs"])
    return frozenset()


def _forwarding(dumps: Dumps, names: Mapping[int, str]) -> list[FdbEntry]:
    found = []
    for message in dumps.get(_RTM_GETNEIGH, _NDMSG.pack(socket.AF_BRIDGE, 0, 0, 0, 0)):
        _, index, state, flags, _ = _NDMSG.unpack_from(message)
        mac = attributes(message, _NDMSG.size).get(2, b"")  # NDA_LLADDR
        if not flags & _NTF_SELF:
            found.append(
                FdbEntry(
                    mac.hex(":"),
                    names.get(index, f"link {index}"),
                    static=bool(state & _NUD_NOARP),
                    local=bool(state & _NUD_PERMANENT),
                )
            )
    return found


def _neighbours(dumps: Dumps) -> list[Neighbour]:
    found = []
    for message in dumps.get(_RTM_GETNEIGH, _NDMSG.pack(socket.AF_INET, 0, 0, 0, 0)):
        given = attributes(message, _NDMSG.size)
        ip = given.get(1, b"")  # NDA_DST
        if len(ip) == 4:
            found.append(Neighbour(socket.inet_ntoa(ip), given.get(2, b"").hex(":")))
    return found


def _routes(dumps: Dumps, names: Mapping[int, str]) -> list[Route]:
    found = []
    request = _RTMSG.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    for message in dumps.get(_RTM_GETROUTE, request):
        _, prefix, _, _, table, _, _, kind, _ = _RTMSG.unpack_from(message)
        given = attributes(message, _RTMSG.size)
        if table != 254:  # RT_TABLE_MAIN; the local table follows from the addresses
            continue
        to = socket.inet_ntoa(given.get(1, b"").ljust(4, b"\0"))  # RTA_DST
        link = names.get(number(given, 4), "")  # RTA_OIF
        found.append(Route(f"{to}/{prefix}", _ROUTE_TYPES.get(kind, str(kind)), link))
    return found


def _addresses(dumps: Dumps, names: Mapping[int, str]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for message in dumps.get(_RTM_GETADDR, _IFADDRMSG.pack(socket.AF_INET, 0, 0, 0, 0)):
        _, prefix, _, _, index = _IFADDRMSG.unpack_from(message)
        ip = attributes(message, _IFADDRMSG.size).get(2, b"")  # IFA_LOCAL
        if len(ip) == 4:
            name = names.get(index, f"link {index}")
            found[name] = found.get(name, frozenset()) | {f"{socket.inet_ntoa(ip)}/{prefix}"}
    return found


def _groups() -> dict[str, frozenset[str]]:
    """Multicast MACs that each link listens for, as /proc/net/dev_mcast has them."""
    found: dict[str, frozenset[str]] = {}
    for line in Path("/proc/thread-self/net/dev_mcast").read_text().splitlines():
        _, name, _, _, mac = line.split()
        found[name] = found.get(name, frozenset()) | {bytes.fromhex(mac).hex(":")}
    return found


def _sysctl(name: str) -> str:
    """The setting's value, empty when this kernel has none."""
    try:
        return Path("/proc/sys", *name.split(".")).read_text().strip()
    except OSError:
        return ""
