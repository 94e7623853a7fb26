"""Short, bad and odd reads and writes, with and without a virtio-net header.

a [tap]--.
         lower        both in bridge mode: delivered directly
b [tap]--'
"""

import errno
from dataclasses import replace

import pytest

from harness import Frame, Guest, Mode, Tag, Topology
from harness.kernel.counters import link_counters, moved
from harness.kernel.gso import LargeFrame, arrival, differences
from harness.kernel.taps import Offload
from harness.kernel.vnet import GSO_ECN, Gso, VnetHeader

PAIR = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)])
A, B = PAIR.macs["a"], PAIR.macs["b"]
LARGE = LargeFrame(B, A, Gso.TCPV4)
ASKED = LARGE.header
PLAIN = Frame(B, A, payload=bytes(range(100)))
TAGGED = PLAIN.tagged(Tag(5))
LAST = Frame(B, A, payload=b"last").to_bytes()
DROPPED = {"a": {"tx_dropped": 1}}

# What is written, by bytes of header.
BAD = {
    "nothing at all": (0, b""),
    "a byte less than Ethernet": (0, PLAIN.to_bytes()[:13]),
    "nothing, not even a header": (10, b""),
    "a byte less than the header": (10, bytes(9)),
    "ten bytes of twelve": (12, bytes(10)),
    "a header and no frame": (10, bytes(10)),
    "a header, a byte less than Ethernet": (12, bytes(12) + PLAIN.to_bytes()[:13]),
    "gso_type 2": (10, replace(ASKED, gso_type=2).pack() + LARGE.frame),
    "gso_type 6": (10, replace(ASKED, gso_type=6).pack() + LARGE.frame),
    "gso_type 127": (12, replace(ASKED, gso_type=127).pack(12) + LARGE.frame),
    "ECN of nothing": (10, replace(ASKED, gso_type=GSO_ECN).pack() + LARGE.frame),
    "gso_size 0": (10, replace(ASKED, gso_size=0).pack() + LARGE.frame),
    "hdr_len beyond the frame": (10, replace(ASKED, hdr_len=5000).pack() + LARGE.frame),
    "csum_start beyond the frame": (10, replace(ASKED, csum_start=5000).pack() + LARGE.frame),
    "csum_offset beyond the frame": (10, replace(ASKED, csum_offset=5000).pack() + LARGE.frame),
}


@pytest.mark.parametrize(("header", "data"), BAD.values(), ids=BAD)
def test_bad_write(taps, header, data):
    """EINVAL, one more tx_dropped, and nothing arrives (tap_get_user, virtio_net_hdr_to_skb)."""
    bed = taps(PAIR)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    before = link_counters(bed.wiring.host)
    with a.configured(vnet_header=header), pytest.raises(OSError) as refused:
        a.write(data)
    counted = moved(before, link_counters(bed.wiring.host))
    a.write(LAST)
    seen = (refused.value.errno, counted, b.read_up_to(LAST))
    assert seen == (errno.EINVAL, DROPPED, []), "tap_get_user, drivers/net/tap.c"


@pytest.mark.parametrize("length", [14, 15, 59, 60])
def test_short_frame(taps, length):
    """From an Ethernet header on everything passes, and nobody pads it."""
    bed = taps(PAIR)
    frame = PLAIN.to_bytes()[:length]
    bed.endpoints["a"].tap.write(frame)
    bed.endpoints["a"].tap.write(LAST)
    assert bed.endpoints["b"].tap.read_up_to(LAST) == [frame], "tap_get_user, ETH_HLEN"


@pytest.mark.parametrize("receiver", [10, 11, 12, 20, 64])
@pytest.mark.parametrize("sender", [10, 12, 33])
def test_header_sizes(taps, sender, receiver):
    """The frame begins behind as many bytes as each end has asked for (TUNSETVNETHDRSZ)."""
    bed = taps(PAIR)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    takes = Offload.CSUM | Offload.TSO4
    with a.configured(vnet_header=sender), b.configured(vnet_header=receiver, offloads=takes):
        a.write(ASKED.pack(sender) + LARGE.frame)
        a.write(bytes(sender) + LAST)
        seen = [arrival(data, receiver) for data in b.read_up_to(LAST)]
    assert differences(seen, LARGE.whole()) == [], "tap_get_user, tap_put_user"


def test_header_length_is_a_hint(taps):
    """hdr_len covers at least the headers, and at most the frame (virtio_net_hdr_from_skb)."""
    bed = taps(PAIR)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    takes = Offload.CSUM | Offload.TSO4
    with a.configured(vnet_header=10), b.configured(vnet_header=10, offloads=takes):
        a.write(ASKED.pack() + LARGE.frame)
        a.write(bytes(10) + LAST)
        (data,) = b.read_up_to(LAST)
    assert ASKED.hdr_len <= VnetHeader.unpack(data).hdr_len <= len(LARGE.frame)


@pytest.mark.parametrize(
    ("big_endian", "by_decree"),
    [
        pytest.param(False, "set_vnet_le", id="TUNSETVNETLE"),
        pytest.param(True, "set_vnet_be", id="TUNSETVNETBE"),
    ],
)
def test_byte_order(taps, big_endian, by_decree):
    """Lengths and offsets in the header are read in the order that was set, at each end."""
    bed = taps(PAIR)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    try:
        getattr(a, by_decree)(on=True)
    except OSError:
        assert big_endian, "every kernel knows TUNSETVNETLE"
        pytest.skip("this kernel was built without CONFIG_TUN_VNET_CROSS_LE")
    try:
        with a.configured(vnet_header=10), b.configured(vnet_header=10):
            a.write(ASKED.pack(big_endian=big_endian) + LARGE.frame)
            a.write(bytes(10) + LAST)
            seen = [arrival(data, 10) for data in b.read_up_to(LAST)]
    finally:
        getattr(a, by_decree)(on=False)
    assert differences(seen, LARGE.cut((), checksums_open=False)) == [], "tap_is_little_endian"


# ---------------------------------------------------------------------- reading


@pytest.mark.parametrize("size", [1, 13, 14, 60, 113, 114, 115])
def test_truncated_read(taps, size):
    """A short buffer gets what it holds; the rest is lost, the next read has the next frame."""
    bed = taps(PAIR)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    a.write(PLAIN.to_bytes())
    a.write(LAST)
    assert b.wait(5)
    assert [b.read(size), b.read()] == [PLAIN.to_bytes()[:size], LAST], "tap_do_read"


@pytest.mark.parametrize(
    ("size", "said"), [(11, 11), (12, 12), (14, 2), (16, 4), (17, 17), (118, 118), (200, 118)]
)
def test_truncated_read_of_a_tagged_frame(taps, size, said):
    """A buffer that ends within the tag, or with it: the answer counts the tag's bytes alone.

    tap_put_user returns what copy_to_iter has said of the tag when there is no room behind it.
    """
    bed = taps(PAIR)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    a.write(TAGGED.to_bytes())
    a.write(LAST)
    assert b.wait(5)
    assert [b.read(size), b.read()] == [TAGGED.to_bytes()[:said], LAST], "tap_put_user"


@pytest.mark.parametrize("size", [1, 9, 11])
def test_buffer_shorter_than_the_header(taps, size):
    """EINVAL, and the frame is gone (tap_put_user; tap_do_read frees it)."""
    bed = taps(PAIR)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    with b.configured(vnet_header=12):
        a.write(PLAIN.to_bytes())
        a.write(LAST)
        assert b.wait(5)
        with pytest.raises(OSError) as refused:
            b.read(size)
        # The two bytes behind the first ten are not the same on every kernel.
        assert (refused.value.errno, b.read()[12:]) == (errno.EINVAL, LAST), "tap_put_user"


def test_header_alone(taps):
    """A buffer for the header only: the header, and the frame is lost."""
    bed = taps(PAIR)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    with b.configured(vnet_header=10):
        a.write(PLAIN.to_bytes())
        a.write(LAST)
        assert b.wait(5)
        assert [b.read(10), b.read()] == [bytes(10), bytes(10) + LAST], "tap_put_user"


def test_empty_read(taps):
    """Reading into nothing reads nothing, and loses nothing (tap_do_read)."""
    bed = taps(PAIR)
    b = bed.endpoints["b"].tap
    bed.endpoints["a"].tap.write(LAST)
    assert b.wait(5)
    assert [b.read(0), b.read()] == [b"", LAST], "tap_do_read"
