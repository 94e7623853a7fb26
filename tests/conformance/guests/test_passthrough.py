"""Passthrough owns its lower device: who is refused beside it, and what is left behind.

p [QEMU]---- low ----- far
q [QEMU]- ?
"""

import pytest

from harness import Mode
from harness.errors import LibvirtError

pytestmark = pytest.mark.guests

OTHERS = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE)
ALL = (*OTHERS, Mode.PASSTHRU)
EXISTS = "error creating macvtap interface"
WHY = "Invalid argument"


@pytest.mark.parametrize("second", ALL)
def test_second_guest(cables, start, refuses, second):
    """No guest of any mode beside one in passthrough; that one does not suffer."""
    p = start(cables.nic(Mode.PASSTHRU), paused=True)
    lower = p.wanted.interfaces[0].source
    with refuses(EXISTS, WHY, lower):
        start(cables.nic(second, source=lower))
    assert p.unlike() == []
    assert cables.macvtaps_on(lower) == p.links


@pytest.mark.parametrize("first", OTHERS)
def test_passthrough_beside(cables, start, refuses, first):
    """No passthrough beside a guest of another mode, which does not suffer."""
    a = start(cables.nic(first), paused=True)
    lower = a.wanted.interfaces[0].source
    with refuses(EXISTS, WHY, lower):
        start(cables.nic(Mode.PASSTHRU, source=lower))
    assert cables.macvtaps_on(lower) == a.links
    assert a.unlike() == []


def test_one_guest_twice(cables, start, refuses):
    """Nor may one guest have the same lower device twice; nothing of it is left."""
    first = cables.nic(Mode.PASSTHRU)
    with refuses(EXISTS, WHY):
        start(first, cables.nic(Mode.BRIDGE, source=first.source))
    assert cables.macvtaps_on(first.source) == []
    assert cables.unrestored(first.source) == []


def test_after_the_first_has_gone(cables, start):
    """Passthrough ends with its guest: the next may have any mode."""
    nic = cables.nic(Mode.PASSTHRU)
    start(nic, paused=True).close()
    for mode in ALL:
        guest = start(cables.nic(mode, source=nic.source), paused=True)
        assert guest.unlike() == []
        guest.close()
        assert cables.unrestored(nic.source) == []


@pytest.mark.parametrize("mode", ALL)
def test_restored(cables, start, mode):
    """While it runs, a guest in passthrough gives its lower device address and promiscuity."""
    guest = start(cables.nic(mode))
    lower = guest.wanted.interfaces[0].source
    assert guest.unlike() == []
    # A veth cannot filter: other modes' addresses make it promiscuous (dev_uc_add), passthrough
    # asks for it (macvlan_open).
    assert cables.state(lower).promiscuity == 1
    guest.close()
    assert cables.macvtaps_on(lower) == []
    assert cables.unrestored(lower) == []
    assert cables.state(lower).up


# ---------------------------------------------------------------------- findings


def test_refused_second_keeps_the_address(cables, start):
    """After a second passthrough was refused, the first one's end leaves its address behind."""
    p = start(cables.nic(Mode.PASSTHRU), paused=True)
    nic = p.wanted.interfaces[0]
    with pytest.raises(LibvirtError):
        start(cables.nic(Mode.PASSTHRU, source=nic.source))
    p.close()
    assert cables.state(nic.source).mac == nic.mac
    cables.give_back(nic.source)


def test_refused_other_keeps_nothing(cables, start):
    """Not so after one in another mode was refused."""
    p = start(cables.nic(Mode.PASSTHRU), paused=True)
    lower = p.wanted.interfaces[0].source
    for mode in OTHERS:
        with pytest.raises(LibvirtError):
            start(cables.nic(mode, source=lower))
    p.close()
    assert cables.unrestored(lower) == []


@pytest.mark.parametrize("first", OTHERS)
def test_refused_attach_sets_the_address(cables, guest, plug, refuses, first):
    """Not attached beside another macvtap: the lower device has the address nevertheless."""
    number = plug(first)
    lower = guest.wanted.interfaces[number].source
    refused = cables.nic(Mode.PASSTHRU, source=lower)
    with refuses(EXISTS, WHY, lower):
        guest.attach(refused)
    assert cables.state(lower).mac == refused.mac
    assert cables.ping(guest, number).ok  # the NIC that is there does not suffer
    cables.give_back(lower)


@pytest.mark.parametrize("mode", ALL)
def test_unplugged_leaves_the_lower_down(cables, guest, mode):
    """Unplugging a NIC in passthrough leaves its lower device down, and in no other mode."""
    nic = cables.nic(mode)
    guest.detach(guest.attach(nic))
    assert cables.unrestored(nic.source) == []
    assert cables.state(nic.source).up is (mode is not Mode.PASSTHRU)


@pytest.mark.parametrize("mode", ALL)
def test_lower_is_down_while_suspended(cables, start, mode):
    """The macvtap goes down with the processors, and the lower device with one in passthrough."""
    guest = start(cables.nic(mode))
    lower = guest.wanted.interfaces[0].source
    guest.running.suspend()
    assert not guest.seen().link.up
    assert cables.state(lower).up is (mode is not Mode.PASSTHRU)
    guest.running.resume()
    assert guest.unlike() == []
    assert cables.state(lower).up
