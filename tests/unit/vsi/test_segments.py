"""What a stack leaves to the card, against the segments that are made by hand elsewhere."""

import pytest

from harness.frames import Tag
from harness.kernel.gso import LargeFrame
from harness.kernel.vnet import Gso, VnetHeader
from harness.vsi.live.segments import on_the_wire

MACS = ("52:54:00:00:00:02", "52:54:00:00:00:01")
KINDS = [
    pytest.param(Gso.TCPV4, False, id="tcpv4"),
    pytest.param(Gso.TCPV6, True, id="tcpv6"),
    pytest.param(Gso.UDP_L4, False, id="udp-ipv4"),
    pytest.param(Gso.UDP_L4, True, id="udp-ipv6"),
    pytest.param(Gso.NONE, False, id="checksum-ipv4"),
    pytest.param(Gso.NONE, True, id="checksum-ipv6"),
]


@pytest.mark.parametrize("tag", [None, Tag(100)], ids=["untagged", "tagged"])
@pytest.mark.parametrize("ecn", [False, True], ids=["", "ecn"])
@pytest.mark.parametrize(("kind", "ipv6"), KINDS)
def test_cut_as_the_kernel_does(kind, ipv6, ecn, tag):
    ecn = ecn and kind in (Gso.TCPV4, Gso.TCPV6)
    large = LargeFrame(*MACS, gso=kind, ipv6=ipv6, ecn=ecn, tag=tag)
    assert on_the_wire(large.header, large.frame) == list(large.segments)


@pytest.mark.parametrize("length", [0, 13, 20, 40, 60])
def test_what_makes_no_sense_is_nothing(length):
    header = VnetHeader(flags=1, gso_type=Gso.TCPV4, gso_size=0, csum_start=34, csum_offset=16)
    assert on_the_wire(header, bytes(length)) == []


def test_udp_fragments_are_not_made():
    large = LargeFrame(*MACS, gso=Gso.UDP)
    assert on_the_wire(large.header, large.frame) == []
