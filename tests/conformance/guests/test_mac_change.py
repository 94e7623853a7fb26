"""A guest that gives its card another MAC address.

guest [QEMU: other MAC]---- low ----- far [stack]

With trustGuestRxFilters libvirt lets the macvtap follow (qemuProcessHandleNicRxFilterChanged).
"""

import pytest

from harness import Mode

pytestmark = pytest.mark.guests

MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)


@pytest.mark.parametrize("mode", MODES)
def test_distrusted(cables, guest, plug, mode):
    """The macvtap keeps its address, and takes frames for no other; in passthrough it takes all."""
    number = plug(mode)
    nic = guest.running.domain.interfaces[number]
    card = guest.card(number).name
    assert cables.ping(guest, number).ok
    guest.agent.change(card, mac=cables.new_mac())
    assert cables.ping(guest, number, card=card).ok is (mode is Mode.PASSTHRU)
    assert guest.seen(number).link.mac == nic.mac
    guest.agent.change(card, mac=nic.mac)
    assert cables.wrong(guest, [number]) == []


@pytest.mark.parametrize("mode", MODES)
def test_trusted(cables, guest, plug, mode):
    """The macvtap follows, and with it the lower device in passthrough; traffic goes on."""
    number = plug(mode, trust_guest_rx_filters=True)
    nic = guest.running.domain.interfaces[number]
    card, other = guest.card(number).name, cables.new_mac()
    lower = other if mode is Mode.PASSTHRU else cables.host.before[nic.source].mac
    assert cables.ping(guest, number).ok
    guest.agent.change(card, mac=other)
    cables.wait(nic.target, lambda link: link.mac == other)
    assert guest.seen(number).lower.mac == lower
    assert cables.ping(guest, number, card=card).ok
    guest.agent.change(card, mac=nic.mac)
    cables.wait(nic.target, lambda link: link.mac == nic.mac)
    assert cables.wrong(guest, [number]) == []


@pytest.mark.parametrize("mode", MODES)
def test_lower_is_restored(cables, guest, plug, mode):
    """Unplugged after a change that was followed, the lower device has its own address again."""
    number = plug(mode, trust_guest_rx_filters=True)
    nic = guest.running.domain.interfaces[number]
    card, other = guest.card(number).name, cables.new_mac()
    guest.agent.change(card, up=True)
    guest.agent.change(card, mac=other)
    cables.wait(nic.target, lambda link: link.mac == other)
    guest.agent.change(card, mac=nic.mac)
    cables.wait(nic.target, lambda link: link.mac == nic.mac)
    guest.detach(number)
    assert cables.unrestored(nic.source) == []
