"""What becomes of an association: keepalives, restarts, a wire pulled, a switch that changes its
mind.

    a [QEMU, paused] -- macvtap -- low1 ----- switch
                        lldpad
"""

import re

import pytest

pytest.importorskip("lxml")
pytest.importorskip("libvirt")

from harness.kernel.waiting import look_until
from harness.vsi.events import EventKind
from harness.vsi.facts import Command, Dialect
from harness.vsi.faults import Fault, FaultKind, Faults
from harness.vsi.station.bed import vsi_of
from harness.vsi.vdp_machine import VsiState

pytestmark = pytest.mark.vsi

ASSOCIATED, UNASSOCIATED = VsiState.ASSOCIATED, VsiState.UNASSOCIATED
KEEPALIVE = {Dialect.RATIFIED: (1.2, 2.5), Dialect.DRAFT: (9.5, 12.0)}
"""Seconds between two; lldpad's own are 1.3 and 10."""


BEGUN = {Dialect.RATIFIED: "data_from_evb:low1 ", Dialect.DRAFT: "evb_start_modules:low1"}
"""What lldpad says when it takes requests, some time after it has heard the switch's EVB TLV."""


def said(bed, pattern, *, since=0, within=5.0):
    """Whether lldpad's log says so, in time."""
    return look_until(lambda: re.search(pattern, bed.lldpad.log[since:]), bool, within=within)


def test_time_passes(hasty, dialect):
    """A VSI is kept alive; by that a switch that was restarted learns of it again.

    A keepalive that is not answered: lldpad gives the VSI up by itself (draft), or would wait for
    17 s, in which the switch has not heard of it again and de-associates it (ratified): libvirt
    then associates anew.
    """
    least, most = KEEPALIVE[dialect]
    bed = hasty("low1", "low2", "low3")
    kept, lost, unanswered = nics = [bed.nic(port) for port in bed.ports]
    since = bed.switch.mark
    for nic in nics:
        bed.start(nic)
    bed.switch.set_faults("low3", Faults([Fault(FaultKind.NO_KEEPALIVE)]))
    bed.switch.restart("low2")
    gone = bed.switch.mark

    bed.wait_for_states(lost, ASSOCIATED, since=gone, within=most + 2)
    look_until(lambda: len(bed.heard(kept, since=since)), lambda n: n > 1, within=most + 2)
    first, second = bed.heard(kept, since=since)[:2]
    assert least <= second.at - first.at <= most
    assert bed.state(kept) is ASSOCIATED

    if dialect is Dialect.DRAFT:
        assert said(bed, r"low3 state change VSI_ASSOCIATED -> VSI_ASSOC_PROCESSING")
        assert said(bed, r"low3 state change VSI_ASSOC_PROCESSING -> VSI_EXIT")
    else:
        bed.wait_for_states(unanswered, UNASSOCIATED, ASSOCIATED, since=gone, within=10.0)


def test_libvirtd_restarted(bed):
    """The guest goes on, and so does its association; its end is still told."""
    nic = bed.nic()
    with bed.start(nic, bound=False):
        since = bed.switch.mark
        bed.restart_libvirtd()
        assert bed.state(nic) is ASSOCIATED
        assert Command.DE_ASSOCIATE not in [command for command, _ in bed.asked(nic, since=since)]
    bed.wait_for_states(nic, UNASSOCIATED, since=since)


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_lldpad_restarted(own_station, dialect, kill):
    """Started again lldpad knows no VSI, and libvirt does not notice.

    The switch drops the guest when it has heard nothing for long enough. A restart of libvirtd
    associates it again.
    """
    bed = own_station(dialect=dialect)
    nic = bed.nic()
    with bed.start(nic, bound=False):
        since, written = bed.switch.mark, len(bed.lldpad.log)
        bed.lldpad.restart(kill=kill)
        goodbyes = [e for _, e in bed.switch.events[since:] if e.kind is EventKind.FORGOTTEN]
        assert bool(goodbyes) is not kill
        assert said(bed, BEGUN[dialect], since=written, within=35.0)
        assert bed.asked(nic, since=since) == []
        bed.restart_libvirtd()
        bed.wait_for(lambda _: bool(bed.asked(nic, since=since)), since=since)
        assert {command for command, _ in bed.asked(nic, since=since)} == {Command.ASSOCIATE}
        assert bed.state(nic) is ASSOCIATED


def test_wire_pulled(own_station, dialect):
    """Plugged in again: in the ratified dialect lldpad associates again what it did before.

    In the draft it has forgotten that, and libvirt does not notice.
    """
    bed = own_station(dialect=dialect)
    nic = bed.nic()
    with bed.start(nic, bound=False):
        bed.plug(on=False)
        assert said(bed, r"LINK DOWN: low1")
        since = bed.switch.mark
        bed.plug(on=True)
        assert said(bed, r"LINK UP: low1")
        bed.wait_until_heard(since=since)
        if dialect is Dialect.DRAFT:
            assert said(bed, r"vdp_ifdown: low1 vdp data removed")
            assert bed.asked(nic, since=since) == []
            bed.restart_libvirtd()
        bed.wait_for(lambda _: bool(bed.asked(nic, since=since)), since=since)
        assert bed.asked(nic, since=since)[0][0] is Command.ASSOCIATE
        assert bed.state(nic) is ASSOCIATED
        assert bed.answered(nic, since=since)


def test_withdrawn(bed):
    """De-associated by the switch: lldpad tells libvirt, and libvirt associates anew."""
    nic = bed.nic()
    with bed.start(nic):
        since = bed.switch.mark
        bed.switch.de_associate(vsi_of(nic).instance)
        bed.wait_for_states(nic, UNASSOCIATED, ASSOCIATED, since=since)
        assert bed.asked(nic, since=since)[0][0] is Command.ASSOCIATE


def test_withdrawn_at_once(bed):
    """The same as a fault of the switch, soon after it has granted the first request."""
    nic = bed.nic()
    bed.switch.set_faults("low1", Faults([Fault(FaultKind.DE_ASSOCIATE, seconds=0.5, times=1)]))
    since = bed.switch.mark
    with bed.start(nic):
        bed.wait_for_states(nic, UNASSOCIATED, ASSOCIATED, since=since)


def test_vid_rewritten(own_station, dialect):
    """Another VID than the null VID that was asked for: the guest starts, and talks.

    In the ratified dialect lldpad does not know it again at its end, and keeps it alive for good.
    """
    bed = own_station(dialect=dialect)
    nic = bed.nic()
    bed.switch.set_faults("low1", Faults([Fault(FaultKind.REWRITE_VID, vid=77)]))
    guest = bed.start(nic)
    assert [x.vid for x in bed.switch.vsis("low1")[0].filters] == [77]
    since = bed.switch.mark
    guest.close()
    if dialect is Dialect.DRAFT:
        bed.wait_for_states(nic, UNASSOCIATED, since=since)
    else:
        assert said(bed, r"vdp22_addreq:low1 TODO mismatch filter data")
        assert "error during virtual port configuration of ifindex" in bed.host.libvirtd.log()
        assert bed.asked(nic, since=since) == []
        assert bed.state(nic) is ASSOCIATED


def test_instance_twice(bed, dialect):
    """One instance id for two guests on one link: refused as a mismatch.

    In the draft lldpad adds the second address to what it has, tells nobody before the next
    keepalive, and de-associates both guests at the end of one.
    """
    nic = bed.nic()
    with bed.start(nic):
        twin = bed.nic(instance=nic.virtualport.instance_id)
        since = bed.switch.mark
        tried = bed.attempt(twin)
        macs = {
            entry.mac.hex(":")
            for _, frame in bed.asked(nic, since=since)
            for one in frame.associations
            for entry in one.filters
        }
        assert twin.mac not in macs
        if dialect is Dialect.DRAFT:
            assert tried.error is None
            since = bed.switch.mark
            bed.host.guests.popitem()[1].close()
            bed.wait_for_states(nic, UNASSOCIATED, since=since)
        else:
            assert "sending of PortProfileRequest failed" in tried.error.message
            assert "Invalid argument" in tried.logged


def test_instance_elsewhere(bed):
    """One instance id on two links: the switch moves it, and libvirt fetches it back."""
    nic = bed.nic()
    with bed.start(nic):
        since = bed.switch.mark
        twin = bed.nic("low2", instance=nic.virtualport.instance_id)
        bed.attempt(twin)  # refused where the switch has taken it back before libvirt looks
        bed.wait_for_states(twin, ASSOCIATED, UNASSOCIATED, since=since)
        bed.wait_for_states(nic, UNASSOCIATED, ASSOCIATED, since=since)
