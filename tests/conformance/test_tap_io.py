"""Waiting, scattered and blocking reads and writes, and writes to a link that is down.

a [tap]--.
         lower        both in bridge mode: delivered directly
b [tap]--'
"""

import os
import select
import time
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import pytest

from harness import Frame, Guest, Mode, Topology
from harness.kernel.counters import link_counters, moved
from harness.kernel.links import set_link
from harness.kernel.netns import on_thread

PAIR = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)])
A, B, OUTSIDE = PAIR.macs["a"], PAIR.macs["b"], PAIR.macs["external"]
ONE = Frame(B, A, payload=bytes(range(100))).to_bytes()
LAST = Frame(B, A, payload=b"last").to_bytes()
OUT, IN_OUT = select.POLLOUT, select.POLLIN | select.POLLOUT
SENT = {"tx_packets": 1, "tx_bytes": 60}
ENOUGH = 5.0  # seconds for what takes microseconds


@pytest.fixture
def pair(taps):
    """The taps of a and b."""
    bed = taps(PAIR)
    return bed.endpoints["a"].tap, bed.endpoints["b"].tap


@contextmanager
def _blocking(tap):
    os.set_blocking(tap.fd, True)
    try:
        yield
    finally:
        os.set_blocking(tap.fd, False)


# ---------------------------------------------------------------------- readiness


def test_readiness(pair):
    """POLLIN from the first frame in the queue to the last one read; POLLOUT all the while."""
    a, b = pair
    seen = [b.ready()]
    a.write(ONE)
    a.write(LAST)
    assert b.wait(ENOUGH)
    for _ in range(2):
        seen.append(b.ready())
        b.read()
    seen.append(b.ready())
    assert seen == [OUT, IN_OUT, IN_OUT, OUT], "tap_poll, drivers/net/tap.c"


def test_select_and_epoll(pair):
    """The same by select(2) and epoll(7), level-triggered."""
    a, b = pair
    a.write(ONE)
    assert b.wait(ENOUGH)
    with select.epoll() as waiting:
        waiting.register(b.fd, select.EPOLLIN)
        seen = [select.select([b.fd], [], [], 0)[0], *(waiting.poll(0) for _ in range(2))]
        b.read()
        seen += [select.select([b.fd], [], [], 0)[0], waiting.poll(0)]
    event = [(b.fd, select.EPOLLIN)]
    assert seen == [[b.fd], event, event, [], []], "tap_poll, drivers/net/tap.c"


def test_edge_triggered(pair):
    """EPOLLET tells of every frame anew, read or not (wake_up_interruptible_poll)."""
    a, b = pair
    seen = []
    with select.epoll() as waiting:
        waiting.register(b.fd, select.EPOLLIN | select.EPOLLET)
        for _ in range(2):
            a.write(ONE)
            seen += [len(waiting.poll(ENOUGH)), len(waiting.poll(0))]
    b.drain()
    assert seen == [1, 0, 1, 0], "tap_handle_frame, drivers/net/tap.c"


def test_empty_queue(pair):
    """Non-blocking, and nothing there: EAGAIN (tap_do_read)."""
    with pytest.raises(BlockingIOError):
        pair[1].read()


def test_blocking_read(pair):
    """A reader who waits is woken by the frame, and gets it (tap_do_read)."""
    a, b = pair
    with _blocking(b):
        reading = on_thread(b.read)
        a.write(ONE)
        assert reading.result(ENOUGH) == ONE


# ---------------------------------------------------------------------- scattered


@pytest.mark.parametrize("cut", [[1], [12], [13], [14], [14, 15, 16], [113], [0, 50, 50]])
def test_gathered_write(pair, cut):
    """One writev(2) is one frame, however it is cut up (tap_write_iter)."""
    a, b = pair
    edges = [0, *cut, len(ONE)]
    os.writev(a.fd, [ONE[x:y] for x, y in pairwise(edges)])
    a.write(LAST)
    assert b.read_up_to(LAST) == [ONE], "skb_copy_datagram_from_iter"


@pytest.mark.parametrize("cut", [[1], [9], [10], [11], [24], [5, 10, 24]])
def test_gathered_write_with_header(pair, cut):
    """The header need not end where a buffer ends."""
    a, b = pair
    data = bytes(10) + ONE
    edges = [0, *cut, len(data)]
    with a.configured(vnet_header=10):
        os.writev(a.fd, [data[x:y] for x, y in pairwise(edges)])
        a.write(bytes(10) + LAST)
    assert b.read_up_to(LAST) == [ONE], "tap_get_user, drivers/net/tap.c"


@pytest.mark.parametrize("sizes", [(1, 200), (14, 200), (10, 4, 100), (114, 0, 50), (50, 63)])
def test_scattered_read(pair, sizes):
    """One readv(2) is one frame, filled from the first buffer on (tap_read_iter)."""
    a, b = pair
    a.write(ONE)
    a.write(LAST)
    assert b.wait(ENOUGH)
    buffers = [bytearray(size) for size in sizes]
    length = os.readv(b.fd, buffers)
    assert (b"".join(buffers)[:length], b.read()) == (ONE[: sum(sizes)], LAST)


def test_order(pair):
    """Unicast from one sender to one queue arrives in the order of sending."""
    a, b = pair
    frames = [ONE[:14] + bytes([n]) * 46 for n in range(100)]
    for frame in frames:
        a.write(frame)
    a.write(LAST)
    assert b.read_up_to(LAST) == frames


# ---------------------------------------------------------------------- links that are down


def _state(bed, name):
    (link,) = [x for x in bed.wiring.host.rtnl.links() if x.get_attr("IFLA_IFNAME") == name]
    return link.get_attr("IFLA_OPERSTATE")


@contextmanager
def _down(bed, name):
    """`name` is down, and every link above it has taken notice (linkwatch_do_dev)."""
    request = partial(set_link, name, index=bed.wiring.index[name])
    bed.wiring.host.rtnl.transact([request(up=False)])
    give_up = time.monotonic() + ENOUGH
    while name == "lower" and _state(bed, "a") != "LOWERLAYERDOWN":
        assert time.monotonic() < give_up, "macvlan_device_event: a has not followed"
    # Once more changes nothing, but waits for who holds the RTNL: linkwatch has then finished.
    bed.wiring.host.rtnl.transact([request(up=False)])
    try:
        yield
    finally:
        bed.wiring.host.rtnl.transact([request(up=True)])


@pytest.mark.parametrize(
    ("down", "to", "counted"),
    [
        pytest.param("a", B, None, id="the tap's own"),
        pytest.param("lower", OUTSIDE, None, id="the lower device"),
        pytest.param("lower", B, None, id="the lower device, to a sibling"),
        pytest.param("b", B, {"a": SENT, "lower": SENT}, id="the sibling, so to the wire"),
    ],
)
def test_write_while_down(taps, into_the_void, down, to, counted):
    """The write succeeds all the same; at most a counter tells (__dev_queue_xmit, noop_enqueue)."""
    counted = into_the_void if counted is None else counted
    bed = taps(PAIR, own=True)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    frame = Frame(to, A, payload=bytes(46)).to_bytes()
    with _down(bed, down):
        before = link_counters(bed.wiring.host)
        written = a.write(frame)
        seen = moved(before, link_counters(bed.wiring.host))
    assert (written, seen, b.drain()) == (len(frame), counted, []), "net/core/dev.c"


def test_queue_outlives_the_link_going_down(taps):
    """What lies in the queue when the link goes down can still be read."""
    bed = taps(PAIR, own=True)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    a.write(ONE)
    assert b.wait(ENOUGH)
    with _down(bed, "b"):
        assert (b.ready(), b.drain()) == (IN_OUT, [ONE]), "tap_do_read asks nothing of the link"
