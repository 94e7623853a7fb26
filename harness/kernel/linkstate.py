"""What a link is like now, read back through rtnetlink: what `ip -d link` shows, as a fact."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.errors import KernelError
from harness.kernel.netns import NetNS
from harness.kernel.waiting import look_until
from harness.parts import Mode

__all__ = ["LinkState", "MacvtapState", "link_state", "macvtaps", "vlans", "wait_for_link"]

_IFF_UP = 0x1
_IFF_PROMISC = 0x100
_IFF_ALLMULTI = 0x200
_FLAG_WORDS = {"none": 0, "nopromisc": 1}  # pyroute2's names of what it knows
_FLAG_NOPROMISC = 1
_FLAG_NODST = 2
_DEFAULT_CUTOFF = 1  # the kernel leaves the attribute out then (macvlan_fill_info)


@dataclass(frozen=True)
class MacvtapState:
    """IFLA_INFO_DATA of a macvtap link (macvlan_fill_info).

    `bcqueuelen` is what this link asked for and `bcqueuelen_used` what its lower device uses,
    in frames; `bc_cutoff` is the lower device's, in subscribers. `flags` are the raw bits.
    """

    mode: Mode
    flags: int
    sources: tuple[str, ...]
    bcqueuelen: int | None
    bcqueuelen_used: int | None
    bc_cutoff: int

    @property
    def nopromisc(self) -> bool:
        """Whether MACVLAN_FLAG_NOPROMISC is set."""
        return bool(self.flags & _FLAG_NOPROMISC)

    @property
    def nodst(self) -> bool:
        """Whether MACVLAN_FLAG_NODST is set."""
        return bool(self.flags & _FLAG_NODST)


@dataclass(frozen=True)
class LinkState:
    """One link: `lower` is the index of the link it sits on, 0 for none.

    `promiscuous` and `allmulticast` are what the administrator has set (dev_get_flags).
    `promiscuity` and `allmulti` count all who have asked for it; `allmulti` is None before 6.0.
    `lower_netnsid` is set when the lower link is in another namespace.
    """

    name: str
    index: int
    mac: str
    mtu: int
    up: bool
    promiscuous: bool
    allmulticast: bool
    operstate: str
    carrier: bool
    lower: int
    lower_netnsid: int | None
    master: int
    promiscuity: int
    allmulti: int | None
    txqueuelen: int
    macvtap: MacvtapState | None = None


def link_state(ns: NetNS, name: str) -> LinkState:
    """The link `name` in `ns`, as it is now. Raises KernelError when there is none."""
    return _state(ns.rtnl.link(name))


def macvtaps(ns: NetNS) -> list[LinkState]:
    """Every macvtap of a namespace, as it is now. Raises KernelError."""
    return [state for state in map(_state, ns.rtnl.links()) if state.macvtap]


def vlans(ns: NetNS) -> dict[str, int]:
    """The VLAN of each link of a namespace: of the first VLAN device from it downwards, else 0.

    So libvirt finds that of 802.1Qbg (virNetDevVPortProfileGetPhysdevAndVlan). Raises KernelError.
    """
    links = {x["index"]: x for x in ns.rtnl.links()}
    found = {}
    for link in links.values():
        vlan, seen, below = 0, set(), link
        # The ends of a veth are below each other.
        while below is not None and not vlan and below["index"] not in seen:
            seen.add(below["index"])
            vlan = _vlan(below)
            below = links.get(below.get_attr("IFLA_LINK"))
        found[str(link.get_attr("IFLA_IFNAME"))] = vlan
    return found


def _vlan(link: Any) -> int:
    info = link.get_attr("IFLA_LINKINFO")
    if info is None or info.get_attr("IFLA_INFO_KIND") != "vlan":
        return 0
    return int(info.get_attr("IFLA_INFO_DATA").get_attr("IFLA_VLAN_ID"))


def wait_for_link(
    ns: NetNS, name: str, wanted: Callable[[LinkState], bool], *, within: float = 5.0
) -> LinkState:
    """The link's state once it is as `wanted`.

    Raises KernelError (ETIMEDOUT, with the last state) when it is not `within` seconds.
    """
    state = look_until(lambda: link_state(ns, name), wanted, within=within)
    if not wanted(state):
        raise KernelError(f"wait for link {name}", errno.ETIMEDOUT, str(state))
    return state


def _state(link: Any) -> LinkState:
    attribute, flags = link.get_attr, link["flags"]
    info = attribute("IFLA_LINKINFO")
    is_macvtap = info is not None and info.get_attr("IFLA_INFO_KIND") == "macvtap"
    return LinkState(
        name=attribute("IFLA_IFNAME"),
        index=link["index"],
        mac=attribute("IFLA_ADDRESS") or "",
        mtu=attribute("IFLA_MTU"),
        up=bool(flags & _IFF_UP),
        promiscuous=bool(flags & _IFF_PROMISC),
        allmulticast=bool(flags & _IFF_ALLMULTI),
        operstate=attribute("IFLA_OPERSTATE"),
        carrier=bool(attribute("IFLA_CARRIER")),
        lower=attribute("IFLA_LINK") or 0,
        lower_netnsid=attribute("IFLA_LINK_NETNSID"),
        master=attribute("IFLA_MASTER") or 0,
        promiscuity=attribute("IFLA_PROMISCUITY"),
        allmulti=attribute("IFLA_ALLMULTI"),
        txqueuelen=attribute("IFLA_TXQLEN"),
        macvtap=_macvtap(info.get_attr("IFLA_INFO_DATA")) if is_macvtap else None,
    )


def _macvtap(data: Any) -> MacvtapState:
    flags = data.get_attr("IFLA_MACVTAP_FLAGS")
    listed = data.get_attr("IFLA_MACVTAP_MACADDR_DATA")
    cutoff = data.get_attr("IFLA_MACVTAP_BC_CUTOFF")
    return MacvtapState(
        mode=Mode(data.get_attr("IFLA_MACVTAP_MODE")),
        flags=_FLAG_WORDS.get(flags, flags),
        sources=tuple(sorted(mac for _, mac in listed["attrs"])) if listed else (),
        bcqueuelen=data.get_attr("IFLA_MACVTAP_BC_QUEUE_LEN"),
        bcqueuelen_used=data.get_attr("IFLA_MACVTAP_BC_QUEUE_LEN_USED"),
        bc_cutoff=_DEFAULT_CUTOFF if cutoff is None else cutoff,
    )
