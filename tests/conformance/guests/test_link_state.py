"""The link that a guest sees: up and down, at the start and live.

guest [QEMU]-/ -- low ----- far [stack]
"""

from dataclasses import replace

import pytest

from harness import Mode

pytestmark = pytest.mark.guests

MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)


def set_link(guest, number, state):
    from harness.guests import LinkState

    nic = guest.running.domain.interfaces[number]
    guest.running.update(replace(nic, link=LinkState(state)))


@pytest.mark.parametrize("mode", MODES)
def test_down_and_up(cables, guest, plug, mode):
    """Down: no carrier in the guest and no traffic. The macvtap itself stays up: QEMU does it."""
    number = plug(mode)
    assert cables.wrong(guest, [number]) == []
    assert guest.card(number).carrier
    set_link(guest, number, "down")
    assert not guest.card(number).carrier
    assert not cables.ping(guest, number).ok
    assert guest.seen(number).link.up
    set_link(guest, number, "up")
    assert guest.card(number).carrier
    assert cables.wrong(guest, [number]) == []


def test_down_from_the_start(cables, guest, plug):
    """`<link state='down'/>` in the XML of a NIC that is plugged in."""
    from harness.guests import LinkState

    number = plug(Mode.VEPA, link=LinkState.DOWN)
    assert guest.unlike(number) == []
    assert not cables.ping(guest, number).ok
    assert not guest.card(number).carrier
    set_link(guest, number, "up")
    assert cables.wrong(guest, [number]) == []


def test_lower_without_carrier(cables, guest, plug):
    """The guest sees a carrier whatever the lower device has: libvirt tells QEMU nothing of it."""
    number = plug(Mode.VEPA)
    nic = guest.running.domain.interfaces[number]
    assert cables.ping(guest, number).ok
    cables.set_far(nic.source, up=False)
    assert not guest.seen(number).link.carrier
    assert guest.card(number).carrier
    assert not cables.ping(guest, number).ok
    cables.set_far(nic.source, up=True)
    assert cables.wrong(guest, [number]) == []
