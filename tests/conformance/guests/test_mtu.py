"""MTU: of the lower device, in the XML, and what the guest sees.

guest [QEMU: mtu?]---- low (1500 or 9000) ----- far [stack]
"""

import pytest

from harness import Mode

pytestmark = pytest.mark.guests

MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)
HEADERS = 28  # IPv4 and ICMP


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mtu", [1500, 9000])
def test_mtu(cables, guest, plug, mode, mtu):
    """The macvtap has its lower device's; the guest is told nothing of it, and takes 1500."""
    number = plug(mode, source=cables.lower(mtu=mtu))
    assert guest.seen(number).link.mtu == mtu
    assert guest.card(number).mtu == 1500
    assert cables.wrong(guest, [number]) == []
    assert cables.ping(guest, number, size=1500 - HEADERS).ok


@pytest.mark.parametrize("mode", MODES)
def test_of_the_guests_own(cables, guest, plug, mode):
    """What the guest sets itself it can use, as far as the lower device goes."""
    number = plug(mode, source=cables.lower(mtu=9000))
    card = guest.card(number).name
    guest.agent.change(card, mtu=9000)
    assert cables.ping(guest, number, size=9000 - HEADERS).ok
    guest.agent.change(card, mtu=9500)
    assert not cables.ping(guest, number, size=9500 - HEADERS).ok


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mtu", [1400, 1500])
def test_in_the_xml(cables, guest, refuses, mode, mtu):
    """`<mtu>` is refused on a macvtap, even where it is what there is already."""
    nic = cables.nic(mode, mtu=mtu)
    with refuses("setting MTU on interface type direct is not supported yet"):
        guest.attach(nic)
    assert cables.macvtaps_on(nic.source) == []
    assert cables.unrestored(nic.source) == []


@pytest.mark.parametrize("mode", MODES)
def test_lower_shrinks(cables, guest, plug, mode):
    """The macvtap follows its lower device down (macvlan_device_event); the guest learns nothing.

    What it sends by its own MTU is lost.
    """
    number = plug(mode)
    nic = guest.running.domain.interfaces[number]
    assert cables.ping(guest, number, size=1500 - HEADERS).ok
    cables.set_mtu(nic.source, 1300)
    assert guest.seen(number).link.mtu == 1300
    assert guest.card(number).mtu == 1500
    assert not cables.ping(guest, number, size=1500 - HEADERS).ok
    assert cables.ping(guest, number, size=1300 - HEADERS).ok
