"""What somebody else has put on the links: queues, filters, rules, programs, links, readers.

No topology declares any of it, so whatever is there is worth telling. Counters say whether it
has done anything.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from harness.kernel.nftables import Chain, ChainRule
from harness.kernel.openers import Opener
from harness.kernel.readback import Link, Snapshot
from harness.kernel.traffic import Qdisc
from harness.testbed.findings import Finding, Weight

__all__ = ["Room", "foreign_links", "foreign_openers", "foreign_rules"]

# What the kernel itself puts on a link (net.core.default_qdisc): harmless while it drops nothing.
_DEFAULT_QDISCS = frozenset(
    {"noqueue", "pfifo_fast", "pfifo", "bfifo", "fq_codel", "fq", "mq", "sfq", "cake", "noop"}
)
_QDISC_DOES = {
    "tbf": "delays what exceeds a rate",
    "htb": "delays what exceeds a rate",
    "hfsc": "delays what exceeds a rate",
    "cbq": "delays what exceeds a rate",
    "netem": "delays, loses, duplicates or reorders",
    "plug": "holds everything back",
    "red": "drops early",
    "choke": "drops early",
    "codel": "drops what waits too long",
    "blackhole": "drops everything",
}
_SAYS_NONE = "the topology says there is none"


@dataclass(frozen=True)
class Room:
    """A namespace: ``host``, ``switch`` or a station outside, and the links that are `known`."""

    title: str
    live: Snapshot
    known: frozenset[str]

    def __str__(self) -> str:
        return f"the {self.title}" if self.title in ("host", "switch") else self.title

    def place(self, link: str) -> str:
        """A link in words."""
        if self.title != "switch":
            return link
        found = self.live.links.get(link)
        if found and found.kind == "bridge":
            return "the switch" if link == "switch" else f"switch {link}"
        return f"switch port {link}"


def foreign_rules(room: Room) -> Iterator[Finding]:
    """Queues, filters, nf_tables rules and XDP programs on the links of `room`."""
    live = room.live
    for qdisc in live.qdiscs:
        yield from _qdisc(room, qdisc)
    for rule in live.filters:
        does = " and ".join(action.does for action in rule.actions)
        yield Finding(
            Weight.ACTED if rule.frames else Weight.DIFFERS,
            rule.link,
            f"a tc filter ({rule.kind}) on {rule.where} of {room.place(rule.link)} {does}"
            f"{_met(rule.frames)}, {_SAYS_NONE}",
        )
    chains = {(c.family, c.table, c.name): c for c in live.chains}
    for chain in chains.values():
        yield from _policy(room, chain)
    for nft in live.rules:
        yield from _rule(room, nft, chains.get((nft.family, nft.table, nft.chain)))
    for link in live.links.values():
        if link.xdp:
            yield Finding(
                Weight.DIFFERS,
                link.name,
                f"an XDP program (id {link.xdp}) on {room.place(link.name)} decides about every "
                f"frame that comes in there, {_SAYS_NONE}",
            )


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _met(count: int | None) -> str:
    return f"; it has met {_frames(count)}" if count else ""


def _qdisc(room: Room, qdisc: Qdisc) -> Iterator[Finding]:
    acted = qdisc.drops or qdisc.backlog or qdisc.overlimits
    if qdisc.hooked or (qdisc.kind in _DEFAULT_QDISCS and not acted):
        return
    parts = []
    if qdisc.drops:
        parts.append(f"{_frames(qdisc.drops)} dropped")
    if qdisc.backlog:
        parts.append(f"{qdisc.backlog} bytes held back now")
    if qdisc.overlimits:
        often = "once" if qdisc.overlimits == 1 else f"{qdisc.overlimits} times"
        parts.append(f"it has made frames wait {often}")
    does = _QDISC_DOES.get(qdisc.kind)
    yield Finding(
        Weight.ACTED if acted else Weight.DIFFERS if qdisc.frames else Weight.THERE,
        qdisc.link,
        f"a {qdisc.kind} qdisc sits on {room.place(qdisc.link)}"
        + (f" and {does}" if does else "")
        + (f" ({', '.join(parts)})" if parts else "")
        + f", {_SAYS_NONE}",
    )


def _where(room: Room, family: str, table: str, name: str, chain: Chain | None) -> str:
    hook = f" at {chain.hook}" if chain and chain.hook else ""
    on = (
        " of " + ", ".join(room.place(device) for device in chain.devices)
        if chain and chain.devices
        else f" of {room}"
    )
    return f"chain {family} {table} {name}{hook}{on}"


def _place(room: Room, chain: Chain | None) -> str:
    return chain.devices[0] if chain and chain.devices else room.title


def _policy(room: Room, chain: Chain) -> Iterator[Finding]:
    if chain.hook and chain.drops:
        where = _where(room, chain.family, chain.table, chain.name, chain)
        yield Finding(
            Weight.ACTED if chain.frames else Weight.DIFFERS,
            _place(room, chain),
            f"{where} drops by policy what no rule accepts{_met(chain.frames)}, {_SAYS_NONE}",
        )


def _rule(room: Room, rule: ChainRule, chain: Chain | None) -> Iterator[Finding]:
    if rule.harmless and not (chain and chain.drops):
        weight = Weight.THERE
    elif rule.frames is None:
        weight = Weight.DIFFERS
    else:
        weight = Weight.ACTED if rule.frames else Weight.THERE
    where = _where(room, rule.family, rule.table, rule.chain, chain)
    yield Finding(
        weight,
        _place(room, chain),
        f"an nft rule in {where} {rule.does}{_met(rule.frames)}, {_SAYS_NONE}",
    )


# ---------------------------------------------------------------------- links, readers


def foreign_links(room: Room) -> Iterator[Finding]:
    """Links in `room` that nobody knows, and what they do there."""
    names = {link.index: link.name for link in room.live.links.values()}
    for link in room.live.links.values():
        if link.name in room.known or link.name == "lo":
            continue
        does, place = _does(link, names, room)
        yield Finding(
            Weight.DIFFERS if does else Weight.THERE,
            place,
            f"a foreign link {link.name} ({link.kind or 'unknown kind'}, address {link.mac}"
            f"{'' if link.up else ', down'}) {does or f'is in {room}'}, "
            "the topology has no such link",
        )


def _does(link: Link, names: Mapping[int, str], room: Room) -> tuple[str, str]:
    """What a foreign link does, and to whom; empty when it only is there."""
    if link.kind in ("macvtap", "macvlan", "ipvlan", "ipvtap", "vlan") and link.on:
        below = names.get(link.on, "another link")
        mode = link.settings.get("mode")
        inside = f" in {mode} mode" if isinstance(mode, str) else ""
        flags = link.settings.get("flags")
        nodst = isinstance(flags, int) and flags & 2 and link.kind in ("macvtap", "macvlan")
        takes = f", taking the frames of {', '.join(sorted(link.sources))}" if link.sources else ""
        away = " away from everybody else (nodst)" if link.sources and nodst else ""
        return f"sits on {below}{inside}{takes}{away}", below
    if link.master:
        master = names.get(link.master, "another link")
        return f"is a port of {room.place(master)}", master
    return "", link.name


def foreign_openers(
    devices: Mapping[int, str],
    openers: Iterable[Opener],
    own: Collection[int],
    since: Mapping[str, int],
) -> Iterator[Finding]:
    """Descriptors of the guests' taps (`devices`: number to guest) that are not `own`.

    What was opened before a guest's link was there (`since`, ns since the epoch) is of a link
    that had the number before.
    """
    for opener in openers:
        if opener.pid == os.getpid() and opener.fd in own:
            continue
        if opener.since and opener.since < since[devices[opener.device]]:
            continue
        who = f"{opener.process} (pid {opener.pid}, descriptor {opener.fd})"
        if opener.pid == os.getpid():
            who = f"this very process (descriptor {opener.fd})"
        guest = devices[opener.device]
        yield Finding(
            Weight.DIFFERS,
            guest,
            f"a foreign tap: {who} holds the tap of {guest} open as well, and a queue of its own "
            "takes frames away; the topology says one reader",
        )
