"""Frames laid out in memory: what each bears, and where."""

import struct

import pytest

from harness.kernel.engine import FrameSpec, Pool

HERE, THERE, ELSEWHERE = (bytes((2, 0, 0, 0, 0, n)) for n in (1, 2, 3))


def spec(**parts):
    return FrameSpec(**{"targets": (THERE,), "sources": (HERE,)} | parts)


@pytest.mark.parametrize("length", [60, 1514, 9014])
@pytest.mark.parametrize("header", [b"", bytes(12)], ids=["plain", "virtio-net"])
def test_slot(length, header):
    """Header, addresses, experimental ethertype; the number of the slot, and no stamp."""
    pool = Pool.of(spec(length=length, header=header), 8)
    frame = bytes(pool.frame(5))
    assert frame.startswith(header + THERE + HERE + b"\x88\xb5")
    assert len(frame) == len(header) + length
    assert struct.unpack_from("=IQ", frame, len(header) + 44) == (5, 0)


def test_slots_do_not_overlap():
    """A number or stamp that is written concerns its own slot only."""
    pool = Pool.of(spec(length=60), 4)
    before = [bytes(pool.frame(slot)) for slot in range(4)]
    pool.set_number(1, 99)
    pool.stamp(1, 1 << 60)
    after = [bytes(pool.frame(slot)) for slot in range(4)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True, True]
    assert struct.unpack_from("=IQ", after[1], 44) == (99, 1 << 60)


def test_addresses_take_turns():
    pool = Pool.of(spec(targets=(THERE, ELSEWHERE), sources=(HERE, THERE, ELSEWHERE)), 6)
    seen = [bytes(pool.frame(slot)[:12]) for slot in range(6)]
    assert seen == [
        THERE + HERE,
        ELSEWHERE + THERE,
        THERE + ELSEWHERE,
        ELSEWHERE + HERE,
        THERE + THERE,
        ELSEWHERE + ELSEWHERE,
    ]


def test_flows_are_udp_from_different_ports():
    """So that a receiver with several queues spreads them; the IPv4 checksum is right."""
    pool = Pool.of(spec(length=100, flows=3), 4)
    frames = [bytes(pool.frame(slot)) for slot in range(4)]
    ports = [struct.unpack_from("!H", frame, 34)[0] for frame in frames]
    assert ports == [1024, 1025, 1026, 1024]
    for frame in frames:
        assert frame[12:14] == b"\x08\x00"
        total = sum(struct.unpack("!10H", frame[14:34]))
        assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
        assert struct.unpack_from("!H", frame, 16)[0] == 86
        assert struct.unpack_from("!H", frame, 38)[0] == 66


def test_body_is_sent_as_it_is():
    """But for the number, behind Ethernet, IPv4 and TCP."""
    body = bytes(range(256)) * 4
    pool = Pool.of(spec(body=body, header=b"h" * 12), 2)
    frame = bytes(pool.frame(1))
    assert frame[:12] == b"h" * 12
    assert struct.unpack_from("=I", frame, 12 + 56) == (1,)
    assert frame[12 : 12 + 56] == body[:56]
    assert frame[12 + 60 :] == body[60:]
