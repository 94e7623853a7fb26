"""Link counters, read back from the kernel: what moved while a frame was on its way."""

from __future__ import annotations

from collections.abc import Mapping

from harness.kernel.netns import NetNS

__all__ = ["LinkCounters", "link_counters", "moved"]

LinkCounters = Mapping[str, Mapping[str, int]]
"""Link name to counter name (rx_packets, tx_dropped, …) to value."""


def link_counters(ns: NetNS) -> dict[str, dict[str, int]]:
    """The counters of every link in `ns` (struct rtnl_link_stats64). Raises KernelError."""
    return {
        link.get_attr("IFLA_IFNAME"): dict(link.get_attr("IFLA_STATS64") or {})
        for link in ns.rtnl.links()
    }


def moved(before: LinkCounters, after: LinkCounters) -> dict[str, dict[str, int]]:
    """By how much each counter has changed; links and counters that stood still are left out."""
    changes = {
        link: {
            name: value - before.get(link, {}).get(name, 0)
            for name, value in counters.items()
            if value != before.get(link, {}).get(name, 0)
        }
        for link, counters in after.items()
    }
    return {link: counters for link, counters in changes.items() if counters}
