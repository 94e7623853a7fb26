"""The frame engine against live descriptors: what is sent is what is counted.

a [tap]--.                       a [packet socket]---.
         lower (bridge mode)                         bridge
b [tap]--'                       b [packet socket]---'
"""

import errno
import os
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from harness.bench.paths import Carrier, PathSpec, Way, loop_path, open_path
from harness.errors import UnfitError
from harness.kernel.engine import (
    BlockReceiver,
    FrameSpec,
    Pool,
    ReadReceiver,
    RingSender,
    UringReceiver,
    UringSender,
    WriteSender,
)
from harness.kernel.engine.choice import uring_works
from harness.kernel.features import Backend, probe
from harness.kernel.links import set_link
from harness.kernel.privileges import ensure_namespaces

SLOTS = 64
SOL_PACKET, PACKET_STATISTICS, PACKET_QDISC_BYPASS = 263, 6, 20
SENDERS = [WriteSender, UringSender]
RECEIVERS = [ReadReceiver, UringReceiver]
each_sender = pytest.mark.parametrize("sender", SENDERS)
each_receiver = pytest.mark.parametrize("receiver", RECEIVERS)


@pytest.fixture(scope="module", autouse=True)
def _fit():
    ensure_namespaces()
    if probe().backend is not Backend.TAP:
        pytest.skip(f"no taps: {probe().backend_reason}")
    if not uring_works():
        pytest.skip("no io_uring here")
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})  # one backlog: frames keep their order
    yield
    os.sched_setaffinity(0, cpus)


@pytest.fixture(scope="module")
def taps():
    with open_path(PathSpec(queue=100)) as path:
        yield path


@pytest.fixture
def sockets():
    with open_path(PathSpec(carrier=Carrier.BRIDGE_VETH)) as path:
        yield path


@pytest.fixture
def slow(tools):
    """``slow(end, rate)`` puts a queue of three frames in front of a packet socket's link."""

    def put(end, rate):
        tools("tc")
        tbf = ["tbf", "rate", rate, "burst", "2000", "limit", "3000"]
        command = ["tc", "qdisc", "add", "dev", end.link, "root", *tbf]
        end.ns.run(lambda: subprocess.run(command, check=True, capture_output=True))
        end.socket.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 0)

    return put


def pool_for(path, *, slots=SLOTS, length=60):
    return Pool.of(FrameSpec(targets=(path.b.mac,), sources=(path.a.mac,), length=length), slots)


def made(receiver, path, pool, **more):
    return receiver(path.b.fd, pool.length, number_at=pool.number_at, **more)


def empty(path):
    """Read what a failed test has left."""
    while True:
        try:
            os.read(path.b.fd, 65536)
        except BlockingIOError:
            return


# ---------------------------------------------------------------------- taps


@each_sender
@each_receiver
def test_counts_and_numbers(taps, sender, receiver):
    """Batches of every size, round and round the pool: all arrive, the last one is known."""
    empty(taps)
    pool = pool_for(taps)
    with sender(taps.a.fd, pool) as tx, made(receiver, taps, pool) as rx:
        assert rx.receive() == 0
        sent = 0
        for count in (1, 2, 3, 5, 31, 32, 33, 63, 64, 1, 64, 17):
            tx.send(count)
            sent += count
            assert tx.at == sent % SLOTS
            assert rx.wait(1)
            found = 0
            while several := rx.receive():
                found += several
            assert found == count
            assert rx.last == (sent - 1) % SLOTS
        assert tx.refused == 0
        assert not rx.wait(0)


@each_sender
def test_frames_are_the_pools(taps, sender):
    """Every byte of every slot, in order."""
    empty(taps)
    pool = pool_for(taps, length=1514)
    with sender(taps.a.fd, pool) as tx:
        tx.send(SLOTS)
    assert [os.read(taps.b.fd, 2048) for _ in range(SLOTS)] == [
        bytes(pool.frame(slot)) for slot in range(SLOTS)
    ]


@each_sender
def test_stamps(taps, sender):
    """What is stamped into a slot comes out with it, and only there."""
    empty(taps)
    pool = pool_for(taps)
    with sender(taps.a.fd, pool) as tx, made(UringReceiver, taps, pool, stamped=True) as rx:
        pool.stamp(0, 123)
        pool.stamp(2, 456)
        tx.send(4)
        assert rx.receive() == 4
        assert rx.stamps() == [123, 0, 456, 0]
        assert rx.last == 3
        assert rx.receive() == 0
        assert rx.stamps() == []
        pool.stamp(2, 0)
        tx.send(SLOTS - 1)  # past the end of the pool, and of the receiver's reads
        found, stamps = 0, []
        while several := rx.receive():
            found += several
            stamps += rx.stamps()
        assert (found, stamps) == (63, [0] * 60 + [123, 0, 0])


@each_sender
@each_receiver
def test_full_queue(taps, sender, receiver):
    """A tap's writer is never told that the receiver's queue was full: the rest is gone."""
    empty(taps)
    pool = pool_for(taps)
    with sender(taps.a.fd, pool) as tx, made(receiver, taps, pool) as rx:
        for _ in range(4):
            tx.send(SLOTS)
        assert tx.refused == 0
        found = 0
        while several := rx.receive():
            found += several
        assert taps.queue - 15 <= found <= taps.queue


@each_receiver
def test_a_receiver_that_cannot_keep_up_comes_back(receiver):
    """Receiving is bounded, however much there is: the clock must be looked at."""
    with open_path(PathSpec(queue=100_000)) as path:
        pool = pool_for(path)
        with WriteSender(path.a.fd, pool) as tx, made(receiver, path, pool) as rx:
            for _ in range(200):
                tx.send(SLOTS)
            assert 0 < rx.receive() <= 4096


@each_sender
def test_an_error_is_raised(taps, sender):
    """EINVAL, a frame shorter than its header: neither counted nor passed over."""
    pool = Pool([b"short" + bytes(4)] * SLOTS, number_at=0)
    with sender(taps.a.fd, pool) as tx, pytest.raises(OSError) as refused:
        tx.send(2)
    assert refused.value.errno == errno.EINVAL


@pytest.mark.parametrize("slots", [0, 3, 100])
def test_io_uring_wants_a_power_of_two(taps, slots):
    """Its queue would go round another way than the pool."""
    with pytest.raises(ValueError, match="power of two"):
        UringSender(taps.a.fd, Pool([bytes(60)] * max(slots, 1), number_at=44)) if slots else (
            UringReceiver(taps.b.fd, 60, number_at=44, slots=slots)
        )


@pytest.mark.parametrize("kind", [*SENDERS, *RECEIVERS])
def test_closing_twice(taps, kind):
    """It gives back what it made, once, and leaves the descriptor open."""
    empty(taps)
    before = len(list(Path("/proc/self/fd").iterdir()))
    pool = pool_for(taps)
    maker = kind(taps.a.fd, pool) if kind in SENDERS else made(kind, taps, pool)
    maker.close()
    maker.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    os.fstat(taps.a.fd)
    os.fstat(taps.b.fd)


# ---------------------------------------------------------------------- pipes


@pytest.mark.parametrize("length", [60, 1514, 4096, 9014, 65549])
@each_sender
@each_receiver
def test_pipe(sender, receiver, length):
    """A pipe holds `queue` frames, gives each as it was, and refuses the next."""
    with loop_path(length) as path:
        pool = pool_for(path, slots=256, length=length)
        with sender(path.a.fd, pool) as tx, made(receiver, path, pool) as rx:
            for last in (path.queue - 1, (2 * path.queue - 1) % 256):
                tx.send(path.queue)
                assert tx.refused == 0
                found = 0
                while several := rx.receive():
                    found += several
                assert found == path.queue
                assert rx.last == last
            if length <= 4096:
                tx.send(path.queue)
                tx.send(10)
                assert tx.refused == 10


# ---------------------------------------------------------------------- packet sockets


@each_sender
@each_receiver
def test_packet_sockets(sockets, sender, receiver):
    """A packet socket is sent to and received from like a tap."""
    pool = pool_for(sockets)
    with sender(sockets.a.fd, pool) as tx, made(receiver, sockets, pool) as rx:
        for _ in range(10):
            tx.send(SLOTS)
        found = 0
        while several := rx.receive():
            found += several
        assert (found, rx.last, tx.refused) == (640, SLOTS - 1, 0)


@each_receiver
def test_a_link_that_goes_down_is_an_error(sockets, receiver):
    """ENETDOWN is raised, and is no frame."""
    pool = pool_for(sockets)
    link = sockets.b.link
    index = sockets.b.ns.run(lambda: socket.if_nametoindex(link))
    with made(receiver, sockets, pool) as rx:
        sockets.b.ns.rtnl.transact([set_link(link, index=index, up=False)])
        with pytest.raises(OSError) as down:
            rx.receive()
        assert down.value.errno == errno.ENETDOWN


@each_sender
def test_no_room_at_the_qdisc_is_counted(sockets, slow, sender):
    """ENOBUFS, for a queue in front of the link that is full, is passed over and counted."""
    slow(sockets.a, "8kbit")
    pool = pool_for(sockets, length=1000)
    with sender(sockets.a.fd, pool) as tx, made(UringReceiver, sockets, pool) as rx:
        tx.send(SLOTS)
        assert SLOTS - 10 < tx.refused < SLOTS
        assert 0 < rx.receive() <= SLOTS - tx.refused


@each_sender
def test_no_room_at_the_socket_is_counted(sender):
    """EAGAIN, for a receiver that holds all the sender's buffer, is passed over and counted."""
    with open_path(PathSpec(way=Way.EXTERNAL_TO_GUEST)) as path:
        path.a.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
        pool = pool_for(path)
        with sender(path.a.fd, pool) as tx, made(UringReceiver, path, pool) as rx:
            tx.send(SLOTS)
            assert 0 < tx.refused < SLOTS
            found = 0
            while several := rx.receive():
                found += several
            assert tx.refused + found == SLOTS
            tx.send(1)
            assert rx.receive() == 1


def count_lost(sock):
    """Frames that have found the ring full (struct tpacket_stats_v3: packets, drops, freezes)."""
    return struct.unpack("=III", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12))[1]


@pytest.mark.parametrize("length", [60, 1514])
def test_blocks(sockets, length):
    """TPACKET_V3: everything is counted in order, block after block, and nothing is lost."""
    pool = pool_for(sockets, slots=256, length=length)
    with (
        UringSender(sockets.a.fd, pool) as tx,
        BlockReceiver(sockets.b.socket, length, number_at=pool.number_at, blocks=4) as rx,
    ):
        assert rx.receive() == 0
        assert not rx.wait(0)
        for slot in range(256):
            pool.stamp(slot, slot + 1)
        sent = found = 0
        stamps = []
        for _ in range(40):
            tx.send(256)
            sent += 256
            while found < sent and rx.wait(1):
                several = rx.receive()
                found += several
                stamps += rx.stamps()
        assert found == sent
        assert stamps == [n % 256 + 1 for n in range(sent)]
        assert rx.last == 255
        assert rx.receive() == 0
        assert rx.last == 255
        assert not rx.wait(0)
        assert count_lost(sockets.b.socket) == 0


def test_full_blocks_are_counted(sockets):
    """What finds no block free is counted as lost."""
    pool = pool_for(sockets, slots=256, length=1514)
    with (
        UringSender(sockets.a.fd, pool) as tx,
        BlockReceiver(sockets.b.socket, 1514, number_at=pool.number_at, blocks=2) as rx,
    ):
        for _ in range(20):
            tx.send(256)
        found = 0
        while rx.wait(0.1):
            found += rx.receive()
        assert 0 < found < 20 * 256
        assert count_lost(sockets.b.socket) == 20 * 256 - found


@pytest.mark.parametrize("length", [60, 1514])
def test_transmit_ring(sockets, length):
    """Frames lie in the ring once, and go out of it again and again."""
    pool = pool_for(sockets, slots=256, length=length)
    with (
        RingSender(sockets.a.socket, pool) as tx,
        made(UringReceiver, sockets, pool, stamped=True) as rx,
    ):
        for count in (1, 255, 256, 100, 256, 7):
            tx.send(count)
            found = 0
            while found < count:
                assert rx.wait(1)
                found += rx.receive()
            assert found == count
            assert rx.last == (tx.at - 1) % 256
            assert not rx.wait(0)


def test_transmit_ring_waits(sockets, slow):
    """Where there is no room, the ring's frames wait: none is passed over."""
    slow(sockets.a, "10mbit")
    pool = pool_for(sockets, slots=256)
    with RingSender(sockets.a.socket, pool) as tx, made(UringReceiver, sockets, pool) as rx:
        tx.send(256)
        found = 0
        while found < 256 and rx.wait(1):
            found += rx.receive()
        assert (found, rx.last, tx.refused) == (256, 255, 0)


def test_transmit_ring_bytes(sockets):
    """What goes out of the ring is the pool's, to the byte."""
    pool = pool_for(sockets, length=1514)
    with RingSender(sockets.a.socket, pool) as tx:
        tx.send(SLOTS)
        assert [os.read(sockets.b.fd, 2048) for _ in range(SLOTS)] == [
            bytes(pool.frame(slot)) for slot in range(SLOTS)
        ]


def test_rings_are_given_back(sockets):
    """A socket that had a ring sends and receives as before, and takes another ring."""
    pool = pool_for(sockets)
    for _ in range(2):
        with RingSender(sockets.a.socket, pool) as tx:
            tx.send(1)
        tx.close()
        with BlockReceiver(sockets.b.socket, 60, number_at=pool.number_at) as rx:
            tx = WriteSender(sockets.a.fd, pool)
            tx.send(2)
            assert rx.wait(1)
        rx.close()
    with made(ReadReceiver, sockets, pool) as rx:
        rx.receive()
        tx.send(3)
        assert rx.wait(1)
        assert rx.receive() == 3


def test_transmit_ring_to_a_tap():
    """A tap that is not read holds on to the ring's frames, beyond its end; read, they go round."""
    with open_path(PathSpec(way=Way.EXTERNAL_TO_GUEST)) as path:
        pool = pool_for(path)
        with (
            RingSender(path.a.socket, pool) as tx,
            made(UringReceiver, path, pool) as rx,
        ):
            for _ in range(5):
                tx.send(SLOTS)
                found = 0
                while several := rx.receive():
                    found += several
                assert (found, rx.last) == (SLOTS, SLOTS - 1)
            tx.send(3)
            tx.close()
            assert rx.receive() == 3


# ---------------------------------------------------------------------- vhost-net


@pytest.fixture
def vhost():
    try:
        path = open_path(PathSpec(carrier=Carrier.VHOST, queue=1000))
    except UnfitError as unfit:
        pytest.skip(str(unfit))
    with path:
        yield path


def vhost_pool(path, length=60):
    frames = FrameSpec((path.b.mac,), (path.a.mac,), length=length, header=bytes(path.a.header))
    return Pool.of(frames, SLOTS)


def received(receiver, count):
    """What comes of `count` frames, and their stamps."""
    found, stamps = 0, []
    while found < count and receiver.wait(1):
        found += receiver.receive()
        stamps += receiver.stamps()
    return found, stamps


@pytest.mark.parametrize("length", [60, 1514])
def test_vhost(vhost, length):
    """Counted, in order, round and round both rings; no more than was sent."""
    pool = vhost_pool(vhost, length)
    for slot in range(SLOTS):
        pool.stamp(slot, slot + 1)
    with (
        vhost.a.sender(pool) as tx,
        vhost.b.receiver(pool.length, number_at=pool.number_at) as rx,
    ):
        assert rx.receive() == 0
        sent = 0
        for count in (1, 2, 3, 31, 63, 64, 64, 17) * 20:
            tx.send(count)
            found, stamps = received(rx, count)
            assert found == count
            assert stamps == [(sent + n) % SLOTS + 1 for n in range(count)]
            sent += count
            assert rx.last == (sent - 1) % SLOTS
        assert not rx.wait(0.01)
        assert rx.receive() == 0


def test_vhost_sends_the_pools_bytes(vhost):
    """What vhost-net sends, a tap reads."""
    pool = vhost_pool(vhost, 1514)
    with vhost.a.sender(pool) as tx:
        tx.send(SLOTS)
        tx.flush()
    size = vhost.b.header
    assert [os.read(vhost.b.fd, 2048)[size:] for _ in range(SLOTS)] == [
        bytes(pool.frame(slot))[size:] for slot in range(SLOTS)
    ]


def test_vhost_receives_what_is_written(vhost):
    """What a tap writes, vhost-net receives."""
    pool = vhost_pool(vhost)
    with (
        UringSender(vhost.a.fd, pool) as tx,
        vhost.b.receiver(pool.length, number_at=pool.number_at) as rx,
    ):
        for _ in range(20):
            tx.send(SLOTS)
            assert received(rx, SLOTS)[0] == SLOTS
            assert rx.last == SLOTS - 1


def test_vhost_sender_does_not_run_ahead(vhost):
    """Sending waits for room in the ring; nothing is sent twice, or half."""
    pool = vhost_pool(vhost)
    with (
        vhost.a.sender(pool) as tx,
        vhost.b.receiver(pool.length, number_at=pool.number_at) as rx,
    ):
        for _ in range(15):
            tx.send(SLOTS)
        tx.flush()
        assert received(rx, 15 * SLOTS)[0] == 15 * SLOTS


def test_vhost_closing_twice(vhost):
    """The kernel's thread ends, and nothing is left."""
    before = (
        len(list(Path("/proc/self/fd").iterdir())),
        len(list(Path("/proc/self/task").iterdir())),
    )
    pool = vhost_pool(vhost)
    for made_here in (vhost.a.sender(pool), vhost.b.receiver(100, number_at=56)):
        made_here.close()
        made_here.close()
    after = len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir()))
    assert after == before
