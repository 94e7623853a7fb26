"""The agent's wire: what goes in comes out, and whatever is broken in between does no more harm."""

import random

import pytest

from harness.guests.tiny.wire import (
    LONGEST,
    Message,
    Receiver,
    WireError,
    encode,
    pack,
    unpack,
)

OLD, NEW = b"old-one.", b"new-one."
DELIMITERS = b"\xc0\xdb\xdc\xdd" * 3


def message(number=1, session=NEW, **fields):
    return Message(session, number, "read", fields)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -(2**63),
        2**63 - 1,
        1.5,
        "",
        "grün",
        "\udcff",
        b"",
        bytes(range(256)),
        [],
        [1, [b"x", None]],
        {},
        {"a": {"b": [True, "c"]}},
    ],
    ids=repr,
)
def test_values(value):
    """Every type comes back as it was, and as the type it was."""
    back = unpack(pack(value))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(2**63, id="65-bits"),
        pytest.param({1, 2}, id="a-set"),
        pytest.param([[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]], id="too-deep"),
    ],
)
def test_values_that_cannot_be_sent(value):
    with pytest.raises(WireError):
        pack(value)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"i123", b"s\0\0\0\5abc", b"l\xff\xff\xff\xff", b"nn", b"l\0\0\0\1" * 50]
)
def test_bytes_that_are_no_value(data):
    with pytest.raises(WireError):
        unpack(data)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_in_pieces(size):
    """However the stream is cut, the messages are the same."""
    sent = [message(i, frames=[DELIMITERS, bytes([i])]) for i in range(20)]
    stream = b"".join(map(encode, sent))
    receiver = Receiver()
    pieces = (stream[i : i + size] for i in range(0, len(stream), size))
    assert [m for piece in pieces for m in receiver.feed(piece)] == sent
    assert receiver.dropped == 0


@pytest.mark.parametrize("cut", range(1, len(encode(message(data=DELIMITERS))) - 1, 3))
def test_half_a_message(cut):
    """What another began and did not end costs nothing but itself."""
    receiver = Receiver()
    assert receiver.feed(encode(message(session=OLD, data=DELIMITERS))[:cut]) == []
    assert receiver.feed(encode(message(2))) == [message(2)]
    assert receiver.dropped == (cut > 1)


def test_the_end_of_a_message():
    """Nor does one whose beginning nobody heard."""
    receiver = Receiver()
    assert receiver.feed(encode(message(data=b"x" * 50))[20:] + encode(message(2))) == [message(2)]
    assert receiver.dropped == 1


def test_garbled():
    """After any noise and any change of a byte, the next message is whole again."""
    draw = random.Random(5)
    for _ in range(500):
        receiver = Receiver()
        broken = bytearray(encode(message(data=draw.randbytes(30) + DELIMITERS)))
        broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        receiver.feed(draw.randbytes(draw.randrange(100)) + bytes(broken))
        assert receiver.feed(encode(message(2)))[-1:] == [message(2)]


def test_too_long():
    """What is longer than any message is not kept in memory, and what follows is heard."""
    with pytest.raises(WireError, match="longest"):
        encode(message(data=bytes(LONGEST)))
    receiver = Receiver()
    for _ in range(20):
        receiver.feed(bytes(LONGEST // 4))
    assert sum(map(len, receiver._parts)) <= 2 * LONGEST
    assert receiver.feed(encode(message(2))) == [message(2)]


def test_another_version():
    """A message of another version of the protocol is none."""
    changed = bytearray(encode(message()))
    changed[1] = 2
    receiver = Receiver()
    assert receiver.feed(bytes(changed)) == []
    assert receiver.dropped == 1
