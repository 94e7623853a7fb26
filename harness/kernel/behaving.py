"""How this kernel behaves, found by trying it (harness.behaviours).

    peer ----- lower --- macvtap

Each attempt has this to itself: one namespace with a wire, and a macvtap in bridge mode at its end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

from harness.behaviours import Behaviour, Behaviours
from harness.errors import KernelError
from harness.frames import Frame, Kind, payload
from harness.kernel.counters import link_counters
from harness.kernel.links import (
    add_macvtap,
    add_veth,
    change_guest,
    delete_link,
    new_macvtap,
    set_attributes,
    set_link,
)
from harness.kernel.linkstate import link_state, wait_for_link
from harness.kernel.netns import NetNS
from harness.kernel.packets import (
    ANCILLARY,
    ETH_P_ALL,
    packet_socket,
    plain_socket,
    tell_tags,
    with_tag,
)
from harness.parts import BROADCAST_MAC, Guest, Mode

__all__ = ["behaviours"]

_LOWER, _PEER, _MACVTAP, _FURTHER = 10, 11, 12, 13
_DEI = 0x1000
_OWN, _OTHERS = "02:68:70:01:00:01", "02:68:70:03:00:01"
_WITHIN = 2.0  # seconds, for what takes microseconds; a kernel that loses it does not behave so


@cache
def behaviours() -> Behaviours:
    """How this kernel behaves. Raises KernelError when it refuses a veth or a macvtap."""
    found = set()
    for behaviour, shows in _ATTEMPTS.items():
        with _wire() as ns:
            if shows(ns):
                found.add(behaviour)
    return frozenset(found)


@contextmanager
def _wire() -> Iterator[NetNS]:
    with NetNS.create() as ns:
        ns.rtnl.transact(
            [
                add_veth("lower", index=_LOWER, peer="peer", peer_index=_PEER),
                add_macvtap(Guest("macvtap", Mode.BRIDGE, mac=_OWN), index=_MACVTAP, lower=_LOWER),
                set_link("lower", index=_LOWER, up=True),
            ]
        )
        yield ns


def _shared_source(ns: NetNS) -> bool:
    """A broadcast from the wire with the macvtap's address; one with another's comes behind it."""
    ns.rtnl.transact([set_link("peer", index=_PEER, up=True)])
    first, last = (Frame(BROADCAST_MAC, mac).to_bytes() for mac in (_OWN, _OTHERS))
    # Nobody has the tap open, so the link's own listeners are shown what it receives.
    with packet_socket(ns, "macvtap", ETH_P_ALL) as listener, plain_socket(ns, "peer") as sender:
        listener.settimeout(_WITHIN)
        sender.send(first)
        sender.send(last)
        try:
            while (seen := listener.recv(len(last))) not in (first, last):
                pass
        except TimeoutError:
            return False
    return seen == first


def _noop_counts(ns: NetNS) -> bool:
    """The wire's other end is down: lower has no carrier, and so noop_qdisc for its queue."""
    with packet_socket(ns, "lower") as sender:
        sender.send(Frame(BROADCAST_MAC, _OTHERS).to_bytes())
    return bool(link_counters(ns)["lower"]["tx_dropped"])


def _promiscuity_kept(ns: NetNS) -> bool:
    """Instead of the macvtap a passthru one that is down, which has asked for nothing yet."""
    guest = Guest("passthru", Mode.PASSTHRU, up=False)
    add = add_macvtap(guest, index=_MACVTAP, lower=_LOWER)
    ns.rtnl.transact([delete_link("macvtap", index=_MACVTAP), add])
    before = link_state(ns, "lower").promiscuity
    ns.rtnl.transact([change_guest(replace(guest, nopromisc=True), index=_MACVTAP)])
    return link_state(ns, "lower").promiscuity == before


def _lower_down_shows(ns: NetNS) -> bool:
    """The lower device goes down: netif_carrier_off is the notifier's, before the answer."""
    ns.rtnl.transact([set_link("peer", index=_PEER, up=True)])
    # linkwatch gives it its carrier later, and does not when lower is down by then.
    wait_for_link(ns, "macvtap", lambda link: link.carrier)
    ns.rtnl.transact([set_link("lower", index=_LOWER, up=False)])
    return not link_state(ns, "macvtap").carrier


def _dei_kept(ns: NetNS) -> bool:
    """A frame from the wire, its tag taken out (skb_vlan_untag) and told beside it."""
    ns.rtnl.transact([set_link("peer", index=_PEER, up=True)])
    tag = struct.pack("!HH", 0x8100, _DEI | 5)
    plain = Frame(BROADCAST_MAC, _OTHERS, payload=payload(Kind.PRIME)).to_bytes()
    tagged = plain[:12] + tag + plain[12:]
    with packet_socket(ns, "macvtap", ETH_P_ALL) as listener, plain_socket(ns, "peer") as sender:
        tell_tags(listener)
        listener.settimeout(_WITHIN)
        sender.send(tagged)
        try:
            while True:
                frame, ancillary, _, _ = listener.recvmsg(len(tagged), ANCILLARY)
                if frame[6:12] == plain[6:12]:
                    return with_tag(frame, ancillary) == tagged
        except TimeoutError:
            return False


def _empty_name_refused(ns: NetNS) -> bool:
    try:
        ns.rtnl.transact([new_macvtap("", index=_FURTHER, lower=_LOWER)])
    except KernelError:
        return True
    return False


def _live_rename(ns: NetNS) -> bool:
    renamed = set_attributes("lower", index=_LOWER, attributes=(("IFLA_IFNAME", "renamed"),))
    try:
        ns.rtnl.transact([renamed])
    except KernelError:
        return False
    return True


_ATTEMPTS: Mapping[Behaviour, Callable[[NetNS], bool]] = {
    Behaviour.SHARED_SOURCE: _shared_source,
    Behaviour.PROMISCUITY_KEPT: _promiscuity_kept,
    Behaviour.LOWER_DOWN_SHOWS: _lower_down_shows,
    Behaviour.DEI_KEPT: _dei_kept,
    Behaviour.EMPTY_NAME_REFUSED: _empty_name_refused,
    Behaviour.LIVE_RENAME: _live_rename,
    Behaviour.NOOP_COUNTS: _noop_counts,
}
