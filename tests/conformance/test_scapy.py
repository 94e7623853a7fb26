"""Frames that scapy builds, sends, sniffs and dissects, through real taps.

a [tap]--.
         lower ----- switch ----- external
b [tap]--'
"""

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from scapy.sendrecv import sniff

from harness import Guest, Mode, Stimulus, Switch, Topology, predict

TOPOLOGIES = [
    Topology([Guest("a", first), Guest("b", second)], switch=Switch(hairpin=hairpin))
    for first, second in [
        (Mode.VEPA, Mode.VEPA),
        (Mode.BRIDGE, Mode.BRIDGE),
        (Mode.BRIDGE, Mode.PRIVATE),
        (Mode.PRIVATE, Mode.PRIVATE),
    ]
    for hairpin in (False, True)
]


def _label(topology):
    modes = "-".join(guest.mode for guest in topology.guests)
    return f"{modes}-hairpin" if topology.switch.hairpin else modes


def _sniffed_at_b(bed, frame):
    """What b sniffs of a frame that a sends, up to a broadcast ping from outside."""
    outside = bed.topology.macs["external"]
    last = Ether(dst="ff:ff:ff:ff:ff:ff", src=outside) / IP(dst="10.0.0.9") / ICMP(id=999)
    here = bed.scapy("b")
    bed.scapy("a").send(frame)
    bed.scapy("external").send(last)
    seen = sniff(
        opened_socket=here,
        stop_filter=lambda p: ICMP in p and p[ICMP].id == 999,
        timeout=5,
    )
    assert ICMP in seen[-1], "the last ping never came"
    return seen[:-1]


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=_label, scope="module")
def test_ping_is_delivered_as_predicted(testbed, topology):
    """An ICMP echo request from a to b arrives whole, or not at all."""
    bed = testbed(topology)
    macs = topology.macs
    ping = (
        Ether(dst=macs["b"], src=macs["a"])
        / IP(src="10.0.0.1", dst="10.0.0.2")
        / ICMP()
        / Raw(b"x" * 32)
    )
    seen = [p for p in _sniffed_at_b(bed, ping) if ICMP in p]
    expected = predict(topology, Stimulus("a", to="b")).copies("b")
    assert [bytes(p) for p in seen] == [bytes(ping)] * expected


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=_label, scope="module")
def test_arp_is_delivered_as_predicted(testbed, topology):
    """A broadcast ARP request: why private guests cannot even find each other."""
    bed = testbed(topology)
    who_has = Ether(dst="ff:ff:ff:ff:ff:ff", src=topology.macs["a"]) / ARP(
        hwsrc=topology.macs["a"], psrc="10.0.0.1", pdst="10.0.0.2"
    )
    seen = [p for p in _sniffed_at_b(bed, who_has) if ARP in p]
    broadcast = Stimulus("a", to="broadcast")
    expected = predict(topology, broadcast, behaviours=bed.behaviours).copies("b")
    assert [p[ARP].pdst for p in seen] == ["10.0.0.2"] * expected
