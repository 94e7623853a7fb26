"""Several queues of one tap: which frame goes to which.

a [tap]-------.
               lower        both in bridge mode: delivered directly
b [tap]--'
  [tap]--'
  [tap]--'  four queues
  [tap]--'
"""

import errno
import select
import struct
from contextlib import ExitStack

import pytest

from harness import Frame, Guest, KernelError, Mode, Tag, Topology
from harness.kernel.gso import LargeFrame
from harness.kernel.netns import on_thread
from harness.kernel.taps import IFF_ATTACH_QUEUE, IFF_DETACH_QUEUE, Offload, Tap
from harness.kernel.vnet import Gso

PAIR = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)])
A, B = PAIR.macs["a"], PAIR.macs["b"]
MOST = 256  # MAX_TAP_QUEUES
FLOWS = range(64)
LAST = Frame(B, A, payload=b"last").to_bytes()
CITE = "tap_get_queue, drivers/net/tap.c"

KINDS = {
    "TCPv4": {"tcp": True},
    "UDPv4": {},
    "TCPv6": {"tcp": True, "ipv6": True},
    "UDPv6": {"ipv6": True},
    "TCPv4 in a VLAN": {"tcp": True, "tag": Tag(5)},
}


def _flow(number, *, content=0, **kind):
    """A frame of flow `number`, told from others by its source port."""
    frame = LargeFrame(B, A, length=50, **kind).segments[0]
    at = 14 + 4 * ("tag" in kind) + (40 if kind.get("ipv6") else 20)
    return frame[:at] + struct.pack("!H", 1000 + number) + frame[at + 2 : -1] + bytes([content])


def _close(queues):
    """All at once: each waits for an RCU grace period (tap_put_queue)."""
    for closing in [on_thread(queue.close) for queue in queues]:
        closing.result()


@pytest.fixture
def bed(taps):
    return taps(PAIR)


@pytest.fixture
def queues(bed):
    """Four queues of b; the testbed's own is the first."""
    first = bed.endpoints["b"].tap
    more = [Tap.open(bed.wiring.host, "b", multi_queue=True) for _ in range(3)]
    yield [first, *more]
    _close(more)
    first.drain()


@pytest.fixture
def send(bed, queues):
    """``send(frames)`` from a; what each queue of b then holds.

    A last frame follows: when it is in one queue, every other frame is in its own.
    """
    a = bed.endpoints["a"].tap

    def send(frames, queues=queues):
        for frame in [*frames, LAST]:
            a.write(frame)
        waiting = select.poll()
        for queue in queues:
            waiting.register(queue.fd, select.POLLIN)
        seen = [[] for _ in queues]
        while not any(LAST in have for have in seen):
            assert waiting.poll(5000), "the last frame has not come"
            for have, queue in zip(seen, queues, strict=True):
                have += queue.drain()
        for have, queue in zip(seen, queues, strict=True):
            have += queue.drain()
        return {n: [f for f in have if f != LAST] for n, have in enumerate(seen)}

    return send


def _placement(seen, **kind):
    """Flow number to queue number."""
    flows = {_flow(number, **kind): number for number in FLOWS}
    return {flows[frame]: queue for queue, frames in seen.items() for frame in frames}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_flows_spread(send, kind):
    """Many flows: every frame once, and each queue has some (chance of one empty: 4e-8)."""
    seen = send([_flow(number, **kind) for number in FLOWS])
    every = sorted(frame for frames in seen.values() for frame in frames)
    assert every == sorted(_flow(number, **kind) for number in FLOWS), CITE
    assert all(seen.values()), CITE


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_flow_keeps_to_its_queue(send, kind):
    """One flow: one queue, in order, whatever its frames carry (skb_get_hash)."""
    frames = [_flow(7, content=content, **kind) for content in range(50)]
    seen = send(frames)
    assert [x for x in seen.values() if x] == [frames], CITE


def test_placement_is_kept(send):
    """The same flows go to the same queues again."""
    frames = [_flow(number) for number in FLOWS]
    assert _placement(send(frames)) == _placement(send(frames)), CITE


def test_no_flow(send):
    """Frames without a flow (no IP) have no hash: one queue for all of them."""
    frames = [Frame(B, A, payload=bytes([n]) * 46).to_bytes() for n in range(20)]
    assert [x for x in send(frames).values() if x] == [frames], CITE


def test_broadcast_once(send):
    """A broadcast is for the guest, not for each of its queues."""
    frame = _flow(1)
    broadcast = bytes.fromhex("ff" * 6) + frame[6:]
    seen = send([broadcast])
    assert [frame for frames in seen.values() for frame in frames] == [broadcast], CITE


def test_flag_is_not_asked_for(bed, send, queues):
    """IFF_MULTI_QUEUE is taken and means nothing: a queue without it has its share."""
    for queue in queues:
        queue.configure(multi_queue=False)
    assert all(send([_flow(number) for number in FLOWS]).values()), "tap_ioctl: TUNSETIFF"


def test_every_queue_sends(bed, queues):
    """Any queue transmits for the guest, a detached one too (tap_get_user)."""
    a = bed.endpoints["a"].tap
    queues[2].set_queue(IFF_DETACH_QUEUE)
    last = Frame(A, B, payload=b"last").to_bytes()
    frames = [Frame(A, B, payload=bytes([n]) * 46).to_bytes() for n in range(4)]
    for queue, frame in zip(queues, frames, strict=True):
        queue.write(frame)
    queues[0].write(last)
    assert a.read_up_to(last) == frames, "tap_get_user, drivers/net/tap.c"


# ---------------------------------------------------------------------- detach, attach, close


def test_detached(send, queues):
    """A detached queue gets nothing; its flows go to the others, which miss none."""
    queues[1].set_queue(IFF_DETACH_QUEUE)
    seen = send([_flow(number) for number in FLOWS])
    assert (seen[1], len(_placement(seen))) == ([], len(FLOWS)), "tap_disable_queue"


def test_attached_again(send, queues):
    """The last queue has taken the place of the detached one, which comes back as the last."""
    frames = [_flow(number) for number in FLOWS]
    before = _placement(send(frames))
    queues[1].set_queue(IFF_DETACH_QUEUE)
    queues[1].set_queue(IFF_ATTACH_QUEUE)
    swapped = {0: 0, 1: 3, 2: 2, 3: 1}
    after = _placement(send(frames))
    assert after == {flow: swapped[queue] for flow, queue in before.items()}, "tap_disable_queue"


def test_detached_keeps_what_it_has(bed, queues):
    """Frames that waited in a queue when it was detached can be read from it."""
    a = bed.endpoints["a"].tap
    for number in FLOWS:
        a.write(_flow(number))
    a.write(LAST)
    assert queues[0].wait(5)
    queues[1].set_queue(IFF_DETACH_QUEUE)
    seen = queues[1].drain()
    for queue in queues:
        queue.drain()
    assert seen
    # Whose flow a queue has is a matter of a hash with a seed: the last frame may be among them.
    assert set(seen) <= {LAST, *(_flow(number) for number in FLOWS)}, "tap_disable_queue"


def test_one_left(send, queues):
    """With all others detached the one that is left has everything, in order."""
    for queue in queues[1:]:
        queue.set_queue(IFF_DETACH_QUEUE)
    frames = [_flow(number) for number in FLOWS]
    assert send(frames) == {0: frames, 1: [], 2: [], 3: []}, CITE


def test_closed(send, queues):
    """What a closed queue would have got goes to the others."""
    queues[3].close()
    seen = send([_flow(number) for number in FLOWS], queues[:3])
    assert len(_placement(seen)) == len(FLOWS), "tap_put_queue, drivers/net/tap.c"
    assert all(seen.values()), "tap_put_queue, drivers/net/tap.c"


def test_offloads_are_shared(bed, queues):
    """TUNSETOFFLOAD is the link's, the header each queue's own (set_offload: tap_features)."""
    a = bed.endpoints["a"].tap
    large = LargeFrame(B, A, Gso.TCPV4)
    for queue in queues[1:]:
        queue.set_queue(IFF_DETACH_QUEUE)
    first, second = queues[:2]
    with (
        a.configured(vnet_header=10),
        first.configured(vnet_header=10, offloads=Offload.CSUM | Offload.TSO4),
    ):
        second.set_offloads(0)
        a.write(large.header.pack() + large.frame)
        a.write(bytes(10) + LAST)
        seen = first.read_up_to(LAST)
    assert seen == [bytes(10) + segment for segment in large.segments], "set_offload"


def test_most_queues(taps):
    """256 queues, detached ones among them; the next open is EBUSY until one is closed."""
    bed = taps(PAIR, own=True)
    answers = []
    with ExitStack() as undo:
        opened = []
        undo.callback(_close, opened)
        for _ in range(MOST - 1):
            opened.append(Tap.bare(bed.wiring.host, "b"))
        for change in (lambda: None, lambda: opened[0].set_queue(IFF_DETACH_QUEUE)):
            change()
            with pytest.raises(KernelError) as refused:
                Tap.open(bed.wiring.host, "b")
            answers.append(refused.value.errno)
        opened.pop().close()
        opened.append(Tap.open(bed.wiring.host, "b"))
    assert answers == [errno.EBUSY, errno.EBUSY], "tap_set_queue: MAX_TAP_QUEUES"
