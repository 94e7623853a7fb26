"""A pcapng file read back by scapy: interfaces, comments, times, directions, bytes."""

import io

import pytest

from harness.pcapng import Captured, Interface, pcapng

MOMENT = 1_700_000_000_123_456_789  # nanoseconds
INBOUND, OUTBOUND = 1, 2


def read(data):
    """The frames with their metadata, and the interfaces' options."""
    from scapy.utils import RawPcapNgReader

    reader = RawPcapNgReader(io.BytesIO(data))
    frames = []
    while True:
        try:
            frames.append(reader._read_packet())
        except EOFError:
            return frames, [options for _, _, options in reader.interfaces]


def test_an_interface_on_which_nothing_was_seen_is_there():
    frames, interfaces = read(pcapng([Interface("a"), Interface("lower.out", "the wire")], []))
    assert frames == []
    assert [options["name"] for options in interfaces] == [b"a", b"lower.out"]


def test_an_interface_has_its_comment():
    _, (interface,) = read(pcapng([Interface("a", comment="✗ nothing\nat all")], []))
    assert interface["comment"] == "✗ nothing\nat all".encode()


@pytest.mark.parametrize("length", [60, 61, 62, 63, 1514])
def test_a_frame_comes_back_with_everything(length):
    frame = bytes(i % 251 for i in range(length))
    given = Captured(1, MOMENT, frame, "stimulus a → b", outbound=True)
    ((data, about),), _ = read(pcapng([Interface("a"), Interface("b")], [given]))
    assert data == frame
    assert about.wirelen == length
    assert about.ifname == b"b"
    assert about.comments == ["stimulus a → b".encode()]
    assert about.direction == OUTBOUND
    assert about.linktype == 1
    assert ((about.tshigh << 32) + about.tslow, about.tsresol) == (MOMENT, 10**9)


def test_frames_keep_their_order():
    given = [Captured(0, MOMENT, bytes([i]) * 60, "") for i in range(5)]
    frames, _ = read(pcapng([Interface("a")], given))
    assert [data[0] for data, _ in frames] == [0, 1, 2, 3, 4]
    assert {about.direction for _, about in frames} == {INBOUND}


def test_a_comment_too_long_for_its_field_is_cut_between_characters():
    """The length of an option is a 16-bit number; → takes three bytes."""
    ((_, about),), _ = read(pcapng([Interface("a")], [Captured(0, MOMENT, bytes(60), "→" * 30000)]))
    (comment,) = about.comments
    assert comment.decode() == "→" * (0xFFFF // 3)
