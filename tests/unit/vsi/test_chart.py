"""Sequence charts of what was captured, and of what goes wrong."""

import pytest

from harness.vsi.bridge import Bridge
from harness.vsi.chart import chart
from harness.vsi.facts import Command
from harness.vsi.faults import Fault, FaultKind, Faults
from harness.vsi.live.trace import Passed

PRE, PRE_RR, ASSOCIATE, DE_ASSOCIATE = Command
RATIFIED = """
  seconds  lldpad                                                                   switch
    1.065  │─── LLDP EVB: reflective relay requested, RKA 10.5 s ×2 ────────────────────▶│
           │                                                        reflective relay on  │
    3.372  │─── ECP 1 associate 09b11c53… 52:54:00:aa:00:01 ────────────────────────────▶│
           │                                                     ● 09b11c53… associated  │
           │◀── ack 1 ───────────────────────────────────────────────────────────────────│
           │◀── ECP 257 VDP associate 09b11c53…: success ────────────────────────────────│
           │─── ack 257 ────────────────────────────────────────────────────────────────▶│
    5.889  │─── ECP 2 de-associate 09b11c53… 52:54:00:aa:00:01 ─────────────────────────▶│
           │                                                   ● 09b11c53… unassociated  │
           │◀── ack 2 ───────────────────────────────────────────────────────────────────│
           │◀── ECP 258 VDP de-associate 09b11c53…: success ─────────────────────────────│
    5.891  │─── ack 258 ────────────────────────────────────────────────────────────────▶│
"""
DRAFT = """
  seconds  lldpad                                                                   switch
    1.061  │─── LLDP EVB: draft 0.2, reflective relay requested ×3 ─────────────────────▶│
           │                                                        reflective relay on  │
    2.069  │─── ECP 1 without any association ──────────────────────────────────────────▶│
           │◀── ack 1 ───────────────────────────────────────────────────────────────────│
    8.622  │─── ECP 2 associate 09b11c53… 52:54:00:aa:00:01 ────────────────────────────▶│
           │                                                     ● 09b11c53… associated  │
           │◀── ack 2 ───────────────────────────────────────────────────────────────────│
           │◀── ECP 257 VDP associate 09b11c53…: success ────────────────────────────────│
    8.623  │─── ack 257 ────────────────────────────────────────────────────────────────▶│
   11.104  │─── ECP 3 de-associate 09b11c53… 52:54:00:aa:00:01 ─────────────────────────▶│
           │                                                   ● 09b11c53… unassociated  │
           │◀── ack 3 ───────────────────────────────────────────────────────────────────│
           │◀── ECP 258 VDP de-associate 09b11c53…: success ─────────────────────────────│
           │─── ack 258 ────────────────────────────────────────────────────────────────▶│
"""


def test_captured(conversation):
    """lldpad, on libvirt's behalf, as it was captured; the states are those of a bridge."""
    dialect, frames = conversation
    bridge, events = Bridge(sequence=0x100), []
    for at, way, octets in frames:
        if way == "<":
            events += [("low", event) for event in bridge.receive(octets, at).events]
    trace = [Passed(at, "low", way == ">", octets, "control") for at, way, octets in frames]
    expected = RATIFIED if dialect == "ratified" else DRAFT
    assert chart(trace, events, station="lldpad", width=90) == expected.lstrip("\n")


class Recorded(Bridge):
    """A bridge whose port keeps what passes, as a switch does."""

    def __init__(self, **kinds):
        super().__init__("low", **kinds)
        self.trace, self.events = [], []

    def receive(self, frame, now):
        self.trace.append(Passed(now, "low", False, frame, "control"))
        return self._kept(super().receive(frame, now), now)

    def advance(self, now):
        return self._kept(super().advance(now), now)

    def _kept(self, outcome, now):
        self.trace += [Passed(now, "low", True, frame, "control") for frame in outcome.frames]
        self.events += [("low", event) for event in outcome.events]
        return outcome

    def lines(self, **kinds):
        """The chart, but for LLDP and the times."""
        lines = chart(self.trace, self.events, **kinds).splitlines()[1:]
        return [line[11:].replace("─", "").strip("│ ") for line in lines if "LLDP" not in line]


@pytest.fixture
def recorded(station):
    def make(*faults, **kinds):
        return station.on(Recorded(faults=Faults(faults), **kinds))

    return make


def test_keepalives_are_shown_once(recorded):
    peer = recorded()
    for turn in range(13):
        peer.wait(1.5 + 10 * turn)
        peer.ask(ASSOCIATE, now=1.5 + 10 * turn)
    assert peer.bridge.lines() == [
        "ECP 1 associate 00000000… 52:54:00:00:00:01 ▶",
        "● 00000000… associated",
        "◀ ack 1",
        "◀ ECP 1 VDP associate 00000000…: success",
        "ack 1 ▶",
        "ECP 2 associate 00000000… 52:54:00:00:00:01 ▶",
        "◀ ack 2",
        "◀ ECP 2 VDP associate 00000000…: success",
        "ack 2 ▶",
        "the same 4 lines 11 times more, until 121.500",
    ]


def test_news_of_lldp_are_shown_once(recorded):
    peer = recorded()
    for turn in range(12):
        peer.announce(10.0 * turn)
    peer.announce(121.0, relay=False)
    lines = [x[11:].strip("│─ ") for x in chart(peer.bridge.trace, ()).splitlines()]
    heard = [line.replace("─", "") for line in lines if line.endswith("▶")]
    assert [line.partition("reflective relay ")[2] for line in heard] == [
        "requested, RKA 10.5 s ×12 ▶",
        "not requested, RKA 10.5 s ▶",
    ]


def test_what_goes_wrong(recorded):
    """No acknowledgement twice, a refusal, an answer that nobody acknowledges, a withdrawal."""
    peer = recorded(
        Fault(FaultKind.NO_ACK, times=2),
        Fault(FaultKind.REFUSE, code=3, hard=True, times=1),
    )
    for again in (False, True, True):
        peer.ask(ASSOCIATE, now=1.0, again=again)
    peer.ask(ASSOCIATE, now=2.0)
    peer.deaf = True
    peer.take(peer.bridge.de_associate(bytes(15) + b"\1", 3.0), 3.0)
    peer.wait(4.0)
    found = "\n".join(peer.bridge.lines())
    for line in (
        "ECP 1 associate 00000000… 52:54:00:00:00:01 (copy 3) ▶",
        "00000000… fault: no-ack",
        "◀ ECP 1 VDP associate 00000000…: refused (3), unable to contact VSI manager, hard",
        "given up: sequence 3 unacknowledged",
    ):
        assert line in found


def test_frames_that_are_lost(recorded):
    """And others that are not the bridge's own: each is told with its fate, many of them once."""
    frame = bytes.fromhex("525400000002525400000001") + b"\x08\0" + bytes(46)
    trace = [Passed(1.0 + n, "low", False, frame, "dropped: not associated") for n in range(3)]
    trace += [Passed(5.0, "low", True, frame, "dropped: the link is down")]
    lines = chart(trace, width=80).splitlines()
    assert [line[9:].strip(" │─") for line in lines[1:]] == [
        "52:54:00:00:00:01 to 52:54:00:00:00:02 ×3 ✗ not associated",
        "52:54:00:00:00:01 to 52:54:00:00:00:02 ✗ the link is down",
    ]
    assert len({len(line) for line in lines}) == 1
    assert chart(trace, data=False).count("\n") == 1


def test_no_line_is_too_long(recorded, station):
    peer = recorded(Fault(FaultKind.REFUSE, code=3, keep=True, hard=True))
    peer.announce()
    peer.send(*[station.vsi(ASSOCIATE, number) for number in range(1, 30)])
    for width in (20, 60, 75, 100):
        lines = chart(peer.bridge.trace, peer.bridge.events, width=width).splitlines()
        assert max(map(len, lines)) <= max(width, 60)
        assert any("and 28" in line for line in lines)


def test_other_ports_are_left_out(recorded):
    peer = recorded()
    peer.ask(ASSOCIATE)
    assert chart(peer.bridge.trace, peer.bridge.events, port="other").count("\n") == 1
