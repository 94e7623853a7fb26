"""Captured conversations, and stations by script."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.vsi.bridge import Bridge
from harness.vsi.facts import (
    Association,
    Command,
    Dialect,
    DraftEvb,
    EcpFrame,
    Evb,
    EvbMode,
    FilterInfo,
    LldpFrame,
    Vsi,
    manager_of,
)
from harness.vsi.frames import read, write

DATA = Path(__file__).with_name("data")


def captured(dialect):
    """(seconds, direction, octets) of each frame that was captured in a dialect."""
    lines = (DATA / f"{dialect}.frames").read_text().splitlines()
    split = [line.split() for line in lines if not line.startswith("#")]
    return [(float(at), way, bytes.fromhex(octets)) for at, way, octets in split]


@pytest.fixture(params=["ratified", "draft"])
def conversation(request):
    """Every captured frame of one dialect."""
    return request.param, captured(request.param)


class Station:
    """A scripted station on a bridge's port, which acknowledges what it gets unless told not to.

    station ---- wire ---- bridge
    """

    def __init__(self, bridge, dialect=Dialect.RATIFIED, address="525400000001", *, deaf=False):
        self.bridge = bridge
        self.dialect = dialect
        self.address = bytes.fromhex(address)
        self.deaf = deaf
        self.sequence = 0
        self.answers = []
        self.acks = []
        self.lldp = []
        self.events = []

    def take(self, outcome, now):
        """What the bridge sent, and what that made happen."""
        self.events += outcome.events
        for octets in outcome.frames:
            found = read(octets)
            if isinstance(found, LldpFrame):
                self.lldp.append(found)
            elif found.acknowledge:
                self.acks.append(found.sequence)
            else:
                self.answers += found.associations
                if not self.deaf:
                    ack = replace(found, src=self.address, acknowledge=True, associations=())
                    self.take(self.bridge.receive(write(ack), now), now)

    def send(self, *associations, now=0.0, again=False):
        """One request; gives the answers to it that came at once."""
        self.sequence += not again
        frame = EcpFrame(
            self.dialect, self.address, bytes(6), self.sequence, associations=associations
        )
        before = len(self.answers)
        self.take(self.bridge.receive(write(frame), now), now)
        return self.answers[before:]

    def ask(self, command, number=1, *, now=0.0, again=False, **fields):
        """One association of the VSI with that number."""
        return self.send(vsi(command, number, **fields), now=now, again=again)

    def announce(self, now=0.0, *, relay=True, ttl=120, **exponents):
        """The station's LLDPDU."""
        evb = Evb(mode=EvbMode.STATION, rr_request=relay, rr_status=3, **exponents)
        draft = DraftEvb(smode=0x40, cmode=0x40 if relay else 0x80)
        ratified = self.dialect is Dialect.RATIFIED
        frame = LldpFrame(
            self.address, bytes(6), b"\4" + self.address, b"\3" + self.address, ttl,
            evb if ratified else None, None if ratified else draft,
        )  # fmt: skip
        self.take(self.bridge.receive(write(frame), now), now)

    def wait(self, now):
        """Let time pass: each deadline is kept when it comes."""
        while (at := self.bridge.deadline) <= now:
            self.take(self.bridge.advance(max(at, 0.0)), max(at, 0.0))


def vsi(command, number=1, *, manager=11, kind=7, version=2, vid=0, mac=None, form=2):
    """The association of a VSI by its number."""
    address = bytes.fromhex("5254") + number.to_bytes(4, "big") if mac is None else mac
    name = Vsi(manager_of(manager), kind, version, number.to_bytes(16, "big"))
    return Association(Command(command), name, (FilterInfo(vid, address),), form)


@pytest.fixture
def station():
    """Makes a bridge with a station on it: `station(dialect, faults=…)`."""

    def make(dialect=Dialect.RATIFIED, *, deaf=False, **kinds):
        return Station(Bridge(**kinds), dialect, deaf=deaf)

    make.on = Station
    make.vsi = vsi
    return make
