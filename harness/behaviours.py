"""What kernels do one way or the other: each difference between two that was traced to its commit.

Nobody asks for a version: a kernel of a distribution has what was put into it. Each is tried
(harness.kernel.behaving), and model and cases take what came of that.
"""

from __future__ import annotations

from harness.cited import Cited

__all__ = ["Behaviour", "Behaviours"]

_MACVLAN = "drivers/net/macvlan.c"


class Behaviour(Cited):
    """A way in which some kernels behave and others do not.

    `commit` is that since which the kernel behaves so, twelve digits; "" where none is known.
    """

    SHARED_SOURCE = (
        "a group frame off the wire that bears a bridge guest's address is for that guest, too",
        f"macvlan_multicast_rx, {_MACVLAN}",
        "b52363f706e5",
    )
    PROMISCUITY_KEPT = (
        "nopromisc on a passthru link that is down leaves the lower device's promiscuity alone",
        f"macvlan_changelink, {_MACVLAN}",
        "",
    )
    LOWER_DOWN_SHOWS = (
        "a macvtap has no carrier while its lower device is down",
        f"macvlan_device_event (NETDEV_DOWN), {_MACVLAN}",
        "80fd2d6ca546",
    )
    DEI_KEPT = (
        "the drop eligible bit of a tag survives its being taken out and put back",
        "__vlan_hwaccel_put_tag, net/8021q; include/linux/if_vlan.h",
        "0c4b2d370514",
    )
    EMPTY_NAME_REFUSED = (
        "a link with an empty name is refused, not named by the kernel",
        "rtnl_create_link, net/core/rtnetlink.c",
        "",
    )
    LIVE_RENAME = (
        "a link that is up can be given another name",
        "dev_change_name, net/core/dev.c",
        "bd039b5ea2a9",
    )
    NOOP_COUNTS = (
        "a link that is down or has no carrier counts as tx_dropped what it is given to send",
        "noop_enqueue, net/sched/sch_generic.c",
        "4fdb6b6063f0",
    )

    def __init__(self, says: str, where: str, commit: str) -> None:
        super().__init__(says, where)
        self.commit = commit

    @property
    def key(self) -> str:
        """Its name in files: ``shared-source``."""
        return self.name.lower().replace("_", "-")


Behaviours = frozenset[Behaviour]
"""How a kernel behaves: all that it does; what is not in it, it does not."""
