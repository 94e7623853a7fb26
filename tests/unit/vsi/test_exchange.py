"""Stations and bridges on a wire that loses, repeats, delays and reorders.

Peer ---- simulated wire ---- Bridge
"""

import heapq
import itertools
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.vsi.bridge import Bridge
from harness.vsi.events import EventKind
from harness.vsi.facts import Command, Dialect, EcpFrame
from harness.vsi.faults import Fault, FaultKind, Faults
from harness.vsi.frames import read, write
from harness.vsi.instances import Instances, Second
from harness.vsi.lldp_machine import EvbPolicy
from harness.vsi.peer import Peer
from harness.vsi.vdp_machine import VsiState

PRE, PRE_RR, ASSOCIATE, DE_ASSOCIATE = Command
UNASSOCIATED, PRE_ASSOCIATED, PRE_ASSOCIATED_RR, ASSOCIATED = VsiState
STATES = {
    PRE: PRE_ASSOCIATED,
    PRE_RR: PRE_ASSOCIATED_RR,
    ASSOCIATE: ASSOCIATED,
    DE_ASSOCIATE: UNASSOCIATED,
}
each_dialect = pytest.mark.parametrize("dialect", list(Dialect))
DELAY = 0.001
CLEAN = ((DELAY,),)


def quick(examples):
    """The same examples each time."""
    return settings(
        max_examples=examples, derandomize=True, deadline=None, database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )  # fmt: skip


class Link:
    """A station and a bridge's port, with a wire between them.

    `fates` are taken in turns, for ever: the delays of a frame's copies, none where it is lost.
    """

    def __init__(self, peer, bridge, fates=CLEAN, *, check=lambda: None):
        self.peer, self.bridge = peer, bridge
        self.plug(fates)
        self.check = check
        self.now = 0.0
        self.heard = []  # by the station: (time, what)
        self.sent = []  # by the station
        self.events = {"peer": [], "bridge": []}
        self._order = itertools.count()
        self._air = []
        self.step("peer", "advance")
        self.step("bridge", "advance")

    def plug(self, fates):
        self._fates = itertools.cycle(fates)

    def step(self, name, what, *arguments):
        """`peer.what(*arguments, now)`, and what it sends on its way."""
        self.carry(name, getattr(getattr(self, name), what)(*arguments, self.now))

    def carry(self, name, outcome):
        self.events[name] += outcome.events
        other = "bridge" if name == "peer" else "peer"
        for octets in outcome.frames:
            if name == "peer":
                self.sent.append((self.now, read(octets)))
            for delay in next(self._fates):
                heapq.heappush(self._air, (self.now + delay, next(self._order), other, octets))
        self.check()

    def ask(self, *associations):
        self.step("peer", "ask", associations)

    def next(self):
        arrival = self._air[0][0] if self._air else math.inf
        return max(min(arrival, self.peer.deadline, self.bridge.deadline), self.now)

    def run(self, until):
        """Let time pass."""
        while (at := self.next()) <= until:
            self.now = at
            if self._air and self._air[0][0] <= at:
                _, _, name, octets = heapq.heappop(self._air)
                if name == "peer":
                    self.heard.append((at, read(octets)))
                self.step(name, "receive", octets)
            else:
                self.step("peer" if self.peer.deadline <= at else "bridge", "advance")
        self.now = until

    def whys(self):
        """Why the station's VSIs moved."""
        texts = [e.text for e in self.events["peer"] if e.kind is EventKind.MOVED]
        return [text.partition(": ")[2] for text in texts]

    def requests(self):
        """Every copy of every ECPDU that the station sent with something in it."""
        return [f for _, f in self.sent if isinstance(f, EcpFrame) and f.associations]


def instance_of(number):
    return number.to_bytes(16, "big")


def mac_of(number):
    return bytes.fromhex("5254") + number.to_bytes(4, "big")


def states(bridge):
    return {entry.vsi.instance: entry.machine.state for entry in bridge.vsis}


# ---------------------------------------------------------------------- a clean wire


@each_dialect
def test_life_of_a_vsi(station, dialect):
    """Both sides agree on each state, which is kept alive for minutes."""
    link = Link(Peer(dialect=dialect), Bridge())
    for command in Command:
        link.ask(station.vsi(command))
        link.run(link.now + 120)
        assert link.peer.state(instance_of(1)) is STATES[command]
        assert states(link.bridge).get(instance_of(1), UNASSOCIATED) is STATES[command]
        assert link.bridge.forwards(mac_of(1)) is (command is ASSOCIATE)
    assert link.peer.relaying
    assert link.bridge.relaying
    assert link.whys() == ["granted"] * 4
    assert len(link.peer) == 0


@each_dialect
def test_many_vsis_in_few_frames(station, dialect):
    """500 associations, kept alive twice: packed up to what a frame holds, answered likewise."""
    link = Link(Peer(dialect=dialect), Bridge())
    link.ask(*(station.vsi(ASSOCIATE, number) for number in range(1, 501)))
    link.run(22)
    assert link.peer.count(ASSOCIATED) == len(link.bridge.vsis) == 500
    requests = link.requests()
    assert len(requests) == 3 * math.ceil(500 / 36)
    assert max(len(write(frame)) for frame in requests) <= 1514
    link.ask(*(station.vsi(DE_ASSOCIATE, number) for number in range(1, 501)))
    link.run(23)
    assert (len(link.peer), link.bridge.vsis) == (0, ())


def test_one_frame_has_one_manager(station):
    link = Link(Peer(), Bridge())
    link.ask(*(station.vsi(ASSOCIATE, n, manager=n % 2 + 1) for n in range(1, 7)))
    link.run(1)
    assert link.peer.count(ASSOCIATED) == 6
    assert len(link.requests()) == 6


def test_what_is_wanted_meanwhile_is_asked_afterwards(station):
    link = Link(Peer(), Bridge())
    link.ask(station.vsi(ASSOCIATE))
    link.ask(station.vsi(PRE))
    link.ask(station.vsi(DE_ASSOCIATE))
    link.run(1)
    assert [f.associations[0].command for f in link.requests()] == [ASSOCIATE, DE_ASSOCIATE]
    assert states(link.bridge) == {}


@each_dialect
def test_sequences_wrap(station, dialect):
    """Behind 65535 comes 1: 0 is never sent, and nothing is taken for a copy."""
    link = Link(Peer(dialect=dialect, sequence=0xFFFD), Bridge(sequence=0xFFFD))
    for number in range(1, 6):
        link.ask(station.vsi(ASSOCIATE, number))
        link.run(link.now + 1)
    assert [f.sequence for f in link.requests()] == [0xFFFE, 0xFFFF, 1, 2, 3]
    answers = [f for _, f in link.heard if isinstance(f, EcpFrame) and f.associations]
    assert [f.sequence for f in answers] == [0xFFFE, 0xFFFF, 1, 2, 3]
    assert link.peer.count(ASSOCIATED) == len(link.bridge.vsis) == 5


@pytest.mark.parametrize("how", ["reset", "power"])
@each_dialect
def test_a_bridge_that_forgets_is_told_anew(station, dialect, how):
    """By the next keepalive, whether or not the station is told that LLDP began anew."""
    link = Link(Peer(dialect=dialect), Bridge())
    link.ask(station.vsi(ASSOCIATE))
    link.run(5)
    if how == "reset":
        link.step("bridge", "reset")
    else:
        link.bridge = Bridge(sequence=1000, now=link.now)
    assert not link.bridge.forwards(mac_of(1))
    link.run(16)
    assert link.bridge.forwards(mac_of(1))
    assert link.peer.state(instance_of(1)) is ASSOCIATED


@each_dialect
def test_a_station_that_is_gone_times_out(station, dialect):
    """Its VSIs, then its word on reflective relay."""
    link = Link(Peer(dialect=dialect), Bridge())
    link.ask(station.vsi(ASSOCIATE))
    link.run(5)
    link.plug([()])
    link.run(26)
    assert not link.bridge.forwards(mac_of(1))
    assert link.bridge.relaying
    link.run(130)
    assert not link.bridge.relaying


def test_goodbye_ends_reflective_relay(station):
    link = Link(Peer(), Bridge())
    link.ask(station.vsi(ASSOCIATE))
    link.run(5)
    assert link.bridge.reflects(mac_of(1))
    link.step("peer", "goodbye")
    link.run(5.1)
    assert not link.bridge.reflects(mac_of(1))
    assert link.bridge.forwards(mac_of(1))


def test_short_timers_are_agreed_on(station):
    """Both sides must want them: the larger is in use."""
    short = EvbPolicy(rte=10, rwd=14, rka=16)
    link = Link(Peer(policy=short), Bridge(policy=short))
    link.ask(station.vsi(ASSOCIATE))
    link.run(10)
    assert len(link.requests()) == 1 + int(10 / 0.65536)
    assert link.peer.timers == link.bridge.timers(Dialect.RATIFIED)
    link = Link(Peer(policy=short), Bridge())
    link.run(1)
    assert link.peer.timers.station_keepalive == pytest.approx(10.48576)


# ---------------------------------------------------------------------- what a fault looks like


@pytest.mark.parametrize(
    ("fault", "state", "copies", "whys"),
    [
        pytest.param(Fault(FaultKind.REFUSE, code=2), UNASSOCIATED, 1,
                     ["refused: insufficient resources"], id="refuse"),
        pytest.param(Fault(FaultKind.NO_ACK), UNASSOCIATED, 4, ["no answer"], id="no-ack"),
        pytest.param(Fault(FaultKind.NO_ANSWER), UNASSOCIATED, 1, ["no answer"], id="no-answer"),
        pytest.param(Fault(FaultKind.LATE_ACK, seconds=0.4), ASSOCIATED, 3, ["granted"],
                     id="late-ack"),
        pytest.param(Fault(FaultKind.DUPLICATE), ASSOCIATED, 1, ["granted"], id="duplicate"),
        pytest.param(Fault(FaultKind.WRONG_SEQUENCE), ASSOCIATED, 4, ["granted"],
                     id="wrong-sequence"),
        pytest.param(Fault(FaultKind.RESET, times=1), UNASSOCIATED, 1, ["no answer"], id="reset"),
        pytest.param(Fault(FaultKind.DE_ASSOCIATE, seconds=3.0), UNASSOCIATED, 1,
                     ["granted", "de-associated by the bridge"], id="de-associate"),
        pytest.param(Fault(FaultKind.REWRITE_VID, vid=42), ASSOCIATED, 1, ["granted"],
                     id="rewrite-vid"),
        pytest.param(Fault(FaultKind.RESOURCE_WAIT), UNASSOCIATED, 1,
                     ["refused: unable to contact VSI manager"], id="resource-wait"),
        pytest.param(Fault(FaultKind.NO_EVB), ASSOCIATED, 1, ["granted"], id="no-evb"),
    ],
)  # fmt: skip
def test_what_a_station_sees_of_a_fault(station, fault, state, copies, whys):
    """A first association: how often it is sent, what comes of it, and why."""
    bridge = Bridge(faults=Faults([fault]))
    peer = Peer(policy=EvbPolicy(rka=22))  # no keepalive within the test
    link = Link(peer, bridge)
    link.ask(station.vsi(ASSOCIATE))
    link.run(20)
    assert peer.state(instance_of(1)) is state
    assert len(link.requests()) == copies
    assert link.whys() == whys
    assert peer.relaying is (fault.kind is not FaultKind.NO_EVB)
    vid = 42 if fault.kind is FaultKind.REWRITE_VID else 0
    granted = state is ASSOCIATED or fault.kind is FaultKind.NO_ANSWER  # until it is not kept alive
    assert bridge.forwards(mac_of(1), vid) is granted


def test_a_keepalive_that_is_not_answered(station):
    """The station waits for as long as for any answer, then gives the VSI up."""
    link = Link(Peer(), Bridge(faults=Faults([Fault(FaultKind.NO_KEEPALIVE)])))
    link.ask(station.vsi(ASSOCIATE))
    link.run(10.4 + 17.4)
    assert link.peer.state(instance_of(1)) is ASSOCIATED
    link.run(28.1)
    assert link.whys() == ["granted", "no answer"]


def test_a_keepalive_with_a_vid_that_was_granted(station):
    """What was granted is kept alive, not what was asked for."""
    link = Link(Peer(), Bridge(faults=Faults([Fault(FaultKind.REWRITE_VID, vid=42)])))
    link.ask(station.vsi(ASSOCIATE))
    link.run(11)
    assert [f.associations[0].filters[0].vid for f in link.requests()] == [0, 42]


@pytest.mark.parametrize("hard", [False, True])
def test_asking_again(station, hard):
    """What is refused is asked for again, unless that is said not to help."""
    fault = Fault(FaultKind.REFUSE, times=2, hard=hard)
    link = Link(Peer(again=1.0), Bridge(faults=Faults([fault])))
    link.ask(station.vsi(ASSOCIATE))
    link.run(5)
    assert len(link.requests()) == (1 if hard else 3)
    assert link.peer.state(instance_of(1)) is (UNASSOCIATED if hard else ASSOCIATED)


# ---------------------------------------------------------------------- two stations


def two_links(second, again):
    shared = Instances(second=second)
    links = [
        Link(Peer(address=mac_of(0xF0 + n), again=again), Bridge(str(n), instances=shared))
        for n in range(2)
    ]
    return links, shared


def run_both(links, until):
    """Let time pass on both; at no moment do both ports forward."""
    while (at := min(link.next() for link in links)) <= until:
        for link in links:
            link.run(at)
            assert sum(one.bridge.forwards(mac_of(1)) for one in links) <= 1
    for link in links:
        link.run(until)


@pytest.mark.parametrize(
    ("second", "has"),
    [
        pytest.param(Second.MOVE, [False, True], id="move"),
        pytest.param(Second.REFUSE, [True, False], id="refuse"),
    ],
)
def test_two_stations_with_one_instance(station, second, has):
    """One has it: the second, and the first is told; or the first, and the second is refused."""
    links, _ = two_links(second, None)
    for link, until in zip(links, (1.0, 100.0), strict=True):
        link.ask(station.vsi(ASSOCIATE))
        run_both(links, until)
    assert [link.bridge.forwards(mac_of(1)) for link in links] == has
    assert [link.peer.state(instance_of(1)) is ASSOCIATED for link in links] == has
    loser = links[has.index(False)]
    assert loser.whys()[-1] in ("de-associated by the bridge", "refused: other failure")


def test_two_stations_that_insist_on_one_instance(station):
    """They take it from each other for ever: never both, and nothing piles up."""
    links, shared = two_links(Second.MOVE, 1.0)
    for link in links:
        link.ask(station.vsi(ASSOCIATE))
    run_both(links, 30.0)
    assert all(len(link.requests()) > 10 for link in links)
    assert len(shared) <= 1


# ---------------------------------------------------------------------- any wire

FIFO = st.sampled_from([(), (DELAY,), (DELAY, DELAY)])
ANY = st.sampled_from([(), (DELAY,), (DELAY, DELAY), (0.05,), (0.3,), (0.01, 2.0), (DELAY, 20.0)])
STEPS = st.lists(
    st.tuples(
        st.sampled_from([*Command, *Command, "withdraw", "reset", "power", "unplug", "plug"]),
        st.integers(1, 3),
        st.sampled_from([0.0, 0.0005, 0.1, 3.0, 20.0]),
    ),
    min_size=3,
    max_size=12,
)


class Watched:
    """What must hold at every moment, whatever the wire does.

    `fifo`: where it does not reorder, nothing passes of which the station knows that it is gone.
    """

    def __init__(self, dialect, fates, *, fifo):
        self.asked = {}
        self.ever = set()
        self.fifo = fifo
        self.power = 0
        self.link = Link(Peer(dialect=dialect, again=1.0), Bridge(most=8), fates, check=self.check)

    def check(self):
        link = getattr(self, "link", None)
        if link is None:
            return
        peer, bridge = link.peer, link.bridge
        for number in range(1, 4):
            if not bridge.forwards(mac_of(number)):
                continue
            assert number in self.ever
            if self.fifo and self.asked[number] is not ASSOCIATE:
                settled = peer.settled(instance_of(number)) and self.answered(number)
                assert not settled, f"{number} passes, and its station knows better"
        assert len(bridge.vsis) <= 8
        assert len(peer) <= 3
        assert len(bridge._table._due) <= 2 * 8 + 65
        assert len(peer._due) <= 2 * 3 + 65
        assert all(ecp.waiting <= 8 for ecp in bridge._ecps.values())

    def answered(self, number):
        """Whether the station was granted what it asked for last, rather than hearing nothing."""
        moved = [
            event.text
            for event in self.link.events["peer"]
            if event.kind is EventKind.MOVED and event.vsi.instance == instance_of(number)
        ]
        return bool(moved) and moved[-1].endswith("granted")

    def do(self, what, number, association):
        link = self.link
        if isinstance(what, Command):
            self.asked[number] = what
            if what is ASSOCIATE:
                self.ever.add(number)
            link.ask(association(what, number))
        elif what == "withdraw":
            link.step("bridge", "de_associate", instance_of(number))
        elif what == "reset":
            link.step("bridge", "reset")
        elif what == "power":
            self.power += 1
            link.bridge = Bridge(most=8, sequence=1000 * self.power, now=link.now)


def converges(station, watched, steps, fates):
    for what, number, pause in steps:
        watched.do(what, number, station.vsi)
        if what in ("unplug", "plug"):
            watched.link.plug([()] if what == "unplug" else fates)
        watched.link.run(watched.link.now + pause)
    link = watched.link
    link.plug(CLEAN)
    link.run(link.now + 75)  # what is on its way, then keepalives of both sides
    for number in range(1, 4):
        wanted = STATES[watched.asked.get(number, DE_ASSOCIATE)]
        assert link.peer.state(instance_of(number)) is wanted
        assert states(link.bridge).get(instance_of(number), UNASSOCIATED) is wanted
        assert link.bridge.forwards(mac_of(number)) is (wanted is ASSOCIATED)
    assert link.peer.relaying
    assert link.bridge.relaying


@quick(40)
@given(st.sampled_from(list(Dialect)), st.lists(FIFO, min_size=1, max_size=30), STEPS)
def test_a_wire_that_loses_and_repeats(station, dialect, fates, steps):
    """Nothing passes that is not agreed upon; once the wire is clean all is as it was wanted."""
    converges(station, Watched(dialect, fates, fifo=True), steps, fates)


@quick(40)
@given(st.sampled_from(list(Dialect)), st.lists(ANY, min_size=1, max_size=30), STEPS)
def test_a_wire_that_delays_and_reorders(station, dialect, fates, steps):
    """An old copy may bring back what is gone, as ECP knows the last only: until it is clean."""
    converges(station, Watched(dialect, fates, fifo=False), steps, fates)


# ---------------------------------------------------------------------- malformed input

ZERO = bytes.fromhex("0a00")  # a TLV without octets: whoever does not step over it loops
ONE = bytes.fromhex("0621001234570205") + bytes(16) + bytes.fromhex("0200015254000000010000")
MANAGER = bytes.fromhex("0a100b") + bytes(15)
DRAFT_ONE = (
    bytes.fromhex("fe26001b3f0202000b12345702") + bytes(16)
    + bytes.fromhex("0200015254000000010000")
)  # fmt: skip
PARTS = st.lists(
    st.sampled_from([ZERO, b"\0\0", ONE, MANAGER, DRAFT_ONE, b"\xfe\x01", b"\x07\xff"])
    | st.binary(max_size=24),
    max_size=30,
).map(b"".join)
HEADS = ["894010010001", "894014010001", "88b7001b3f000000000001", "88b7001b3f000000010001",
         "88cc020704525400000001040703525400000001060200780000"]  # fmt: skip


@pytest.mark.parametrize(
    ("tlvs", "answers"),
    [
        pytest.param(MANAGER + ZERO * 700, 0, id="empty-for-ever"),
        pytest.param(MANAGER + ONE * 40, 40, id="the-same-again"),
        pytest.param(ONE + MANAGER, 1, id="wrongly-ordered"),
        pytest.param((MANAGER + ONE) * 20, 20, id="managers-again"),
        pytest.param(MANAGER + ONE[:-3], 0, id="truncated"),
        pytest.param(MANAGER + ONE * 250, 250, id="a-jumbo-frame"),
    ],
)
def test_malformed_requests(tlvs, answers):
    """Each association that can be read is answered, in frames of the usual size."""
    link = Link(Peer(now=math.inf), Bridge())
    link.step("bridge", "receive", bytes(12) + bytes.fromhex(HEADS[0]) + tlvs)
    link.run(5)
    got = [f for _, f in link.heard if isinstance(f, EcpFrame) and not f.acknowledge]
    unique = {frame.sequence: frame for frame in got}
    assert sum(len(frame.associations) for frame in unique.values()) == answers
    assert len(link.bridge.vsis) <= 1


@quick(120)
@given(
    st.sampled_from(list(Dialect)),
    st.lists(st.tuples(st.sampled_from(HEADS), PARTS, st.integers(12, 9000)), max_size=4),
)
def test_any_octets_reach_either_side(station, dialect, frames):
    """Nothing raises, what is sent fits a frame, and a VSI that both want comes about anyway."""
    link = Link(Peer(dialect=dialect, again=1.0), Bridge())
    link.ask(station.vsi(ASSOCIATE))
    for head, tlvs, length in frames:
        octets = (bytes(12) + bytes.fromhex(head) + tlvs)[:length]
        for side in ("peer", "bridge"):
            link.step(side, "receive", octets)
        link.run(link.now + 0.01)
    link.run(link.now + 3)
    assert link.peer.state(instance_of(1)) is ASSOCIATED
    assert all(len(write(frame)) <= 1514 for _, frame in link.sent)
