"""macvtap links on their lower device: drivers/net/macvlan.c, function by function."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from harness.behaviours import Behaviour
from harness.frames import Frame
from harness.model.rules import Rule
from harness.model.walk import Hop, Walk
from harness.parts import BROADCAST_MAC, Guest, LowerKind, Mode, is_multicast
from harness.topology import Topology

__all__ = ["group_hash", "receive", "transmit"]

_DEFAULT_BCQUEUELEN = 1000  # MACVLAN_DEFAULT_BC_QUEUE_LEN
_DEFAULT_BC_CUTOFF = 1  # macvlan_port_create
_GOLDEN_RATIO_32 = 0x61C88647  # include/linux/hash.h
_FILTER_BITS = 8  # MACVLAN_MC_FILTER_BITS

# What the stack of every link that is up joins by itself: 224.0.0.1 (ip_mc_up, net/ipv4/igmp.c),
# and ff02::1 even where IPv6 is disabled (ipv6_add_dev, net/ipv6/addrconf.c).
_ALL_HOSTS, _ALL_NODES = "01:00:5e:00:00:01", "33:33:00:00:00:01"
_OWN_GROUPS = (_ALL_HOSTS, _ALL_NODES)

_GUESTS = frozenset({Mode.VEPA, Mode.BRIDGE})
_OUTSIDE = frozenset({Mode.PRIVATE, Mode.VEPA, Mode.PASSTHRU, Mode.BRIDGE})


@lru_cache(maxsize=4096)
def group_hash(mac: str) -> int:
    """Bit (0–255) of a group address in the lower device's filter: mc_hash(NULL, mac).

    A guest's own filter mixes in the address of its kernel structure and cannot be computed.
    """
    value = int.from_bytes(bytes.fromhex(mac.replace(":", ""))[2:], sys.byteorder)
    return (value * _GOLDEN_RATIO_32 & 0xFFFFFFFF) >> (32 - _FILTER_BITS)


@dataclass(frozen=True)
class _Port:
    """What all macvtaps of a lower device share (struct macvlan_port), as the guests have made it.

    `live` are the guests in its hash table: those that are up (macvlan_open). `bits` are set in
    its multicast filter, which is `wide_open` or not, `queued` in that of the groups that wait
    in the broadcast queue; that has `room` for so many frames.
    """

    live: tuple[Guest, ...]
    by_mac: Mapping[str, Guest]
    listening: tuple[Guest, ...]
    wide_open: bool
    bits: frozenset[int]
    queued: frozenset[int]
    queues_all: bool
    room: int


@lru_cache(maxsize=4096)
def _port(topology: Topology, lower: str) -> _Port:
    """macvlan_set_mac_lists, macvlan_recompute_bc_filter, update_port_bc_queue_len."""
    guests = topology.guests_on(lower)
    live = tuple(g for g in guests if g.up)
    joined = [group for guest in live for group in (*guest.groups, *_OWN_GROUPS)]
    wide_open = _is_promiscuous(topology, lower, live)
    # The last that was asked for; groups with more subscribers than that are queued.
    cutoff = next(
        (g.bc_cutoff for g in reversed(guests) if g.bc_cutoff is not None), _DEFAULT_BC_CUTOFF
    )
    popular = {group_hash(g) for g in joined if joined.count(g) > cutoff}
    broadcast = group_hash(BROADCAST_MAC)
    return _Port(
        live=live,
        by_mac={g.mac: g for g in reversed(live)},
        listening=tuple(g for g in guests if g.mode is Mode.SOURCE),
        wide_open=wide_open,
        bits=frozenset({broadcast, *map(group_hash, joined)}),
        queued=frozenset({broadcast, *popular}) if cutoff >= 0 else frozenset(),
        queues_all=wide_open and cutoff >= 0,
        # The largest that any guest asks for, up or not.
        room=max(
            (_DEFAULT_BCQUEUELEN if g.bcqueuelen is None else g.bcqueuelen for g in guests),
            default=0,
        ),
    )


def transmit(walk: Walk, name: str, frame: Frame) -> None:
    """macvlan_queue_xmit: a frame written to the guest's tap."""
    guest = walk.topology.guest(name)
    walk.note(name, f"sends, in {guest.mode} mode on {guest.lower}")
    if not walk.decide(name, Rule.TX_UP, guest.up):
        return
    # A macvtap has the carrier of its lower device (netif_stacked_transfer_operstate).
    carrier = walk.topology.has_carrier(guest.lower)
    if not walk.decide(name, Rule.CARRIER, carrier, "that of {}", guest.lower):
        return
    siblings = _port(walk.topology, guest.lower)
    bridge = guest.mode is Mode.BRIDGE
    if is_multicast(frame.dst):
        for sibling in siblings.live:
            if sibling.name != name and walk.decide(
                sibling.name,
                Rule.BRIDGE_FLOOD,
                bridge and sibling.mode is Mode.BRIDGE,
                "{} to {}",
                guest.mode,
                sibling.mode,
            ):
                _deliver_group(walk, sibling, frame)
    elif found := siblings.by_mac.get(frame.dst):
        direct = bridge and found.mode is Mode.BRIDGE
        if walk.decide(name, Rule.BRIDGE_DIRECT, direct, "{} to {}", guest.mode, found.mode):
            # dev_forward_skb: the lower device receives it, as if from the wire.
            up = walk.topology.lower(guest.lower).up
            if walk.decide(guest.lower, Rule.FORWARDABLE, up):
                walk.put(Hop.LOWER_RX, guest.lower, frame)
            return
    walk.put(Hop.LOWER_TX, guest.lower, frame)


def receive(walk: Walk, lower: str, frame: Frame) -> bool:
    """macvlan_handle_frame: whether the frame goes on to the host's stack."""
    if not walk.topology.guests_on(lower):
        return True
    if _forward_source(walk, lower, frame):
        return False
    if is_multicast(frame.dst):
        return _receive_group(walk, lower, frame)
    return _receive_unicast(walk, lower, frame)


def _forward_source(walk: Walk, lower: str, frame: Frame) -> bool:
    """macvlan_forward_source: whether a nodst guest has consumed the frame."""
    consumed = False
    for guest in _port(walk.topology, lower).listening:
        listed = frame.src in guest.sources
        if not walk.decide(guest.name, Rule.SOURCE_LIST, listed, "source {}", frame.src):
            continue
        consumed |= walk.decide(guest.name, Rule.SOURCE_CONSUME, guest.nodst)
        if walk.decide(guest.name, Rule.RX_UP, guest.up):
            walk.arrive(guest.name, frame)
    return consumed


def _receive_unicast(walk: Walk, lower: str, frame: Frame) -> bool:
    guests = walk.topology.guests_on(lower)
    passthru = guests[0].mode is Mode.PASSTHRU
    if walk.decide(lower, Rule.PASSTHRU_ALL, passthru, "{} is {}", guests[0].name, guests[0].mode):
        if walk.decide(guests[0].name, Rule.RX_UP, guests[0].up):
            walk.arrive(guests[0].name, frame)
        return False
    found = _port(walk.topology, lower).by_mac.get(frame.dst)
    if not walk.decide(lower, Rule.LOOKUP, found is not None, "destination {}", frame.dst):
        return True
    found = found or guests[0]
    if walk.decide(found.name, Rule.SOURCE_NO_UNICAST, found.mode is Mode.SOURCE, found.mode):
        return True
    walk.arrive(found.name, frame)
    return False


def _receive_group(walk: Walk, lower: str, frame: Frame) -> bool:
    src = _port(walk.topology, lower).by_mac.get(frame.src)
    if src is not None and walk.decide(
        src.name, Rule.OWN_RETURN, src.mode not in (Mode.VEPA, Mode.BRIDGE), "it is {}", src.mode
    ):
        walk.arrive(src.name, frame)
        return False
    if _filter_passes(walk, lower, frame.dst):
        _multicast_rx(walk, lower, src, frame)
    return walk.decide(lower, Rule.GROUP_PASS, True)


def _filter_passes(walk: Walk, lower: str, group: str) -> bool:
    """The lower device's filters, and the room in its broadcast queue."""
    port, bit = _port(walk.topology, lower), group_hash(group)
    passes = bool(port.live) and (port.wide_open or bit in port.bits)
    if not walk.decide(lower, Rule.PORT_FILTER, passes, "group {}", group):
        return False
    if not port.queues_all and bit not in port.queued:
        return True
    return walk.decide(lower, Rule.QUEUE_ROOM, port.room > 0, "bcqueuelen {}", port.room)


def _is_promiscuous(topology: Topology, lower: str, live: Iterable[Guest]) -> bool:
    """Whether guests have opened the lower device's filter entirely (macvlan_compute_filter).

    A device without a unicast filter (IFF_UNICAST_FLT) of its own, as veth and dummy are,
    turns promiscuous as soon as one guest adds its address to it (__dev_set_rx_mode).
    """
    filters_unicast = topology.lower(lower).kind is LowerKind.VLAN
    return any(
        g.allmulticast
        # A passthru link's own IFF_PROMISC is not handed on (macvlan_change_rx_flags).
        or (not g.nopromisc if g.mode is Mode.PASSTHRU else g.promiscuous or not filters_unicast)
        for g in live
    )


def _multicast_rx(walk: Walk, lower: str, src: Guest | None, frame: Frame) -> None:
    """macvlan_multicast_rx: who on this lower device is meant."""
    if src is None:
        rule, audience = Rule.FROM_OUTSIDE, _OUTSIDE
    elif src.mode is Mode.VEPA:
        rule, audience = Rule.FROM_GUEST, _GUESTS
    elif walk.decide(src.name, Rule.REFLECTED, Behaviour.SHARED_SOURCE not in walk.behaviours):
        rule, audience = Rule.FROM_BRIDGE, frozenset({Mode.VEPA})
    else:  # perhaps another's who has the same address: it may be for that guest as well
        src, rule, audience = None, Rule.FROM_GUEST, _GUESTS
    for guest in _port(walk.topology, lower).live:
        if guest is src and walk.decide(guest.name, Rule.NOT_TO_SENDER, True):
            continue
        if walk.decide(guest.name, rule, guest.mode in audience, "it is {}", guest.mode):
            _deliver_group(walk, guest, frame)


def _deliver_group(walk: Walk, guest: Guest, frame: Frame) -> None:
    """macvlan_broadcast, for one guest: its own filter."""
    member = (
        frame.dst in (BROADCAST_MAC, _ALL_HOSTS)
        or frame.dst in guest.groups
        or guest.allmulticast
        or guest.promiscuous
    )
    if walk.decide(guest.name, Rule.TAP_FILTER, member, "group {}", frame.dst):
        walk.arrive(guest.name, frame)
    elif not member:
        walk.may_arrive(guest.name, frame)
