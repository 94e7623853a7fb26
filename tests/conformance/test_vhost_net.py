"""Guests behind vhost-net: what a hypervisor's guest sends and gets through its virtqueues.

    v [virtqueues = vhost-net = tap]--.
                                      lower ----- far
    b [tap]---------------------------'

The virtqueues are our own, a tap's descriptor is the backend (drivers/vhost/net.c).
"""

import errno
import os
from pathlib import Path

import pytest

from harness import Guest, Mode
from harness.kernel.features import Backend
from harness.kernel.gso import LargeFrame, arrival, differences
from harness.kernel.links import delete_link
from harness.kernel.taps import Offload, Tap
from harness.kernel.vhost import HEADER, VHOST_NODE, VhostGuest
from harness.kernel.vnet import Gso, VnetHeader
from harness.kernel.waiting import look_until
from harness.parts import BROADCAST_MAC
from harness.testbed.raw import RawEnd, marker

NONE = VnetHeader().pack(HEADER)
TAKES = Offload.CSUM | Offload.TSO4 | Offload.TSO6
WITHIN = 5.0  # seconds
MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)


class VhostEnd(RawEnd):
    """The guest's driver, whose frames are without their headers."""

    def __init__(self, guest):
        super().__init__("v", guest.rx.call)
        self.guest = guest

    def send(self, frame):
        self.guest.send(NONE + frame)
        look_until(lambda: self.guest.tx.offered, lambda left: left == 0, within=WITHIN)

    def _next(self):
        data = self.guest.receive()
        return data[HEADER:] if data is not None else None

    def close(self):
        pass


@pytest.fixture
def vhost(cable, backend):
    """``vhost(mode, *others)``: a cable; its guest v is behind vhost-net, as `bed.vhost`."""
    if not Path(VHOST_NODE).exists():
        pytest.skip(f"this kernel has no vhost-net ({VHOST_NODE})")
    if backend is Backend.PACKET:
        pytest.skip("packet sockets stand for the taps")
    opened = []

    def vhost(mode, *others):
        bed = cable(Guest("v", mode), *others)
        tap = Tap.open(bed.ns, "v", vnet_header=HEADER, offloads=TAKES)
        opened.append(tap)
        guest = VhostGuest()
        opened.append(guest)
        guest.vhost.attach(tap.fd)
        bed._ends["v"] = VhostEnd(guest)
        return bed, guest, tap

    yield vhost
    while opened:
        opened.pop().close()


@pytest.mark.parametrize("mode", MODES)
def test_both_ways(vhost, mode):
    """Unicast and broadcast, as with a tap alone."""
    bed, _, _ = vhost(mode)
    for sender, to, receiver in (
        ("v", "far", "far"),
        ("far", "v", "v"),
        ("v", BROADCAST_MAC, "far"),
        ("far", BROADCAST_MAC, "v"),
    ):
        assert bed.seen(sender, to, at=[receiver]) == [receiver]


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE])
def test_siblings(vhost, mode):
    """To and from a tap beside it: directly in bridge mode, onto the wire otherwise."""
    bed, _, _ = vhost(mode, Guest("b", mode))
    for sender, receiver in (("v", "b"), ("b", "v")):
        heard = bed.seen(sender, receiver, at=[receiver, "far"])
        assert heard == ([receiver] if mode is Mode.BRIDGE else ["far"])


def test_round_the_ring(vhost):
    """More frames than the rings have descriptors, of every length: in order, none lost."""
    bed, guest, _ = vhost(Mode.BRIDGE, Guest("b", Mode.BRIDGE))
    b = bed.end("b")
    frames = [bed.frame("v", "b", size=60 + number) for number in range(3 * guest.tx.slots)]
    for frame in frames:
        bed.end("v").send(frame)
    assert b.waiting() == frames
    back = [bed.frame("b", "v", size=60 + number) for number in range(3 * guest.rx.slots)]
    got = []
    for frame in back:
        b.send(frame)
        mark = marker(bed.mac("v"))
        b.send(mark)
        got += bed.end("v").until(mark)
    assert got == back


@pytest.mark.parametrize("gso", [Gso.NONE, Gso.TCPV4, Gso.TCPV6])
def test_large_frames(vhost, gso):
    """Large frames and open checksums pass whole, with the header that says what is left to do."""
    bed, guest, _ = vhost(Mode.BRIDGE, Guest("w", Mode.BRIDGE))
    length = 3500 if gso else 1000

    def large(dst, src):
        ipv6 = gso is Gso.TCPV6
        return LargeFrame(bed.mac(dst), bed.mac(src), gso, ipv6=ipv6, tcp=True, length=length)

    with Tap.open(bed.ns, "w", vnet_header=HEADER, offloads=TAKES) as tap:
        asked = large("w", "v")
        guest.send(asked.header.pack(HEADER) + asked.frame)
        assert tap.wait(WITHIN)
        assert differences([arrival(tap.read(), HEADER)], asked.whole()) == []
        asked = large("v", "w")
        tap.write(asked.header.pack(HEADER) + asked.frame)
        data = look_until(guest.receive, lambda seen: seen is not None, within=WITHIN)
        assert differences([arrival(data, HEADER)], asked.whole()) == []


def test_detached(vhost):
    """Without vhost-net the tap is the descriptor's again, and its frames wait for who comes."""
    bed, guest, tap = vhost(Mode.BRIDGE, Guest("b", Mode.BRIDGE))
    guest.vhost.detach()
    frame = bed.frame("b", "v")
    bed.end("b").send(frame)
    assert guest.receive() is None
    assert tap.read()[HEADER:] == frame  # of the header, num_buffers is nobody's
    guest.send(NONE + bed.frame("v", "b"))
    bed.end("b").send(frame)
    assert (guest.tx.offered, bed.end("b").waiting()) == (1, [])
    guest.vhost.attach(tap.fd)  # and goes on with what has waited
    assert look_until(guest.receive, bool, within=WITHIN)[HEADER:] == frame
    assert look_until(lambda: guest.tx.offered, lambda left: not left, within=WITHIN) == 0
    assert len(bed.end("b").waiting()) == 1


def test_the_link_goes(vhost):
    """vhost-net goes on without it: what is sent is taken and gone, nothing comes, all can end."""
    bed, guest, tap = vhost(Mode.BRIDGE, Guest("b", Mode.BRIDGE))
    bed.do(delete_link("v", index=bed.index["v"]))
    guest.send(NONE + bed.frame("b", BROADCAST_MAC))
    assert look_until(lambda: guest.tx.offered, lambda left: not left, within=WITHIN) == 0
    bed.end("far").send(bed.frame("far", BROADCAST_MAC))
    assert bed.seen("far", "b", at=["b"]) == ["b"]  # which comes behind it
    assert guest.receive() is None
    assert not tap.alive()
    guest.vhost.detach()


def test_backends_that_are_none(vhost):
    """A descriptor of anything but a tap or a packet socket: ENOTSOCK (get_tap_socket)."""
    _, guest, _ = vhost(Mode.BRIDGE)
    with Path(os.devnull).open() as file, pytest.raises(OSError) as refused:
        guest.vhost.attach(file.fileno())
    assert refused.value.errno == errno.ENOTSOCK
