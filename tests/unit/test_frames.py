"""Frames byte for byte, against what scapy builds of the same fields."""

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

from harness.frames import (
    ETHERTYPE_EXPERIMENTAL,
    ETHERTYPE_IPV4,
    IDENT_AT,
    MAGIC,
    Frame,
    Kind,
    Tag,
    ident_offset,
    ipv4_destination,
    ipv4_forwarded,
    ipv4_payload,
    payload,
)

DST, SRC = "02:aa:bb:cc:dd:ee", "02:01:23:45:67:89"
ADDRESSES = {"src": "10.104.0.2", "dst": "10.104.1.255"}
BODY = payload(Kind.STIMULUS, 0x01020304)


def ether(type):
    return Ether(dst=DST, src=SRC, type=type)


@pytest.mark.parametrize(
    ("tags", "built"),
    [
        pytest.param((), ether(0x88B5) / Raw(BODY), id="untagged"),
        pytest.param(
            (Tag(5),), ether(0x8100) / Dot1Q(vlan=5, type=0x88B5) / Raw(BODY), id="802.1Q"
        ),
        pytest.param(
            (Tag(4094, tpid=0x88A8),),
            ether(0x88A8) / Dot1AD(vlan=4094, type=0x88B5) / Raw(BODY),
            id="802.1ad",
        ),
        pytest.param(
            (Tag(7, tpid=0x88A8), Tag(9)),
            ether(0x88A8) / Dot1AD(vlan=7, type=0x8100) / Dot1Q(vlan=9, type=0x88B5) / Raw(BODY),
            id="802.1ad outside, 802.1Q inside",
        ),
    ],
)
def test_bytes(tags, built):
    assert Frame(DST, SRC, payload=BODY, tags=tags).to_bytes() == bytes(built)


def test_ipv4_in_ethernet():
    """Header and checksum as scapy computes them; UDP without a checksum."""
    built = (
        ether(0x0800)
        / IP(**ADDRESSES, ttl=64, flags="DF", id=0)
        / UDP(sport=9, dport=9, chksum=0)
        / Raw(BODY)
    )
    frame = Frame(DST, SRC, ETHERTYPE_IPV4, ipv4_payload(BODY, **ADDRESSES))
    assert frame.to_bytes() == bytes(built)


@pytest.mark.parametrize("ttl", [64, 2, 1])
@pytest.mark.parametrize("dst", ["10.104.1.255", "255.255.255.254", "0.0.0.1"])
@pytest.mark.parametrize("length", [0, 1, 46, 1400])
def test_ipv4_forwarded(ttl, dst, length):
    """TTL one less and the checksum that scapy computes; nothing else changes."""
    inner = UDP(sport=9, dport=9, chksum=0) / Raw(b"x" * length)
    before = IP(src="10.104.0.2", dst=dst, ttl=ttl, flags="DF", id=0) / inner
    after = IP(src="10.104.0.2", dst=dst, ttl=ttl - 1, flags="DF", id=0) / inner
    assert ipv4_forwarded(bytes(before)) == bytes(after)


def test_ipv4_destination():
    assert ipv4_destination(ipv4_payload(BODY, **ADDRESSES)) == "10.104.1.255"


@pytest.mark.parametrize("kind", Kind)
def test_payload_begins_with_magic_kind_and_ident(kind):
    """Ident little-endian; padded to the 46 bytes of the shortest Ethernet frame."""
    made = payload(kind, 0x01020304)
    assert made == b"hpin" + bytes([kind, 0, 0, 0, 4, 3, 2, 1]) + bytes(34)


def test_magic_stands_where_idents_are_counted_from():
    assert (MAGIC, IDENT_AT) == (b"hpin", 8)


def test_kinds_cannot_be_taken_for_each_other():
    assert sorted(kind.value for kind in Kind) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(Frame(DST, SRC, payload=BODY), id="untagged"),
        pytest.param(Frame(DST, SRC, payload=BODY, tags=(Tag(5),)), id="tagged"),
        pytest.param(Frame(DST, SRC, payload=BODY, tags=(Tag(5), Tag(6))), id="tagged twice"),
        pytest.param(Frame(DST, SRC, ETHERTYPE_IPV4, ipv4_payload(BODY, **ADDRESSES)), id="ipv4"),
        pytest.param(
            Frame(DST, SRC, ETHERTYPE_IPV4, ipv4_payload(BODY, **ADDRESSES), (Tag(5),)),
            id="ipv4, tagged",
        ),
    ],
)
def test_ident_offset_points_at_the_ident(frame):
    at = ident_offset(frame)
    assert frame.to_bytes()[at : at + 4] == b"\x04\x03\x02\x01"


def test_experimental_ethertype_by_default():
    assert Frame(DST, SRC).ethertype == ETHERTYPE_EXPERIMENTAL == 0x88B5


def test_tagged_puts_the_tag_outside():
    frame = Frame(DST, SRC, tags=(Tag(1),)).tagged(Tag(2))
    assert frame.tags == (Tag(2), Tag(1))


def test_untagged_takes_the_outer_tag_only():
    assert Frame(DST, SRC, tags=(Tag(2), Tag(1))).untagged().tags == (Tag(1),)


def test_untagged_of_an_untagged_frame():
    frame = Frame(DST, SRC, payload=BODY)
    assert frame.untagged() == frame
