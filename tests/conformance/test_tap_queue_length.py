"""How much a tap's queue holds, what becomes of the rest, and how long a writer may go on.

a [tap]--.
         lower        both in bridge mode: delivered directly
b [tap]--'            nobody reads b at first
"""

import os
import select
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from harness import Frame, Guest, Mode, Topology
from harness.kernel.counters import link_counters, moved
from harness.kernel.gso import LargeFrame
from harness.kernel.links import set_queue_length
from harness.kernel.netns import on_thread
from harness.kernel.taps import Tap
from harness.kernel.vnet import Gso

PAIR = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)])
A, B, OUTSIDE = PAIR.macs["a"], PAIR.macs["b"], PAIR.macs["external"]
SIZE = 60
LAST = Frame(B, A, payload=b"last").to_bytes()
UNLIMITED = 0x7FFFFFFF
CITE = "ptr_ring_produce in tap_handle_frame, macvtap_count_rx_dropped"


def _frame(number, dst=B):
    return Frame(dst, A, payload=number.to_bytes(46, "big")).to_bytes()


@contextmanager
def _length(bed, frames):
    """The txqueuelen of b, for open queues (tap_queue_resize) and for those opened later.

    Their rings are made anew: one that has been read from owes up to 15 places (__ptr_ring_consume
    gives them back by the batch).
    """
    index = bed.wiring.index["b"]

    def change(frames):
        bed.wiring.host.rtnl.transact([set_queue_length("b", index=index, frames=frames)])

    change(frames + 1)
    change(frames)
    try:
        yield change
    finally:
        change(500)


@pytest.fixture
def bed(taps):
    """Both queues empty before and after."""
    bed = taps(PAIR)
    yield bed
    bed.endpoints["b"].tap.drain()


def _counted(bed, before, received):
    """What has moved, once b has counted all: a busy machine leaves the rest to ksoftirqd."""
    give_up = time.monotonic() + 2
    while True:
        counted = moved(before, link_counters(bed.wiring.host))
        if counted.get("b", {}).get("rx_packets") == received or time.monotonic() > give_up:
            return counted


@pytest.mark.parametrize(
    ("length", "sent"),
    [(50, 200), (50, 50), (50, 51), (1, 2), (500, 500), (500, 501), (600, 600), (0, 3)],
)
def test_overflow(bed, length, sent):
    """The first `length` frames wait; the others count as received, as dropped and as errors."""
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    frames = [_frame(number) for number in range(sent)]
    with _length(bed, length):
        before = link_counters(bed.wiring.host)
        for frame in frames:
            a.write(frame)
        counted = _counted(bed, before, sent)
        seen = b.drain()
    kept, dropped = min(length, sent), max(0, sent - length)
    expected = {"rx_packets": sent, "rx_bytes": sent * SIZE}
    if dropped:
        expected |= {"rx_dropped": dropped, "rx_errors": dropped}
    sent_by_a = {"tx_packets": sent, "tx_bytes": sent * SIZE}
    assert counted == {"a": sent_by_a, "b": expected}, CITE
    assert seen == frames[:kept], CITE


def test_room_again(bed):
    """Every frame read makes room for one more."""
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    with _length(bed, 4):
        for number in range(6):
            a.write(_frame(number))
        seen = [b.read(), b.read()]
        for number in range(6, 9):
            a.write(_frame(number))
        seen += b.drain()
    assert seen == [_frame(number) for number in (0, 1, 2, 3, 6, 7)], CITE


def test_shortened(bed):
    """A shorter queue keeps its oldest frames, and counts nothing (ptr_ring_resize_multiple)."""
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    with _length(bed, 20) as change:
        for number in range(20):
            a.write(_frame(number))
        before = link_counters(bed.wiring.host)
        change(5)
        counted = moved(before, link_counters(bed.wiring.host))
        seen = b.drain()
    assert (counted, seen) == ({}, [_frame(number) for number in range(5)]), "tap_queue_resize"


def test_lengthened(bed):
    """A longer one keeps all, in order, and has room."""
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    with _length(bed, 5) as change:
        for number in range(5):
            a.write(_frame(number))
        change(20)
        for number in range(5, 21):
            a.write(_frame(number))
        assert b.drain() == [_frame(number) for number in range(20)], "tap_queue_resize"


def test_length_of_a_new_queue(bed):
    """A queue opened later has the length that the link has now (tap_open)."""
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    with _length(bed, 7), Tap.open(bed.wiring.host, "b") as later:
        for number in range(20):
            a.write(_frame(number))
        lengths = sorted((len(b.drain()), len(later.drain())))
    assert lengths == [0, 7], "tap_open, drivers/net/tap.c"


def test_segments_that_do_not_fit(bed):
    """Of a large frame that is cut the first segments fit, and no counter tells of the rest."""
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    large = LargeFrame(B, A, Gso.TCPV4)
    with _length(bed, 2), a.configured(vnet_header=10):
        before = link_counters(bed.wiring.host)
        a.write(large.header.pack() + large.frame)
        counted = moved(before, link_counters(bed.wiring.host))
        seen = b.drain()
    assert seen == list(large.segments[:2]), "tap_handle_frame"
    assert set(counted["b"]) == {"rx_packets", "rx_bytes"}, "tap_handle_frame"


# ---------------------------------------------------------------------- send buffer


def _fill(a, *, dst=B, limit=10_000):
    """How many frames go in until EAGAIN."""
    for number in range(limit):
        try:
            a.write(_frame(number, dst))
        except BlockingIOError:
            return number
    return limit


@pytest.fixture
def finite(bed):
    """A finite send buffer: some frames fit, far fewer than the queue of b holds."""
    a = bed.endpoints["a"].tap
    a.drain()  # its own POLLIN is not to be taken for more
    a.set_sndbuf(8192)
    yield a
    bed.endpoints["b"].tap.drain()
    a.set_sndbuf(UNLIMITED)


def test_writer_must_wait(bed, finite):
    """What lies unread at the receiver is charged to the writer: EAGAIN, no POLLOUT, no drop.

    sock_alloc_send_pskb; POLLOUT (sock_writeable) goes at half of the buffer.
    """
    b = bed.endpoints["b"].tap
    before = link_counters(bed.wiring.host)
    fitted = _fill(finite)
    ready = finite.ready()
    counted = moved(before, link_counters(bed.wiring.host))["b"]
    assert (1 < fitted < 100, ready, counted["rx_packets"]) == (True, 0, fitted)
    assert len(b.drain()) == fitted


def test_reading_lets_the_writer_go_on(bed, finite):
    """Read frames are uncharged (sock_wfree): POLLOUT again, and as many fit as before."""
    fitted = _fill(finite)
    bed.endpoints["b"].tap.drain()
    assert (finite.ready(), _fill(finite)) == (select.POLLOUT, fitted), "tap_sock_write_space"


@contextmanager
def _blocked_writer(tap):
    """A thread that hangs in write(2), and with it the future of its answer."""
    os.set_blocking(tap.fd, True)
    thread = Future()

    def write():
        thread.set_result(threading.get_native_id())
        return tap.write(LAST)

    writing = on_thread(write)
    call = Path(f"/proc/self/task/{thread.result()}/syscall")
    give_up = time.monotonic() + 5
    while call.read_text().split()[1:2] != [hex(tap.fd)]:  # its first argument
        assert time.monotonic() < give_up, "the writer does not wait"
    try:
        yield writing
    finally:
        os.set_blocking(tap.fd, False)


def test_blocked_writer_is_woken(taps):
    """A blocking writer waits until somebody reads, if POLLOUT was asked for while it was full."""
    bed = taps(PAIR, own=True)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    a.set_sndbuf(8192)
    _fill(a)
    assert not a.ready()
    with _blocked_writer(a) as writing:
        b.drain()
        assert writing.result(5) == len(LAST), "tap_sock_write_space"


def test_blocked_writer_is_forgotten(taps):
    """If POLLOUT was not asked for, nobody wakes the writer but a frame that it receives.

    tap_sock_write_space looks for a bit (SOCKWQ_ASYNC_NOSPACE in the socket's flags) that only
    tap_poll sets; tap_handle_frame wakes who reads and who writes alike.
    """
    bed = taps(PAIR, own=True)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    a.set_sndbuf(8192)
    _fill(a)
    with _blocked_writer(a) as writing:
        b.drain()
        with suppress(FutureTimeoutError):
            writing.result(0.02)
        woken_by_reading = writing.done()
        b.write(Frame(A, B, payload=bytes(46)).to_bytes())
        assert writing.result(5) == len(LAST)
    assert not woken_by_reading, "tap_sock_write_space, drivers/net/tap.c"


def test_reader_is_not_charged(bed, finite):
    """What b receives does not count against its own sending."""
    b = bed.endpoints["b"].tap
    _fill(finite)
    assert b.write(Frame(A, B, payload=bytes(46)).to_bytes()) == SIZE
    last = Frame(A, B, payload=b"last").to_bytes()
    b.write(last)
    assert len(finite.read_up_to(last)) == 1


def test_dropped_frames_are_not_charged(bed, finite):
    """A full queue frees what it drops, so the writer never waits."""
    with _length(bed, 2):
        assert _fill(finite, limit=300) == 300, "tap_handle_frame: kfree_skb"


def test_unlimited(bed):
    """TUNSETSNDBUF at its most: the queue's length is the only limit."""
    assert _fill(bed.endpoints["a"].tap, limit=1000) == 1000, "TUNSETSNDBUF in tap_ioctl"


def test_smallest_buffer(bed, finite):
    """One byte is enough for one frame at a time: it is the rest that must be free."""
    finite.set_sndbuf(1)
    assert _fill(finite) == 1, "sock_alloc_send_pskb"


def test_finite_unless_told(bed):
    """As opened the buffer is finite (sock_init_data: net.core.wmem_default)."""
    with _length(bed, 10_000), Tap.bare(bed.wiring.host, "a") as bare:
        bare.configure()
        fitted = _fill(bare)
        bed.endpoints["b"].tap.drain()
    assert 10 < fitted < 10_000, "tap_open, drivers/net/tap.c"
