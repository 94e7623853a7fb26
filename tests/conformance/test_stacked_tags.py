"""VLAN tags of every kind, written and read inline by guests: nothing takes them off.

a [tap]--.
         lower ----- far
b [tap]--'

One tag of a plain kind is also in the table of tags through a switch; here are stacks (QinQ),
priorities, drop eligibility and the ids that are no VLAN. skb_vlan_untag takes the outermost
tag out on reception, and tap_put_user (drivers/net/tap.c) puts it back.
"""

import struct

import pytest

from harness import Behaviour, Guest, Mode, Stimulus, predict
from harness.frames import Frame, Kind, payload
from harness.kernel.features import probe

Q, AD = 0x8100, 0x88A8
DEI = 0x1000
GROUP = "ff:ff:ff:ff:ff:ff"


def _pcp(priority):
    return priority << 13


STACKS = {
    "802.1Q": [(Q, 5)],
    "802.1ad": [(AD, 5)],
    "first and last": [(Q, 1), (Q, 4094)],
    "priority tag": [(Q, 0)],
    "priority tag, 7": [(Q, _pcp(7))],
    "priority tag, 802.1ad": [(AD, _pcp(3))],
    "PCP 5": [(Q, _pcp(5) | 100)],
    "DEI": [(Q, DEI | 100)],
    "PCP 6 and DEI, 802.1ad": [(AD, _pcp(6) | DEI | 100)],
    "id 4095": [(Q, 4095)],
    "QinQ": [(AD, 100), (Q, 200)],
    "QinQ, both with PCP": [(AD, _pcp(2) | DEI | 100), (Q, _pcp(7) | 200)],
    "Q in Q": [(Q, 100), (Q, 200)],
    "ad in ad": [(AD, 100), (AD, 200)],
    "Q outside of ad": [(Q, 100), (AD, 200)],
    "same twice": [(Q, 5), (Q, 5)],
    "priority tag outside": [(Q, _pcp(4)), (Q, 200)],
    "three": [(AD, 100), (Q, 200), (Q, 300)],
    "four": [(AD, 1), (AD, 2), (Q, 3), (Q, 4)],
}


def _tagged(plain, stack):
    tags = b"".join(struct.pack("!HH", tpid, tci) for tpid, tci in stack)
    return plain[:12] + tags + plain[12:]


def _untagged_once(plain, stack):
    """The frame once its outermost tag has been taken out and put back (skb_vlan_untag)."""
    (tpid, tci), *inner = stack
    kept = Behaviour.DEI_KEPT in probe().behaviours
    return _tagged(plain, [(tpid, tci if kept else tci & ~DEI), *inner])


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU])
def test_out_and_in(cable, mode):
    """Out to the wire and in from it, to one guest and to all: every tag in its place."""
    bed = cable(Guest("a", mode))
    for sender, to, receiver in (
        ("a", "far", "far"),
        ("far", "a", "a"),
        ("a", GROUP, "far"),
        ("far", GROUP, "a"),
    ):
        for name, stack in STACKS.items():
            plain = bed.frame(sender, to)
            arrived = bed.exchange(sender, _tagged(plain, stack), at=[receiver])[receiver]
            assert arrived == [_untagged_once(plain, stack)], f"{name}, {sender} to {to}"


@pytest.mark.parametrize("to", ["b", GROUP])
def test_between_siblings(cable, to):
    """Handed over directly in bridge mode, by dev_forward_skb and by macvlan_broadcast_one."""
    bed = cable(Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE))
    for name, stack in STACKS.items():
        plain = bed.frame("a", to)
        arrived = bed.exchange("a", _tagged(plain, stack), at=["b"])
        assert arrived == {"b": [_untagged_once(plain, stack)]}, name


def test_source_mode(cable):
    """A copy for a listed source is a copy with its tags (macvlan_forward_source)."""
    listed = "02:68:70:03:00:0a"
    bed = cable(Guest("s", Mode.SOURCE, sources=(listed,)))
    for name, stack in STACKS.items():
        plain = bed.frame("far", "02:68:70:ee:ee:ee", source=listed)
        arrived = bed.exchange("far", _tagged(plain, stack), at=["s"])
        assert arrived == {"s": [_untagged_once(plain, stack)]}, name


def test_through_a_switch(testbed, raw, pair):
    """A switch that does not filter VLANs is blind to tags: delivered like the untagged frame."""
    ends = raw(testbed(pair))
    plain = Frame(pair.macs["b"], pair.macs["a"], payload=payload(Kind.PRIME)).to_bytes()
    copies = predict(pair, Stimulus("a", to="b")).copies("b")
    for name, stack in STACKS.items():
        arrived = ends.exchange("a", _tagged(plain, stack), at=["b"])["b"]
        assert arrived == [_untagged_once(plain, stack)] * copies, name
