"""Which links take port profiles, found by trying: to ask for no port at all has no effect."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from harness.errors import KernelError
from harness.kernel.linkstate import link_state
from harness.kernel.netns import NetNS
from harness.kernel.portfacts import PortState
from harness.kernel.portprofile import no_port, ports

__all__ = ["NO_CAPABLE_NIC", "Support", "capable_links", "profile_support"]

NO_CAPABLE_NIC = "no capable NIC"
"""Why what takes one is skipped: no link of the namespace has a driver with port profiles."""


@dataclass(frozen=True)
class Support:
    """Whether the driver of `link` takes port profiles; None where we may not find out.

    `errno` is the kernel's (0: none), `reason` says it in words, `ports` what the driver tells of
    ports that have been asked for. A driver that takes them can still refuse: enic does on an
    adapter that the switch has not set up for it.
    """

    link: str
    capable: bool | None
    errno: int
    reason: str
    ports: tuple[PortState, ...] = ()


def profile_support(ns: NetNS, link: str) -> Support:
    """Find out without changing anything, so on a NIC in use too.

    Reading shows the ports that were asked for (rtnl_port_fill), and is enough where there are any.
    There are none before the first request (enic_get_vf_port: ENODATA), so the kernel is then
    asked for no port: an empty IFLA_VF_PORTS, of which do_setlink tells whether the driver has
    ndo_set_vf_port, calls nothing and notifies nobody. A request to disassociate would not do: it
    clears the address of an adapter (enic_set_vf_port). Raises KernelError where there is no such
    link.
    """
    known = ports(ns, link)
    if known:
        return Support(link, capable=True, errno=0, reason="its ports can be read", ports=known)
    try:
        ns.rtnl.transact([no_port(link_state(ns, link).index)])
    except KernelError as error:
        if error.errno == errno.EOPNOTSUPP:
            reason = "its driver takes no port profiles (ndo_set_vf_port)"
            return Support(link, capable=False, errno=error.errno, reason=reason)
        if error.errno == errno.EPERM:
            reason = "asking takes CAP_NET_ADMIN"
            return Support(link, capable=None, errno=error.errno, reason=reason)
        raise
    return Support(link, capable=True, errno=0, reason="its driver takes port profiles")


def capable_links(ns: NetNS) -> tuple[list[Support], list[Support]]:
    """All links of a namespace: those that take port profiles, and the others. See above."""
    names = [str(link.get_attr("IFLA_IFNAME")) for link in ns.rtnl.links()]
    found = [profile_support(ns, name) for name in names]
    return [x for x in found if x.capable], [x for x in found if not x.capable]
