"""Large frames and their segments, held against scapy's; and that the comparison can fail."""

from dataclasses import replace
from itertools import pairwise

import pytest

from harness import Tag
from harness.kernel.gso import LargeFrame, arrival, differences
from harness.kernel.vnet import NEEDS_CSUM, Gso, VnetHeader

DST, SRC = "02:68:70:01:00:02", "02:68:70:01:00:01"
FRAMES = {
    "tcp4": LargeFrame(DST, SRC, Gso.TCPV4),
    "tcp4, ecn": LargeFrame(DST, SRC, Gso.TCPV4, ecn=True),
    "tcp4, tagged": LargeFrame(DST, SRC, Gso.TCPV4, tag=Tag(5)),
    "tcp6": LargeFrame(DST, SRC, Gso.TCPV6, ipv6=True),
    "uso4": LargeFrame(DST, SRC, Gso.UDP_L4),
    "uso6": LargeFrame(DST, SRC, Gso.UDP_L4, ipv6=True),
    "checksum": LargeFrame(DST, SRC, tcp=True, length=999),
    "ufo4": LargeFrame(DST, SRC, Gso.UDP),
    "ufo6": LargeFrame(DST, SRC, Gso.UDP, ipv6=True),
}


def _rebuilt(frame):
    """The frame as scapy writes it when it fills in lengths and checksums itself."""
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    packet = Ether(frame)
    for layer in (IP, TCP, UDP):
        if layer in packet:
            del packet[layer].chksum
    for layer, field in ((IP, "len"), (IPv6, "plen"), (UDP, "len")):
        if layer in packet:
            delattr(packet[layer], field)
    return bytes(packet)


@pytest.mark.parametrize("large", [x for x in FRAMES.values() if x.gso is not Gso.UDP], ids=str)
def test_scapy_fills_in_the_same(large):
    """Lengths and checksums of every segment, and of the frame once it is finished."""
    for frame in (*large.segments, large.whole()[0][1]):
        assert _rebuilt(frame) == frame


@pytest.mark.parametrize("large", [FRAMES["ufo4"], FRAMES["ufo6"]], ids=["ufo4", "ufo6"])
def test_scapy_puts_fragments_together(large):
    """Fragments give the datagram again, its checksum complete."""
    from scapy.layers.inet import IP, UDP, defragment
    from scapy.layers.inet6 import IPv6, defragment6
    from scapy.layers.l2 import Ether

    packets = [Ether(frame) for frame in large.segments]
    if large.ipv6:
        whole = IPv6(bytes(defragment6([packet[IPv6] for packet in packets])))
    else:
        whole = IP(bytes(defragment(packets)[0][IP]))
    assert bytes(whole[UDP].payload) == large.payload
    blank = whole.copy()
    del blank[UDP].chksum
    assert type(whole)(bytes(blank))[UDP].chksum == whole[UDP].chksum


@pytest.mark.parametrize("large", [FRAMES["tcp4"], FRAMES["tcp6"]], ids=["tcp4", "tcp6"])
def test_stream(large):
    """Sequence numbers go on where the last segment ended, across the wrap; payload is whole."""
    from scapy.layers.inet import TCP
    from scapy.layers.l2 import Ether

    segments = [Ether(frame)[TCP] for frame in large.segments]
    assert b"".join(bytes(s.payload) for s in segments) == large.payload
    assert all((y.seq - x.seq) % 2**32 == len(x.payload) for x, y in pairwise(segments))
    assert any(y.seq < x.seq for x, y in pairwise(segments))
    assert [s.flags.P for s in segments] == [False] * 3 + [True]


@pytest.mark.parametrize("large", FRAMES.values(), ids=FRAMES)
def test_a_flipped_bit_is_found(large):
    """Anywhere in any segment; and one segment too few, or a header that is another."""
    right = large.cut(large.segments, checksums_open=False)
    assert differences(right, right) == []
    for number, (header, frame) in enumerate(right):
        for at in (0, 13, 16, 18, 24, 40, 50, len(frame) - 1):
            wrong = bytearray(frame)
            wrong[at] ^= 0x10
            seen = [*right[:number], (header, bytes(wrong)), *right[number + 1 :]]
            assert differences(seen, right)[0].startswith(f"frame {number}, from byte {at}: ")
    assert differences(right[1:], right)
    assert differences([(VnetHeader(flags=NEEDS_CSUM), right[0][1]), *right[1:]], right)


def test_an_unfinished_checksum_is_finished():
    """As the header asks, and only then."""
    large = FRAMES["checksum"]
    asked = arrival(large.header.pack(12) + large.frame, 12)
    assert differences([asked], large.whole()) == []
    assert asked[1] == large.segments[0]
    unasked = arrival(VnetHeader().pack(12) + large.frame, 12)
    assert differences([(asked[0], unasked[1])], large.whole())


@pytest.mark.parametrize("big_endian", [False, True])
def test_header_round_trip(big_endian):
    """Ten bytes, or more with zeros behind them."""
    header = replace(FRAMES["tcp4"].header, hdr_len=0x1234)
    packed = header.pack(12, big_endian=big_endian)
    assert len(packed) == 12
    assert packed[2:4] == (b"\x12\x34" if big_endian else b"\x34\x12")
    assert VnetHeader.unpack(packed, big_endian=big_endian) == header
