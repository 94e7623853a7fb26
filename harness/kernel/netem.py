"""netem(8): a link whose transmissions are lost, late, doubled or out of order, as declared.

    lower [netem] ----- far          what `far` sends is not touched: it has a queue of its own

What it let through and what it dropped it counts itself (netem_enqueue, net/sched/sch_netem.c).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pyroute2.netlink.rtnl.tcmsg import tcmsg

from harness.kernel.dumps import Dumps, attributes, text
from harness.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    Request,
)
from harness.kernel.netns import NetNS

__all__ = ["Netem", "NetemCounters", "netem_counters", "set_netem"]

_RTM_NEWQDISC, _RTM_GETQDISC = 36, 38
_NLM_F_REPLACE = 0x100
_ROOT, _HANDLE = 0xFFFFFFFF, 0x10000
_TICK = 64e-9  # seconds (PSCHED_SHIFT, include/net/pkt_sched.h)
_CERTAIN = 0xFFFFFFFF  # a probability of 1
_KIND, _STATS2 = 1, 7  # TCA_KIND, TCA_STATS2
_BASIC, _QUEUE = 1, 3  # TCA_STATS_BASIC, TCA_STATS_QUEUE
_TCMSG = struct.Struct("=BxxxiIII")  # family, index, handle, parent, info
_PACKETS = struct.Struct("=8xI")  # struct gnet_stats_basic: bytes, packets
_QUEUED = struct.Struct("=I4xI")  # struct gnet_stats_queue: qlen, backlog, drops


@dataclass(frozen=True)
class Netem:
    """What is done to frames: `loss` and `duplicate` are probabilities, 0 to 1.

    `delay` is in seconds; with a `gap` of n each n-th frame is sent without it, and overtakes
    (netem_change: a gap alone is one of probability 1). `limit` frames are held at most, and the
    next one is refused.
    """

    loss: float = 0.0
    delay: float = 0.0
    duplicate: float = 0.0
    gap: int = 0
    limit: int = 1000


@dataclass(frozen=True)
class NetemCounters:
    """Frames: `sent` on, duplicates among them; `dropped`, refused ones among them; `held` now."""

    sent: int
    dropped: int
    held: int


def set_netem(name: str, netem: Netem, *, index: int) -> Request:
    """Put netem in the place of the queueing discipline that a link has; its counters begin anew.

    Refused with ENOENT where the kernel has none.
    """
    message = tcmsg()
    message["index"] = index
    message["parent"] = _ROOT
    message["handle"] = _HANDLE
    options = {
        "delay": round(netem.delay / _TICK),
        "limit": netem.limit,
        "loss": round(netem.loss * _CERTAIN),
        "gap": netem.gap,
        "duplicate": round(netem.duplicate * _CERTAIN),
        "jitter": 0,
        "attrs": [],
    }
    message["attrs"] = [("TCA_KIND", "netem"), ("TCA_OPTIONS", options)]
    flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | _NLM_F_REPLACE
    return Request.of(f"put netem on {name}", message, _RTM_NEWQDISC, flags)


def netem_counters(ns: NetNS, index: int) -> NetemCounters:
    """What the netem of the link with that index has done. Raises KernelError, LookupError."""
    with ns.run(Dumps) as dumps:
        answers = dumps.get(_RTM_GETQDISC, _TCMSG.pack(0, index, 0, 0, 0))
    for answer in answers:
        _, found_index, *_ = _TCMSG.unpack_from(answer)
        found = attributes(answer, _TCMSG.size)
        if found_index == index and text(found, _KIND) == "netem":
            stats = attributes(found[_STATS2])
            (sent,) = _PACKETS.unpack_from(stats[_BASIC])
            held, dropped = _QUEUED.unpack_from(stats[_QUEUE])
            return NetemCounters(sent, dropped, held)
    raise LookupError(f"link {index} has no netem")
