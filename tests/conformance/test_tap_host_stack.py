"""Who gets a guest's frames while nobody has its tap open: its link's own stack.

a [tap]--.
         lower        both in bridge mode: delivered directly
b [tap]--'
  [every protocol], [its own protocol], [ARP]: the stack on link b
"""

import socket
from contextlib import ExitStack

import pytest

from harness import Frame, Guest, Mode, Topology
from harness.frames import ETHERTYPE_EXPERIMENTAL
from harness.kernel.links import add_address, set_queue_length
from harness.kernel.packets import ETH_P_ALL
from harness.kernel.taps import IFF_ATTACH_QUEUE, IFF_DETACH_QUEUE, Tap

PAIR = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)])
A, B = PAIR.macs["a"], PAIR.macs["b"]
ONE = Frame(B, A, payload=bytes(range(100))).to_bytes()
LAST = [Frame(B, A, payload=b"last %d" % n).to_bytes() for n in range(2)]
TAP, EVERY, OWN = "tap", "every protocol", "its own protocol"
CITE = "tap_handle_frame is an rx handler: __netif_receive_skb_core, net/core/dev.c"


@pytest.fixture
def bed(taps):
    return taps(PAIR, own=True)


@pytest.fixture
def who(bed):
    """``who()`` lists who sees a frame from a to b: the tap, sockets on link b."""
    with ExitStack() as undo:

        def listening(protocol):
            sock = bed.wiring.host.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
            undo.enter_context(sock)
            sock.bind(("b", protocol))
            sock.settimeout(5)
            return sock

        every, own = listening(ETH_P_ALL), listening(ETHERTYPE_EXPERIMENTAL)

        def who(tap=None):
            for frame in (ONE, *LAST):
                bed.endpoints["a"].tap.write(frame)
            # Sockets for every protocol are served first: when one has the very last frame,
            # those before it have been through everybody's hands.
            heard = {EVERY: [], OWN: [], TAP: []}
            while LAST[1] not in heard[EVERY]:
                heard[EVERY].append(every.recv(2048))
            own.setblocking(False)
            while True:
                try:
                    heard[OWN].append(own.recv(2048))
                except BlockingIOError:
                    break
            heard[TAP] = tap.drain() if tap else []
            return {name for name, frames in heard.items() if ONE in frames}

        yield who


def test_open(bed, who):
    """The tap takes the frame before any protocol does; ETH_P_ALL comes before the tap."""
    assert who(bed.endpoints["b"].tap) == {TAP, EVERY}, CITE


def test_closed(bed, who):
    """No descriptor: the link's own stack has it (tap_get_queue finds none: RX_HANDLER_PASS)."""
    bed.endpoints["b"].tap.close()
    assert who() == {EVERY, OWN}, CITE


def test_detached(bed, who):
    """Open, but its only queue detached: as if closed."""
    tap = bed.endpoints["b"].tap
    tap.set_queue(IFF_DETACH_QUEUE)
    assert who(tap) == {EVERY, OWN}, "tap_get_queue: numvtaps is 0"


def test_attached_again(bed, who):
    """And back to the tap."""
    tap = bed.endpoints["b"].tap
    tap.set_queue(IFF_DETACH_QUEUE)
    tap.set_queue(IFF_ATTACH_QUEUE)
    assert who(tap) == {TAP, EVERY}, CITE


def test_opened_again(bed, who):
    """Closed, seen by the stack, opened again: back to the tap."""
    bed.endpoints["b"].tap.close()
    meanwhile = who()
    with Tap.open(bed.wiring.host, "b") as tap:
        assert (meanwhile, who(tap)) == ({EVERY, OWN}, {TAP, EVERY}), CITE


def test_full_queue_is_not_passed_on(bed, who):
    """What finds no room in the queue is dropped, not handed to the stack."""
    index = bed.wiring.index["b"]
    bed.wiring.host.rtnl.transact([set_queue_length("b", index=index, frames=0)])
    assert who(bed.endpoints["b"].tap) == {EVERY}, "tap_handle_frame: RX_HANDLER_CONSUMED"


ADDRESS, ASKER = "10.9.0.2", "10.9.0.1"


def _arp(operation, sender, sender_ip, target, target_ip):
    fixed = bytes.fromhex("0001080006040000")[:6] + operation.to_bytes(2, "big")
    ends = ((sender, sender_ip), (target, target_ip))
    return fixed + b"".join(
        bytes.fromhex(mac.replace(":", "")) + socket.inet_aton(ip) for mac, ip in ends
    )


@pytest.mark.parametrize("attached", [True, False], ids=["tap open", "tap detached"])
def test_arp(bed, attached):
    """An address on the macvtap link answers ARP while nobody reads the tap, and only then."""
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    host = bed.wiring.host
    host.rtnl.transact([add_address(ADDRESS, 24, index=bed.wiring.index["b"])])
    if not attached:
        b.set_queue(IFF_DETACH_QUEUE)
    question = _arp(1, A, ASKER, "00:00:00:00:00:00", ADDRESS)
    a.write(Frame("ff:ff:ff:ff:ff:ff", A, ethertype=0x0806, payload=question).to_bytes())
    last = Frame(A, B, payload=b"last").to_bytes()
    b.write(last)
    answers = [frame[14:42] for frame in a.read_up_to(last)]
    expected = [] if attached else [_arp(2, B, ADDRESS, A, ASKER)]
    assert (answers, len(b.drain())) == (expected, int(attached)), "arp_process, net/ipv4/arp.c"
