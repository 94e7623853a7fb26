"""ARP and IPv6 neighbour discovery: who can find whom, and what private mode rests on.

a [tap]--.
         lower ----- switch ----- external
b [tap]--'

Private mode stops broadcast and multicast, nothing else: a cannot ask for b, so it never
learns b's address. A static neighbour entry, and a switch that reflects, are all it takes.
"""

import itertools

import pytest
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether

from harness import Behaviour, Guest, Mode, Switch, Topology

BROADCAST = "ff:ff:ff:ff:ff:ff"
A4, B4, B6 = "10.0.0.1", "10.0.0.2", "fe80::2"
SOLICITED, SOLICITED_MAC = "ff02::1:ff00:2", "33:33:ff:00:00:02"
MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE)
TOPOLOGIES = [
    Topology(
        [Guest("a", first), Guest("b", second, groups=(SOLICITED_MAC,))],
        switch=Switch(hairpin=hairpin),
    )
    for first, second in itertools.product(MODES, MODES)
    for hairpin in (False, True)
]


def _label(topology):
    modes = "-".join(guest.mode for guest in topology.guests)
    return f"{modes}-hairpin" if topology.switch.hairpin else modes


on_each_pair = pytest.mark.parametrize("topology", TOPOLOGIES, ids=_label, scope="module")


def _asked(topology, protocol):
    """A's question, who has b's address."""
    mac = topology.macs["a"]
    if protocol == "arp":
        frame = Ether(dst=BROADCAST, src=mac) / ARP(hwsrc=mac, psrc=A4, pdst=B4)
    else:
        frame = (
            Ether(dst=SOLICITED_MAC, src=mac)
            / IPv6(src="fe80::1", dst=SOLICITED)
            / ICMPv6ND_NS(tgt=B6)
            / ICMPv6NDOptSrcLLAddr(lladdr=mac)
        )
    return bytes(frame)


def _answered(topology, protocol):
    """B's answer to a."""
    to, mac = topology.macs["a"], topology.macs["b"]
    if protocol == "arp":
        frame = Ether(dst=to, src=mac) / ARP(op=2, hwsrc=mac, hwdst=to, psrc=B4, pdst=A4)
    else:
        frame = (
            Ether(dst=to, src=mac)
            / IPv6(src=B6, dst="fe80::1")
            / ICMPv6ND_NA(tgt=B6, S=1, R=0)
            / ICMPv6NDOptDstLLAddr(lladdr=mac)
        )
    return bytes(frame)


def _reaches(ends, sender, frame, receiver):
    return ends.exchange(sender, frame, at=[receiver])[receiver] == [frame]


@pytest.mark.parametrize("protocol", ["arp", "nd"])
@on_each_pair
def test_resolution(testbed, raw, topology, protocol):
    """Bridge guests find each other; with hairpin vepa ones do; a private one finds nobody.

    A question that comes twice (Behaviour.SHARED_SOURCE) is as good. macvlan_multicast_rx,
    macvlan_handle_frame
    """
    first, second = (guest.mode for guest in topology.guests)
    bed = testbed(topology)
    ends, question = raw(bed), _asked(topology, protocol)
    bridged = first is second is Mode.BRIDGE
    reflected = topology.switch.hairpin and Mode.PRIVATE not in (first, second)
    twice = bridged and reflected and Behaviour.SHARED_SOURCE in bed.behaviours
    heard = ends.exchange("a", question, at=["b"])["b"]
    resolved = bool(heard) and _reaches(ends, "b", _answered(topology, protocol), "a")
    assert resolved is (bridged or reflected)
    assert heard == [question] * (resolved + twice)


@pytest.mark.parametrize("protocol", ["arp", "nd"])
@on_each_pair
def test_question_in_private_mode(testbed, raw, topology, protocol):
    """Everybody's question gets outside; a private guest's own comes back to it, and it alone.

    macvlan_handle_frame (forward to original port)
    """
    frame = _asked(topology, protocol)
    seen = raw(testbed(topology)).exchange("a", frame, at=["a", "b", "lower", "external"])
    assert seen["external"] == [frame]
    if topology.guest("a").mode is Mode.PRIVATE:
        assert seen["b"] == seen["lower"] == []
        assert seen["a"] == [frame] * topology.switch.hairpin


@pytest.mark.parametrize("protocol", ["arp", "nd"])
@on_each_pair
def test_static_neighbour(testbed, raw, topology, protocol):
    """Who knows b's address reaches it, private or not, as soon as the switch reflects.

    macvlan_handle_frame looks at the destination only. Here: an ARP request or a solicitation
    sent to b's own address, as a neighbour entry that is being confirmed does (RFC 4861, 7.3.3).
    """
    first, second = (guest.mode for guest in topology.guests)
    unicast = bytes.fromhex(topology.macs["b"].replace(":", "")) + _asked(topology, protocol)[6:]
    ends = raw(testbed(topology))
    reached = _reaches(ends, "a", unicast, "b") and _reaches(
        ends, "b", _answered(topology, protocol), "a"
    )
    assert reached is (first is second is Mode.BRIDGE or topology.switch.hairpin)


@pytest.mark.parametrize("protocol", ["arp", "nd"])
@on_each_pair
def test_asked_from_outside(testbed, raw, topology, protocol):
    """A question from outside reaches every guest, whatever its mode, and each can answer."""
    mac = topology.macs["external"]
    if protocol == "arp":
        frame = bytes(Ether(dst=BROADCAST, src=mac) / ARP(hwsrc=mac, psrc="10.0.0.9", pdst=B4))
    else:
        frame = bytes(
            Ether(dst=SOLICITED_MAC, src=mac)
            / IPv6(src="fe80::9", dst=SOLICITED)
            / ICMPv6ND_NS(tgt=B6)
            / ICMPv6NDOptSrcLLAddr(lladdr=mac)
        )
    ends = raw(testbed(topology))
    assert _reaches(ends, "external", frame, "b")
    reply = bytes.fromhex(mac.replace(":", "")) + _answered(topology, protocol)[6:]
    assert _reaches(ends, "b", reply, "external")
