"""A guest that moves to another host takes its VSI with it.

hosta                               hostb
[QEMU] -- macvtap -- low1 --.   .-- low2 -- macvtap -- [QEMU]
libvirtd -- lldpad          switch          lldpad -- libvirtd
"""

from dataclasses import replace

import pytest

pytest.importorskip("lxml")
pytest.importorskip("libvirt")

from harness.kernel.waiting import look_until
from harness.vsi.events import EventKind
from harness.vsi.facts import Command, EcpFrame
from harness.vsi.vdp_machine import VsiState

pytestmark = pytest.mark.vsi


def asked(pair, port, vsi):
    """Each request about the VSI that the switch has heard at a port."""
    return [
        one.command
        for name, event in pair.switch.events
        if name == port and event.kind is EventKind.HEARD and isinstance(event.frame, EcpFrame)
        for one in event.frame.associations
        if one.vsi == vsi
    ]


def test_migration(station_pair, station, dialect):
    """Libvirt pre-associates at the new host before the guest runs there, then associates.

    The switch moves the VSI and tells the old host, whose libvirt fetches it back as long as it
    has the guest; in the end it is where the guest is.
    """
    from harness.guests.migration.move import Order, Variant, begin
    from harness.vsi.station.bed import vsi_of
    from harness.vsi.station.pair import LOWS

    nic = station(dialect).nic(LOWS[0])
    vsi = vsi_of(nic)
    pair = station_pair(dialect)
    guest = pair.start(nic)
    there = replace(nic, source=LOWS[1])
    begin(pair, guest, Order(variant=Variant.UNIX, interfaces=(there,))).wait()

    assert asked(pair, LOWS[0], vsi)[0] is Command.ASSOCIATE
    assert asked(pair, LOWS[1], vsi)[:2] == [Command.PRE_ASSOCIATE, Command.ASSOCIATE]

    def where():
        return {port: [x.state for x in pair.switch.vsis(port)] for port in LOWS}

    settled = {LOWS[0]: [], LOWS[1]: [VsiState.ASSOCIATED]}
    assert look_until(where, lambda found: found == settled, within=10.0) == settled
