"""The station itself: lldpad's configuration, its other client, and what keeps libvirt from it.

vdptool ---.
libvirtd --- lldpad -- low1 ----- switch
"""

import os
import re
from uuid import uuid4

import pytest

pytest.importorskip("lxml")
pytest.importorskip("libvirt")

from harness.errors import CommandError, UnfitError
from harness.guests.daemon import NetlinkPort
from harness.vsi.events import EventKind
from harness.vsi.facts import Command, Dialect, FilterFormat, FilterInfo, Vsi, manager_of
from harness.vsi.types import parse_types

pytestmark = pytest.mark.vsi

MAC = bytes.fromhex("525400aa0001")
TYPES = parse_types("[[type]]\nmanager = 11\nid = 1193047\n")


def a_vsi(manager=11, type_id=1193047):
    return Vsi(manager_of(manager), type_id, 2, uuid4().bytes)


FORMATS = [
    pytest.param(FilterFormat.VID, FilterInfo(200), id="vid"),
    pytest.param(FilterFormat.MAC_VID, FilterInfo(0, MAC), id="mac-null-vid"),
    pytest.param(FilterFormat.MAC_VID, FilterInfo(4094, MAC), id="mac-vid"),
]


@pytest.mark.parametrize(
    "command", [Command.PRE_ASSOCIATE, Command.PRE_ASSOCIATE_RR, Command.ASSOCIATE]
)
@pytest.mark.parametrize(("form", "entry"), FORMATS)
def test_vdptool(station, command, form, entry):
    """It asks for what libvirt never does: pre-associate, filters of other formats."""
    bed = station(Dialect.RATIFIED)
    vsi = a_vsi()
    since = bed.switch.mark
    told = bed.vdptool.ask("low1", command, vsi, [entry], form=form)
    assert (told.command, told.instance.bytes, told.type_id) == (command, vsi.instance, vsi.type_id)
    (asked,) = bed.wait_for(
        lambda e: e.kind is EventKind.HEARD and getattr(e.frame, "associations", ()), since=since
    ).frame.associations
    assert (asked.command, asked.vsi, asked.filter_format) == (command, vsi, form)
    assert asked.filters == (entry,)
    assert [x.instance.bytes for x in bed.vdptool.vsis("low1", command)] == [vsi.instance]
    bed.vdptool.ask("low1", Command.DE_ASSOCIATE, vsi, [entry], form=form)
    assert bed.switch.vsis("low1") == ()


def test_vdptool_refused(station):
    """It says no more than that the VSI is de-associated, and that with exit status 0."""
    bed = station(Dialect.RATIFIED)
    bed.switch.set_types(TYPES)
    try:
        told = bed.vdptool.ask("low1", Command.ASSOCIATE, a_vsi(type_id=5), [FilterInfo(0, MAC)])
    finally:
        bed.switch.set_types(None)
    assert told.command is Command.DE_ASSOCIATE


@pytest.mark.parametrize(
    ("form", "entry", "words"),
    [
        (FilterFormat.GROUP_MAC_VID, FilterInfo(1, MAC, group=7), "Invalid parameters"),
        (FilterFormat.MAC_VID, FilterInfo(1, MAC), "Invalid parameters"),
    ],
    ids=["no-groups-agreed", "vid-1"],
)
def test_vdptool_invalid(station, form, entry, words):
    """Groups take both sides' support; VID 1 lldpad does not take."""
    bed = station(Dialect.RATIFIED)
    with pytest.raises(CommandError, match=words):
        bed.vdptool.ask("low1", Command.ASSOCIATE, a_vsi(), [entry], form=form, wait=False)


def test_vdptool_speaks_the_ratified_dialect_only(station):
    bed = station(Dialect.DRAFT)
    with pytest.raises(CommandError, match="Device not found or inactive"):
        bed.vdptool.ask("low1", Command.ASSOCIATE, a_vsi(), [FilterInfo(0, MAC)], wait=False)


# ---------------------------------------------------------------------- what keeps libvirt from it


def test_without_lldpad(own_station):
    """The user is told nothing of lldpad; the daemon's log is."""
    bed = own_station(stations=[])
    tried = bed.attempt(bed.nic())
    assert "sending of PortProfileRequest failed" in tried.error.message
    assert re.search(r"Error opening file .*/run/lldpad\.pid", tried.logged)
    assert "lldpad" in tried.error.remedy


def test_lldpad_ended(own_station, dialect):
    """Its file is still there, with the number of a process that is not."""
    bed = own_station(dialect=dialect)
    bed.lldpad.stop(kill=True)
    tried = bed.attempt(bed.nic())
    assert "sending of PortProfileRequest failed" in tried.error.message
    assert "Connection refused" in tried.logged


def test_lldpad_as_it_comes(own_station):
    """By itself it sends no EVB TLV: libvirt is refused."""
    from harness.vsi.station import Station

    bed = own_station(stations=[Station(link="low1", enabled=False)])
    tried = bed.attempt(bed.nic())
    assert "sending of PortProfileRequest failed" in tried.error.message
    assert "No such device or address" in tried.logged


def test_netlink_port_with_bit_31_set(own_station):
    """Libvirt 9.0 takes it for an error, and sends nothing; ours is found out beforehand."""
    bed = own_station(netlink_port=NetlinkPort.UNUSABLE)
    assert bed.host.libvirtd.mute
    since = bed.switch.mark
    nic = bed.nic()
    tried = bed.attempt(nic)
    assert "sending of PortProfileRequest failed" in tried.error.message
    assert "recvfrom" not in tried.lldpad
    assert bed.asked(nic, since=since) == []


def start(bed, program):
    from harness.vsi.station import Lldpad, VdpTool

    if program == "lldpad":
        return Lldpad(bed.family, bed.ns, bed.host.libvirtd.sandbox, [])
    return VdpTool(bed.lldpad)


@pytest.mark.parametrize("program", ["lldpad", "vdptool"])
def test_lldpad_is_missing(station, monkeypatch, program):
    """Said with the package that has it."""
    bed = station(Dialect.RATIFIED)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(UnfitError, match=f"there is no {program} here; apt install lldpad"):
        start(bed, program)


def test_lldpad_takes_root(station, monkeypatch):
    """Said before it is tried."""
    bed = station(Dialect.RATIFIED)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnfitError, match="run it with sudo"):
        start(bed, "lldpad")
