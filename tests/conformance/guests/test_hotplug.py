"""NICs plugged into a running guest, and out again.

guest [QEMU] . . . . low ----- far [stack]
"""

import pytest

from harness import Mode

pytestmark = pytest.mark.guests

MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)


@pytest.mark.parametrize("mode", MODES)
def test_in_and_out(cables, guest, mode):
    """The guest sees the card come and go; the macvtap with it, and the lower is as before."""
    nic = cables.nic(mode)
    others = cables.macvtaps_on()
    number = guest.attach(nic)
    assert guest.card(number).mac == nic.mac
    assert cables.wrong(guest, [number]) == []
    guest.detach(number)
    assert nic.mac not in guest.macs()
    assert cables.unrestored(nic.source) == []
    assert cables.macvtaps_on() == others


def test_again(cables, guest):
    """The same NIC in another mode each time: what update-device cannot do, this does."""
    nic = cables.nic(Mode.VEPA)
    seen = []
    for mode in MODES:
        number = guest.attach(cables.nic(mode, source=nic.source, mac=nic.mac))
        assert cables.wrong(guest, [number]) == []
        seen.append(guest.seen(number).mode)
        guest.detach(number)
    assert seen == list(MODES)


def test_several_on_one_lower(cables, guest, plug):
    """A guest with a NIC in each mode that allows others beside it, all on one lower device."""
    lower = cables.lower()
    numbers = [plug(mode, source=lower) for mode in MODES[:-1]]
    assert [guest.seen(number).mode for number in numbers] == list(MODES[:-1])
    assert {guest.seen(number).lower.name for number in numbers} == {lower}


@pytest.mark.parametrize("mode", MODES)
def test_mode_cannot_be_updated(guest, plug, refuses, mode):
    """update-device does not change the mode; the macvtap keeps it (qemuDomainChangeNet)."""
    from dataclasses import replace

    number = plug(mode)
    other = Mode.BRIDGE if mode is not Mode.BRIDGE else Mode.VEPA
    nic = replace(guest.running.domain.interfaces[number], mode=other)
    with refuses("unable to change config on 'direct' network type"):
        guest.running.update(nic)
    assert guest.unlike(number) == []
