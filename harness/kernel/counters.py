"""Counters, read back from the kernel: what moved while a frame was on its way."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from harness.kernel.netns import NetNS
from harness.kernel.syscalls import await_rcu_readers

__all__ = ["LinkCounters", "beyond", "link_counters", "moved", "softnet_counters"]

LinkCounters = Mapping[str, Mapping[str, int]]
"""Link name to counter name (rx_packets, tx_dropped, …) to value."""

# Columns of /proc/net/softnet_stat (softnet_seq_show, net/core/net-procfs.c), of those that tell
# of trouble.
_SOFTNET = {"dropped": 1, "time_squeeze": 2, "flow_limit": 10}
_SOFTNET_CPU = 12


def link_counters(ns: NetNS) -> dict[str, dict[str, int]]:
    """The counters of every link in `ns` (struct rtnl_link_stats64). Raises KernelError.

    The kernel hands a frame on first and counts it afterwards (macvlan_broadcast: first
    macvlan_broadcast_one, then macvlan_count_rx), in a worker that may run on another CPU, but
    within one RCU read-side section. So those that have begun are waited for, some 10 ms: whatever
    frame has been read by now is counted then.
    """
    with suppress(OSError):  # a kernel without membarrier counts in its own time
        await_rcu_readers()
    return {
        link.get_attr("IFLA_IFNAME"): dict(link.get_attr("IFLA_STATS64") or {})
        for link in ns.rtnl.links()
    }


def softnet_counters(cpu: int) -> dict[str, int]:
    """What the backlog of `cpu` lost: dropped because full, cut short, over the flow limit.

    These are the CPU's, whatever the namespace. Raises OSError.
    """
    rows = [line.split() for line in Path("/proc/net/softnet_stat").read_text().splitlines()]
    # The kernel leaves out CPUs that are offline; before Linux 5.10 it did not say which is which.
    by_cpu = {
        int(r[_SOFTNET_CPU], 16) if len(r) > _SOFTNET_CPU else i: r for i, r in enumerate(rows)
    }
    row = by_cpu.get(cpu, [])
    return {name: int(row[at], 16) for name, at in _SOFTNET.items() if at < len(row)}


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


def beyond(usual: LinkCounters, changes: LinkCounters) -> dict[str, dict[str, int]]:
    """`changes` less those that are `usual`; what is left may be negative, where less happened."""
    names = {
        link: {**usual.get(link, {}), **changes.get(link, {})} for link in {**usual, **changes}
    }
    full = {link: {n: changes.get(link, {}).get(n, 0) for n in names[link]} for link in names}
    return moved(usual, full)
