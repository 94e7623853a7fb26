"""Guests that libvirt and lldpad associate with our switch, from their start to their end.

a [QEMU] -- macvtap --.
                      low1 ----- switch ----- external
b [QEMU] -- macvtap --'            |
c [QEMU] -- macvtap --- low2 ------'
            lldpad
"""

import pytest

pytest.importorskip("lxml")
pytest.importorskip("libvirt")

from uuid import UUID

from harness.kernel.netns import all_at_once
from harness.vsi.events import EventKind
from harness.vsi.facts import Command, EcpFrame, FilterFormat, FilterInfo
from harness.vsi.station.bed import EXTERNAL_IP, vsi_of
from harness.vsi.vdp_machine import VsiState

pytestmark = pytest.mark.vsi

ASSOCIATED, UNASSOCIATED = VsiState.ASSOCIATED, VsiState.UNASSOCIATED


STORY = (
    "LLDP",
    "▶",
    " associate",
    "● associated",
    "◀── ack",
    ": success",
    "▶",  # its acknowledgement
    " de-associate",
    "● unassociated",
    "◀── ack",
    ": success",
    "── ack",
)


def test_exchange(own_station, dialect, exchanges):
    """From the first LLDPDU to the last acknowledgement, as the sequence chart has it."""
    bed = own_station(dialect=dialect)
    nic = bed.nic()
    with bed.start(nic):
        since = bed.switch.mark
    bed.wait_for(lambda event: event.kind is EventKind.HEARD and is_ack(event.frame), since=since)
    text = bed.chart()
    exchanges.show(f"A guest comes and goes, {dialect}", text)
    lines = iter(text.replace(f"{vsi_of(nic).uuid[:8]}… ", "").splitlines())
    assert all(any(part in line for line in lines) for part in STORY), text


def is_ack(frame):
    return isinstance(frame, EcpFrame) and frame.acknowledge


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"manager": 1, "type_id": 0, "version": 0},
        {"manager": 255, "type_id": 0xFFFFFF, "version": 255},
        {"instance": UUID("00112233-4455-6677-8899-aabbccddeeff"), "mac": "52:54:00:aa:00:01"},
    ],
    ids=["usual", "least", "most", "octets-in-order"],
)
def test_heard(bed, words):
    """What the XML says is what the switch hears, field for field; destroyed, it hears that."""
    nic = bed.nic(**words)
    since = bed.switch.mark
    with bed.start(nic) as guest:
        command, frame = bed.asked(nic, since=since)[0]
        (asked,) = frame.associations
        assert command is Command.ASSOCIATE
        assert asked.vsi == vsi_of(nic)
        assert asked.filters == (FilterInfo(0, bytes.fromhex(nic.mac.replace(":", ""))),)
        assert asked.filter_format == FilterFormat.MAC_VID
        assert not asked.problem
        assert not frame.faults
        assert bed.state(nic) is ASSOCIATED
        assert guest.unlike() == []
        since = bed.switch.mark
    bed.wait_for_states(nic, UNASSOCIATED, since=since)
    command, frame = bed.asked(nic, since=since)[-1]
    assert command is Command.DE_ASSOCIATE
    assert frame.associations[0].vsi == vsi_of(nic)


def test_many(bed):
    """Six at once: each guest has its VSI, and the end of one is not that of another.

    Answers of the switch share an ECPDU where several wait for their turn.
    """
    nics = [bed.nic() for _ in range(6)]
    all_at_once([lambda nic=nic: bed.start(nic) for nic in nics])
    assert [bed.state(nic) for nic in nics] == [ASSOCIATED] * 6
    since = bed.switch.mark
    guests = [g for g in bed.host.guests.values() if g.wanted.interfaces != (nics[0],)]
    all_at_once([guest.close for guest in guests])
    for nic in nics[1:]:
        bed.wait_for_states(nic, UNASSOCIATED, since=since)
    assert [bed.state(nic) for nic in nics] == [ASSOCIATED] + [UNASSOCIATED] * 5


def test_plugged(bed):
    """An interface that is plugged in is associated, unplugged it is de-associated."""
    with bed.start(bed.nic()) as guest:
        nic = bed.nic()
        since = bed.switch.mark
        guest.running.attach(nic)
        bed.wait_for_states(nic, ASSOCIATED, since=since)


def test_traffic(bed):
    """What is associated talks: by reflective relay, across ports, and with the outside.

    What is not goes nowhere.
    """
    nics = [bed.nic(), bed.nic(), bed.nic("low2")]
    guests = [bed.start(nic, paused=False) for nic in nics]
    ips = [f"10.107.0.{number}" for number in (1, 2, 3)]
    for guest, ip in zip(guests, ips, strict=True):
        bed.address(guest, ip)
    a, b, c = guests

    assert a.agent.ping(ips[1]).ok
    assert a.agent.ping(ips[2]).ok
    assert c.agent.ping(EXTERNAL_IP).ok
    fates = {bed.fate(nics[0], nics[1]), bed.fate(nics[0], nics[2])}
    assert fates == {"reflected", "forwarded"}
    early = [
        passed
        for nic in nics
        for passed in bed.passed(nic)
        if passed.at < bed.associated_at(nic) and not passed.fate.startswith("dropped")
    ]
    assert not early

    since = bed.switch.mark
    b.close()
    bed.wait_for_states(nics[1], UNASSOCIATED, since=since)
    a.agent.change(a.nic, flush=True)
    assert not a.agent.ping(ips[1], seconds=0.5).ok

    bed.switch.reset("low1")  # as if it had lost its memory, and had not been told again yet
    a.agent.change(a.nic, flush=True)
    assert not a.agent.ping(EXTERNAL_IP, seconds=0.5).ok
    assert bed.passed(nics[0])[-1].fate == "dropped: its source is not associated"
    assert c.agent.ping(EXTERNAL_IP).ok
