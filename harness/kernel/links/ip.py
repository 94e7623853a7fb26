"""Requests for addresses and neighbours."""

from __future__ import annotations

import socket

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from harness.kernel.links.message import CREATE, remembered
from harness.kernel.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, Request

__all__ = ["add_address", "delete_neighbour", "set_neighbour"]

_RTM_NEWADDR = 20
_RTM_NEWNEIGH = 28
_RTM_DELNEIGH = 29
_NLM_F_REPLACE = 0x100
_NUD_PERMANENT = 0x80
_IFA_F_NODAD = 0x02


@remembered
def add_address(ip: str, prefix: int, *, index: int) -> Request:
    """An address with its connected route; an IPv6 one is taken as nobody else's."""
    message = ifaddrmsg()
    message["family"] = _family(ip)
    message["prefixlen"] = prefix
    message["index"] = index
    message["attrs"] = [("IFA_LOCAL", ip), ("IFA_ADDRESS", ip)]
    if message["family"] == socket.AF_INET6:
        message["flags"] = _IFA_F_NODAD
    return Request.of(f"add address {ip}", message, _RTM_NEWADDR, CREATE)


@remembered
def set_neighbour(ip: str, mac: str, *, index: int) -> Request:
    """A permanent neighbour entry, in place of what there was."""
    message = ndmsg()
    message["family"] = _family(ip)
    message["ifindex"] = index
    message["state"] = _NUD_PERMANENT
    message["attrs"] = [("NDA_DST", ip), ("NDA_LLADDR", mac)]
    replace = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | _NLM_F_REPLACE
    return Request.of(f"set neighbour {ip}", message, _RTM_NEWNEIGH, replace)


@remembered
def delete_neighbour(ip: str, *, index: int) -> Request:
    """Remove a neighbour entry, found or permanent."""
    message = ndmsg()
    message["family"] = _family(ip)
    message["ifindex"] = index
    message["attrs"] = [("NDA_DST", ip)]
    return Request.of(f"delete neighbour {ip}", message, _RTM_DELNEIGH)


def _family(ip: str) -> int:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET
