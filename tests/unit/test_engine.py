"""The frame engine over a pipe: frames go in at one end and come out at the other.

sender ==> [pipe, packet by packet] ==> receiver
"""

import errno
import fcntl
import os

import pytest

from harness.kernel.engine import (
    FrameSpec,
    Pool,
    ReadReceiver,
    UringReceiver,
    UringSender,
    WriteSender,
    make_receiver,
    make_sender,
)
from harness.kernel.engine.choice import uring_works
from harness.kernel.engine.uring import OP_READ, OP_WRITE, RWF_NOWAIT, Uring
from harness.kernel.syscalls import address_of

SPEC = FrameSpec((b"\2" * 6,), (b"\4" * 6,), length=60)
SLOTS = 16  # frames in the pool, and in the pipe

needs_uring = pytest.mark.skipif(not uring_works(), reason="io_uring is not allowed here")
senders = pytest.mark.parametrize(
    "sender_type", [WriteSender, pytest.param(UringSender, marks=needs_uring)]
)
receivers = pytest.mark.parametrize(
    "receiver_type", [ReadReceiver, pytest.param(UringReceiver, marks=needs_uring)]
)


@pytest.fixture
def pipe():
    """Reading and writing end of a pipe that keeps frames apart and holds SLOTS of them."""
    reader, writer = os.pipe2(os.O_DIRECT | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, SLOTS * 4096)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def received(receiver):
    total = 0
    while got := receiver.receive():
        total += got
    return total


@senders
@receivers
def test_carried(pipe, sender_type, receiver_type):
    """As many as were sent, batch by batch round the pool, the last one's number behind each."""
    reader, writer = pipe
    with (
        sender_type(writer, Pool.of(SPEC, SLOTS)) as sender,
        receiver_type(reader, 60, number_at=SPEC.number_at) as receiver,
    ):
        for count, last in [(1, 0), (16, 0), (5, 5), (16, 5), (10, 15), (3, 2)]:
            sender.send(count)
            assert received(receiver) == count
            assert receiver.last == last
        assert sender.refused == 0


@senders
def test_no_room(pipe, sender_type):
    """What finds the queue full is counted, and what is sent goes on with the frame behind it."""
    reader, writer = pipe
    with (
        sender_type(writer, Pool.of(SPEC, SLOTS)) as sender,
        make_receiver(reader, 60, number_at=SPEC.number_at) as receiver,
    ):
        sender.send(12)
        sender.send(8)
        assert sender.refused == 4
        assert received(receiver) == SLOTS
        sender.send(1)
        received(receiver)
        assert receiver.last == 20 % SLOTS


@senders
def test_nobody_there(sender_type):
    """An end that is gone is an error, not a frame without room."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.close(reader)
    with sender_type(writer, Pool.of(SPEC, SLOTS)) as sender, pytest.raises(OSError) as caught:
        sender.send(2)
    os.close(writer)
    assert caught.value.errno == errno.EPIPE


@receivers
def test_stamps(pipe, receiver_type):
    """Time of sending, where there is one; a receiver that reads one by one has the last."""
    reader, writer = pipe
    pool = Pool.of(SPEC, SLOTS)
    options = {"stamped": True} if receiver_type is UringReceiver else {}
    with (
        make_sender(writer, pool) as sender,
        receiver_type(reader, 60, number_at=SPEC.number_at, **options) as receiver,
    ):
        pool.stamp(2, 777)
        sender.send(3)
        assert receiver.receive() == 3
        expected = [0, 0, 777] if options else [777]
        assert receiver.stamps() == expected


@receivers
def test_wait(pipe, receiver_type):
    reader, writer = pipe
    with (
        make_sender(writer, Pool.of(SPEC, SLOTS)) as sender,
        receiver_type(reader, 60, number_at=SPEC.number_at) as receiver,
    ):
        assert not receiver.wait(0)
        sender.send(1)
        assert receiver.wait(0)


@needs_uring
def test_results_in_order(pipe):
    """Completions come in the order of the requests, round and round the queue."""
    reader, writer = pipe
    data, room = bytearray(b"abcdefgh"), bytearray(8)
    with Uring(4) as uring:
        for slot in range(2):
            uring.prepare(
                slot, OP_WRITE, writer, address_of(data), slot + 1, flags=0, rwf=RWF_NOWAIT
            )
        for slot in (2, 3):
            uring.prepare(slot, OP_READ, reader, address_of(room), 8, flags=0, rwf=RWF_NOWAIT)
        assert uring.results() == []
        for _ in range(9):
            uring.submit(4)
            assert uring.results() == [1, 2, 1, 2]
        uring.close()  # idempotent
