"""Traffic control, read back: the qdiscs of a namespace, and the filters and actions on them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.kernel.dumps import Attributes, Dumps, attributes, nested, number, text

__all__ = ["Action", "Qdisc", "TrafficFilter", "read_filters", "read_qdiscs"]

_RTM_GETQDISC = 38
_RTM_GETTFILTER = 46
_TCMSG = struct.Struct("=B3xiIII")  # family, index, handle, parent, info
_KIND, _OPTIONS, _STATS2 = 1, 2, 7  # TCA_*
_STATS_BASIC, _STATS_QUEUE = 1, 3  # TCA_STATS_*
_QUEUE = struct.Struct("=IIIII")  # struct gnet_stats_queue: qlen, backlog, drops, …, overlimits
_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3  # TC_H_MIN_INGRESS, TC_H_MIN_EGRESS of clsact
_HOOKED = ("ingress", "clsact")

# Where each classifier keeps its actions, and its class (include/uapi/linux/pkt_cls.h).
_ACTIONS_AT = {"u32": 7, "matchall": 2, "flower": 3, "bpf": 1, "basic": 3, "fw": 4, "cgroup": 2}
_CLASS_AT = {"u32": 1, "matchall": 1, "flower": 1, "bpf": 3, "basic": 1, "fw": 1}
_BPF_FLAGS = 8
_BPF_DIRECT_ACTION = 1
_ACT_KIND, _ACT_OPTIONS, _ACT_STATS = 1, 2, 4  # TCA_ACT_*
_PARMS = 2  # the parameters of gact, mirred, vlan: TCA_*_PARMS
_VERDICTS = {0: "accepts", 2: "drops", 3: "passes on", 4: "steals", 7: "redirects"}
_MIRRED = {
    1: "redirects to {}",
    2: "duplicates to {}",
    3: "redirects into {}",
    4: "duplicates into {}",
}
_VLAN = {1: "takes the VLAN tag off", 2: "puts a VLAN tag on", 3: "changes the VLAN tag"}
_DOES = {
    "skbedit": "edits the frame's metadata",
    "pedit": "rewrites the frame's bytes",
    "police": "polices the rate (drops what is above it)",
    "nat": "translates addresses",
    "csum": "writes checksums anew",
    "skbmod": "rewrites the frame's addresses",
    "bpf": "runs a BPF program",
    "sample": "samples",
    "ct": "tracks connections",
}


@dataclass(frozen=True)
class Qdisc:
    """A queueing discipline: on which link, and what it has done since it was put there.

    `frames` passed it, `drops` it has thrown away, `backlog` are the bytes that it holds back
    now; `overlimits` counts how often it has made one wait.
    """

    link: str
    kind: str
    handle: int
    root: bool
    frames: int
    drops: int
    backlog: int
    overlimits: int

    @property
    def hooked(self) -> bool:
        """Whether it queues nothing and only holds filters (ingress, clsact)."""
        return self.kind in _HOOKED


@dataclass(frozen=True)
class Action:
    """What a filter does with what it matches, in words; `frames` is how many it did it to."""

    does: str
    frames: int


@dataclass(frozen=True)
class TrafficFilter:
    """A tc filter: `where` is ingress, egress, or the qdisc it is on."""

    link: str
    kind: str
    where: str
    actions: tuple[Action, ...]

    @property
    def frames(self) -> int:
        """How many frames its actions have seen."""
        return max((action.frames for action in self.actions), default=0)


def read_qdiscs(dumps: Dumps, names: Mapping[int, str]) -> list[Qdisc]:
    """Every qdisc of the namespace; `names` are the links by index. Raises KernelError."""
    found = []
    for message in dumps.get(_RTM_GETQDISC, _TCMSG.pack(0, 0, 0, 0, 0)):
        _, index, handle, parent, _ = _TCMSG.unpack_from(message)
        given = attributes(message, _TCMSG.size)
        stats = attributes(given.get(_STATS2, b""))
        queue = stats.get(_STATS_QUEUE, b"").ljust(_QUEUE.size, b"\0")
        _, backlog, drops, _, overlimits = _QUEUE.unpack_from(queue)
        found.append(
            Qdisc(
                link=names.get(index, f"link {index}"),
                kind=text(given, _KIND),
                handle=handle,
                root=parent == 0xFFFFFFFF,
                frames=_packets(stats),
                drops=drops,
                backlog=backlog,
                overlimits=overlimits,
            )
        )
    return found


def read_filters(
    dumps: Dumps, qdiscs: list[Qdisc], names: Mapping[int, str]
) -> list[TrafficFilter]:
    """The filters on `qdiscs`. Raises KernelError."""
    indexes = {name: index for index, name in names.items()}
    found = []
    for qdisc in qdiscs:
        if not qdisc.handle or qdisc.link not in indexes:  # a default one takes no filter
            continue
        if qdisc.hooked:
            parents = {_INGRESS: "ingress", _EGRESS: "egress"}
            if qdisc.kind == "ingress":
                parents = {qdisc.handle: "ingress"}
        else:
            parents = {qdisc.handle: f"its {qdisc.kind}"}
        for parent, where in parents.items():
            request = _TCMSG.pack(0, indexes[qdisc.link], 0, parent, 0)
            for message in dumps.get(_RTM_GETTFILTER, request):
                given = attributes(message, _TCMSG.size)
                kind, options = text(given, _KIND), attributes(given.get(_OPTIONS, b""))
                actions = tuple(_actions(kind, options, names))
                if actions:  # u32 also lists its hash tables, which do nothing
                    found.append(TrafficFilter(qdisc.link, kind, where, actions))
    return found


def _packets(stats: Attributes) -> int:
    """Frames of a struct gnet_stats_basic: bytes (64 bits), packets (32)."""
    basic = stats.get(_STATS_BASIC, b"")
    if len(basic) < 12:
        return 0
    packets: int = struct.unpack_from("=QI", basic)[1]
    return packets


def _actions(kind: str, options: Attributes, names: Mapping[int, str]) -> Iterator[Action]:
    for _, data in nested(options.get(_ACTIONS_AT.get(kind, -1), b"")):
        given = attributes(data)
        does = _does(text(given, _ACT_KIND), attributes(given.get(_ACT_OPTIONS, b"")), names)
        yield Action(does, _packets(attributes(given.get(_ACT_STATS, b""))))
    if kind == "bpf" and number(options, _BPF_FLAGS) & _BPF_DIRECT_ACTION:
        yield Action("runs a BPF program that decides", 0)
    elif number(options, _CLASS_AT.get(kind, -1)) and _ACTIONS_AT.get(kind, -1) not in options:
        minor = number(options, _CLASS_AT[kind]) & 0xFFFF
        yield Action(f"puts it in class {minor:x}", 0)


def _does(kind: str, options: Attributes, names: Mapping[int, str]) -> str:
    parms = options.get(_PARMS, b"").ljust(28, b"\0")
    words = struct.unpack_from("=IIiiiiI", parms)
    if kind == "mirred":  # struct tc_mirred: …, eaction, ifindex
        return _MIRRED.get(words[5], "mirrors to {}").format(names.get(words[6], "a link gone"))
    if kind == "gact":
        return _VERDICTS.get(words[2], f"gives verdict {words[2]}")
    if kind == "vlan":
        return _VLAN.get(words[5], "works on the VLAN tag")
    return _DOES.get(kind, f"does {kind}")
