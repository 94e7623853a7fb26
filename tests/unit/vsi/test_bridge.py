"""The bridge at one port, before stations by script.

station ---- wire ---- bridge
"""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.vsi.bridge import Bridge
from harness.vsi.events import EventKind
from harness.vsi.facts import Command, Dialect, EcpFrame, LldpFrame
from harness.vsi.faults import Fault, FaultKind, Faults
from harness.vsi.frames import read, write
from harness.vsi.instances import Instances, Second
from harness.vsi.lldp_machine import EvbPolicy
from harness.vsi.types import parse_types

PRE, PRE_RR, ASSOCIATE, DE_ASSOCIATE = Command
MAC = bytes.fromhex("525400000001")
KEEPALIVE = {Dialect.RATIFIED: 17.45, Dialect.DRAFT: 20.25}
each_dialect = pytest.mark.parametrize("dialect", list(Dialect))


def test_captured_conversation(conversation):
    """What lldpad sent, sent again: the acknowledgements and answers are those captured."""
    _, frames = conversation
    bridge = Bridge(sequence=0x100)
    bridge.advance(0.0)
    for number, (at, way, octets) in enumerate(frames):
        if way == ">":
            continue
        got = [o for o in bridge.receive(octets, at).frames if isinstance(read(o), EcpFrame)]
        expected = []
        for _, direction, other in frames[number + 1 :]:
            if direction == "<":
                break
            expected.append(other)
        assert [o.hex() for o in got] == [o.hex() for o in expected]


def test_captured_station_gets_reflective_relay(conversation):
    _, frames = conversation
    bridge = Bridge()
    for at, way, octets in frames:
        if way == "<" and isinstance(read(octets), LldpFrame):
            bridge.receive(octets, at)
    assert bridge.relaying


@each_dialect
def test_life_of_a_vsi(station, dialect):
    """Only what is associated passes; pre-associated, with or without resources, does not."""
    peer = station(dialect)
    seen = []
    for command in (PRE, PRE_RR, ASSOCIATE, DE_ASSOCIATE):
        [answer] = peer.ask(command)
        assert (answer.command, answer.status.code) == (command, 0)
        assert answer.status.acknowledge is (dialect is Dialect.RATIFIED)
        seen.append(peer.bridge.forwards(MAC))
    assert seen == [False, False, True, False]
    assert peer.bridge.vsis == ()
    assert peer.acks == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("vid", "tag", "passes"),
    [(0, 0, True), (0, 5, False), (5, 5, True), (5, 0, False), (5, 6, False)],
)
def test_gate_is_by_address_and_vlan(station, vid, tag, passes):
    peer = station()
    peer.ask(ASSOCIATE, vid=vid)
    assert peer.bridge.forwards(MAC, tag) is passes
    assert not peer.bridge.forwards(bytes.fromhex("525400000002"), tag)


@each_dialect
def test_keepalive(station, dialect):
    """A VSI that its station repeats in time stays; then it is de-associated by the bridge."""
    peer = station(dialect)
    peer.ask(ASSOCIATE)
    over = KEEPALIVE[dialect]
    peer.wait(over - 0.5)
    assert [a.command for a in peer.ask(ASSOCIATE, now=over - 0.5)] == [ASSOCIATE]
    peer.wait(over + 5)
    assert peer.bridge.forwards(MAC)
    peer.wait(2 * over + 1)
    assert not peer.bridge.forwards(MAC)
    last = peer.answers[-1]
    assert (last.command, last.status.value) == (DE_ASSOCIATE, 0)


def test_keepalive_is_no_news(station):
    """It asks neither the database nor anybody else, so a refusal does not touch it."""
    fault = Fault(FaultKind.REFUSE, after=1)
    peer = station(faults=Faults([fault]))
    peer.ask(ASSOCIATE)
    assert peer.ask(ASSOCIATE, now=1.0)[0].status.value == 0x40


# ---------------------------------------------------------------------- ECP


def test_a_copy_is_acknowledged_and_not_done_again(station):
    peer = station()
    assert len(peer.ask(ASSOCIATE)) == 1
    assert peer.ask(DE_ASSOCIATE, again=True) == []
    assert peer.acks == [1, 1]
    assert peer.bridge.forwards(MAC)


@each_dialect
def test_a_station_that_began_anew_is_heard(station, dialect):
    """With the link, and after its goodbye, a station's sequences begin anew: no copies."""
    peer = station(dialect)
    peer.ask(ASSOCIATE)
    peer.take(peer.bridge.link_up(1.0), 1.0)
    assert len(peer.ask(ASSOCIATE, again=True)) == 1
    peer.announce()
    peer.announce(ttl=0)
    assert len(peer.ask(ASSOCIATE, again=True)) == 1


def test_an_answer_is_repeated_until_acknowledged(station):
    peer = station(deaf=True)
    peer.ask(ASSOCIATE)
    peer.ask(ASSOCIATE, 2)
    peer.wait(0.6)
    assert [a.vsi.instance[-1] for a in peer.answers] == [1, 1, 1, 1]
    peer.wait(0.7)
    assert peer.answers[-1].vsi.instance[-1] == 2
    assert EventKind.GIVEN_UP in [event.kind for event in peer.events]


# ---------------------------------------------------------------------- types

TYPES = """
[[type]]
manager = 11
id = 7
version = 2
vlan = 100
macs = ["52:54:00"]
reflective_relay = false

[[type]]
manager = 11
id = 8
refuse = 2
"""


@pytest.mark.parametrize(
    ("dialect", "fields", "code"),
    [
        pytest.param(Dialect.RATIFIED, {}, 0, id="good"),
        pytest.param(Dialect.RATIFIED, {"vid": 100}, 0, id="its-vlan"),
        pytest.param(Dialect.RATIFIED, {"vid": 101}, 5, id="another-vlan"),
        pytest.param(Dialect.RATIFIED, {"mac": b"\2\0\0\0\0\1"}, 5, id="another-mac"),
        pytest.param(Dialect.RATIFIED, {"manager": 12}, 3, id="manager"),
        pytest.param(Dialect.RATIFIED, {"kind": 9}, 4, id="type"),
        pytest.param(Dialect.DRAFT, {"kind": 9}, 3, id="draft-type"),
        pytest.param(Dialect.DRAFT, {"version": 3}, 5, id="draft-version"),
        pytest.param(Dialect.RATIFIED, {"kind": 8}, 2, id="refused"),
        pytest.param(Dialect.RATIFIED, {"form": 3}, 1, id="malformed"),
    ],
)
def test_types_decide(station, dialect, fields, code):
    peer = station(dialect, types=parse_types(TYPES))
    if fields.get("form"):  # 8 octets, read as entries of 6
        octets = bytearray()
        peer.sequence = 1
        frame = EcpFrame(dialect, peer.address, bytes(6), 1, associations=(station.vsi(ASSOCIATE),))

        octets += write(frame)
        octets[octets.index(b"\x02\x00\x01\x52\x54")] = 3
        peer.take(peer.bridge.receive(bytes(octets), 0.0), 0.0)
        [answer] = peer.answers
    else:
        [answer] = peer.ask(ASSOCIATE, **fields)
    assert answer.status.code == code
    assert (len(peer.bridge.vsis) == 1) is (code == 0)


def test_type_gives_the_vlan(station):
    peer = station(types=parse_types(TYPES))
    peer.ask(ASSOCIATE)
    assert peer.bridge.vlan(MAC) == 100
    assert peer.bridge.vlan(MAC, 100) is None
    peer.announce()
    assert peer.bridge.relaying
    assert not peer.bridge.reflects(MAC)  # the type is not allowed it


# ---------------------------------------------------------------------- LLDP


@each_dialect
@pytest.mark.parametrize("relay", [True, False])
@pytest.mark.parametrize("capable", [True, False])
def test_reflective_relay_takes_both(station, dialect, relay, capable):
    peer = station(dialect, policy=EvbPolicy(reflective_relay=capable))
    peer.ask(ASSOCIATE)
    peer.announce(relay=relay)
    assert peer.bridge.reflects(MAC) is (relay and capable)
    said = peer.lldp[-1]
    control = said.evb.rr_control if dialect is Dialect.RATIFIED else bool(said.draft.cmode & 0x40)
    assert control is (relay and capable)


def test_reflective_relay_ends_with_the_stations_word(station):
    peer = station()
    peer.announce(ttl=5)
    peer.wait(4.9)
    assert peer.bridge.relaying
    peer.wait(5.0)
    assert not peer.bridge.relaying


def test_the_larger_exponents_are_in_use(station):
    peer = station()
    peer.announce(rte=16, rka=21, rwd=10, retries=2)
    timers = peer.bridge.timers(Dialect.RATIFIED)
    assert timers.ack == pytest.approx(0.65536)
    assert timers.retries == 3
    assert timers.station_keepalive == pytest.approx(20.97152)
    assert timers.resource_wait == pytest.approx(10.48576)
    evb = peer.lldp[-1].evb
    assert (evb.rka, evb.remote_rka, evb.rwd, evb.remote_rwd) == (21, True, 20, False)


# ---------------------------------------------------------------------- faults


def faulty(station, kind, dialect=Dialect.RATIFIED, **fields):
    return station(dialect, faults=Faults([Fault(kind, **fields)]))


@each_dialect
def test_refuse(station, dialect):
    peer = faulty(station, FaultKind.REFUSE, dialect, code=3)
    assert peer.ask(ASSOCIATE)[0].status.value == (0x43 if dialect is Dialect.RATIFIED else 3)
    assert peer.bridge.vsis == ()


def test_refuse_and_keep(station):
    peer = faulty(station, FaultKind.REFUSE, code=2, keep=True, after=1)
    peer.ask(ASSOCIATE)
    assert peer.ask(ASSOCIATE, vid=9)[0].status.value == 0x62
    assert peer.bridge.forwards(MAC, 0)
    assert not peer.bridge.forwards(MAC, 9)


def test_no_ack_once(station):
    peer = faulty(station, FaultKind.NO_ACK, times=1)
    assert peer.ask(ASSOCIATE) == []
    assert peer.acks == []
    assert len(peer.ask(ASSOCIATE, again=True)) == 1


def test_late_ack(station):
    peer = faulty(station, FaultKind.LATE_ACK, seconds=2.0)
    peer.ask(ASSOCIATE)
    peer.wait(1.9)
    assert peer.acks == []
    peer.wait(2.0)
    assert peer.acks == [1]


def test_wrong_sequence(station):
    peer = faulty(station, FaultKind.WRONG_SEQUENCE)
    peer.ask(ASSOCIATE)
    assert peer.acks == [2]


def test_duplicate(station):
    peer = faulty(station, FaultKind.DUPLICATE)
    assert len(peer.ask(ASSOCIATE)) == 2
    assert peer.acks == [1, 1]


def test_no_answer(station):
    peer = faulty(station, FaultKind.NO_ANSWER)
    assert peer.ask(ASSOCIATE) == []
    assert peer.acks == [1]


def test_reset_mid_way(station):
    """Acknowledged, then forgotten; what is asked afterwards is new, and so are sequences."""
    peer = faulty(station, FaultKind.RESET, after=1, times=1)
    peer.ask(ASSOCIATE)
    assert peer.ask(ASSOCIATE, 2) == []
    assert not peer.bridge.forwards(MAC)
    assert len(peer.ask(ASSOCIATE)) == 1
    sent = [e.frame for e in peer.events if e.kind is EventKind.SENT]
    asked = [f.sequence for f in sent if isinstance(f, EcpFrame) and not f.acknowledge]
    assert asked == [1, 2]


def test_de_associate_from_the_bridges_side(station):
    peer = faulty(station, FaultKind.DE_ASSOCIATE, seconds=3.0)
    peer.ask(ASSOCIATE)
    peer.wait(2.9)
    assert peer.bridge.forwards(MAC)
    peer.wait(3.0)
    assert (peer.answers[-1].command, peer.answers[-1].status.value) == (DE_ASSOCIATE, 0)
    assert not peer.bridge.forwards(MAC)


def test_rewrite_vid(station):
    peer = faulty(station, FaultKind.REWRITE_VID, vid=42)
    [answer] = peer.ask(ASSOCIATE)
    assert answer.filters[0].vid == 42
    assert peer.bridge.forwards(MAC, 42)
    assert peer.ask(ASSOCIATE, vid=42)[0].status.value == 0x40  # repeats what was granted: alive


def test_no_keepalive(station):
    peer = faulty(station, FaultKind.NO_KEEPALIVE)
    assert len(peer.ask(ASSOCIATE)) == 1
    assert peer.ask(ASSOCIATE, now=1.0) == []


def test_no_evb(station):
    peer = faulty(station, FaultKind.NO_EVB)
    peer.wait(60.0)
    assert peer.lldp == []


def test_resource_wait(station):
    """Undecided for as long as agreed: what was associated is kept, anything else refused."""
    peer = faulty(station, FaultKind.RESOURCE_WAIT, after=1)
    peer.ask(ASSOCIATE)
    assert peer.ask(ASSOCIATE, 2) == []
    assert peer.ask(ASSOCIATE, vid=9) == []
    peer.wait(10.4)
    assert len(peer.answers) == 1
    peer.wait(10.5)
    assert [(a.vsi.instance[-1], a.status.value) for a in peer.answers[1:]] == [
        (2, 0x43),
        (1, 0x63),
    ]
    assert peer.bridge.forwards(MAC)


# ---------------------------------------------------------------------- two ports


def two_ports(station, second):
    shared = Instances(second=second)
    a = station(port="a", instances=shared)
    return a, station.on(Bridge("b", instances=shared), address="525400000002")


def test_an_instance_moves_to_the_port_that_associates_it_last(station):
    """A guest migrates: pre-associated at its destination, it stays where it is until then."""
    a, b = two_ports(station, Second.MOVE)
    a.ask(ASSOCIATE)
    b.ask(PRE_RR)
    assert (a.bridge.forwards(MAC), b.bridge.forwards(MAC)) == (True, False)
    b.ask(ASSOCIATE)
    assert (a.bridge.forwards(MAC), b.bridge.forwards(MAC)) == (False, True)
    assert a.bridge.deadline == -math.inf
    a.wait(0.1)
    assert (a.answers[-1].command, a.answers[-1].status.value) == (DE_ASSOCIATE, 0)
    assert b.bridge.forwards(MAC)


def test_an_instance_in_use_is_refused(station):
    a, b = two_ports(station, Second.REFUSE)
    a.ask(ASSOCIATE)
    assert b.ask(ASSOCIATE)[0].status.code == 4
    assert (a.bridge.forwards(MAC), b.bridge.forwards(MAC)) == (True, False)
    a.ask(DE_ASSOCIATE)
    assert b.ask(ASSOCIATE)[0].status.code == 0


# ---------------------------------------------------------------------- too much


@pytest.mark.parametrize("command", [PRE, ASSOCIATE])
def test_a_flood_costs_the_well_behaved_nothing(station, command):
    """10,000 VSIs from one who acknowledges nothing, where there is room for 100."""
    peer = station(most=100)
    peer.ask(ASSOCIATE, 1)
    peer.deaf = True
    for number in range(2, 10_002):
        peer.ask(command, number, now=1.0)
        assert len(peer.bridge.vsis) <= 100
    assert peer.bridge.forwards(MAC)
    peer.deaf = False
    peer.ask(ASSOCIATE, 1, now=2.0)
    peer.wait(17.0)
    assert peer.bridge.forwards(MAC)
    assert peer.bridge._ecps[Dialect.RATIFIED].waiting <= 100
    assert len(peer.bridge._table._due) <= 2 * 100 + 65
    if command is ASSOCIATE:
        refused = [e.frame for e in peer.events if e.kind is EventKind.DROPPED]
        assert refused


def test_refusals_give_way_to_answers(station):
    """Where too much waits for a station that acknowledges late, it is not what it can use."""
    peer = station(most=2, deaf=True)
    for number in range(1, 9):
        peer.ask(ASSOCIATE, number)
    peer.deaf = False
    peer.wait(5.0)
    assert {answer.vsi.instance[-1] for answer in peer.answers if not answer.status.code} == {1, 2}


def test_an_unfinished_vsi_gives_way_the_oldest_first(station):
    peer = station(most=2)
    peer.ask(PRE, 1)
    peer.ask(PRE, 2)
    peer.ask(ASSOCIATE, 3)
    assert [e.vsi.instance[-1] for e in peer.bridge.vsis] == [2, 3]
    peer.ask(ASSOCIATE, 4)
    assert peer.ask(ASSOCIATE, 5)[0].status.code == 2
    assert [e.vsi.instance[-1] for e in peer.bridge.vsis] == [3, 4]


# ---------------------------------------------------------------------- any sequence

STEPS = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from([*Command, "wait", "copy", "withdraw", "reset", "deaf"]),
        st.integers(1, 4),
        st.sampled_from([0.0, 0.05, 0.3, 5.0, 20.0]),
    ),
    min_size=5,
    max_size=40,
)
FAULTS = st.lists(
    st.builds(Fault, st.sampled_from(list(FaultKind)), after=st.integers(0, 3),
              times=st.integers(1, 3), seconds=st.sampled_from([0.1, 4.0])),
    max_size=2,
)  # fmt: skip


@settings(
    derandomize=True, deadline=None, max_examples=120, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(STEPS, FAULTS, st.sampled_from(list(Second)), st.sampled_from(list(Dialect)))
def test_what_always_holds(station, steps, faults, second, dialect):
    """Two ports, whatever is asked, whenever, and whatever the bridge does wrong."""
    shared = Instances(second=second)
    peers = {
        name: station.on(
            Bridge(name, instances=shared, most=3, faults=Faults(faults)),
            dialect,
            f"5254000000f{n}",
        )
        for n, name in enumerate("ab")
    }
    now, sent = 0.0, {"a": 0, "b": 0}
    for name, what, number, pause in steps:
        now += pause
        for peer in peers.values():
            peer.wait(now)
        peer = peers[name]
        if isinstance(what, Command) or what == "copy":
            command = what if isinstance(what, Command) else ASSOCIATE
            sent[name] += 1
            peer.ask(command, number, now=now, again=what == "copy" and peer.sequence > 0)
        elif what == "withdraw":
            peer.take(peer.bridge.de_associate(number.to_bytes(16, "big"), now), now)
        elif what == "reset":
            peer.take(peer.bridge.reset(now), now)
        elif what == "deaf":
            peer.deaf = not peer.deaf
        macs = [bytes.fromhex("5254") + n.to_bytes(4, "big") for n in range(1, 5)]
        vids = (0, 1)
        for mac in macs:
            holders = [p for p in peers.values() if any(p.bridge.forwards(mac, v) for v in vids)]
            assert len(holders) <= 1
        for other, peer in peers.items():
            assert len(peer.bridge.vsis) <= 3
            most = 2 if any(f.kind is FaultKind.DUPLICATE for f in faults) else 1
            assert len(peer.acks) <= most * sent[other]
            assert peer.bridge.deadline > -math.inf or second is Second.MOVE
    for peer in peers.values():
        peer.wait(now + 100.0)  # no keepalives: whatever there was is over
        assert peer.bridge.vsis == ()
        assert len(peer.bridge._gate) == 0
    assert len(shared) == 0


TLVS = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 127]), st.binary(max_size=60)).map(
        lambda kv: (kv[0] << 9 | len(kv[1])).to_bytes(2, "big") + kv[1]
    )
    | st.sampled_from([
        bytes.fromhex("0a100b") + bytes(15),
        bytes.fromhex("0621001234570205") + bytes(16) + bytes.fromhex("0200015254000000010000"),
        bytes.fromhex("0619001234570205") + bytes(16) + bytes.fromhex("090000"),
        bytes.fromhex("fe26001b3f0202000b12345702") + bytes(16)
        + bytes.fromhex("0200015254000000010000"),
    ]),
    max_size=60,
).map(b"".join)  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=150, database=None)
@given(st.sampled_from(["894010010001", "88b7001b3f000000000001", "88cc"]), TLVS)
def test_any_octets_get_an_answer_that_fits(head, tlvs):
    """Nothing raises, each request is acknowledged, and no answer is larger than a frame."""
    bridge = Bridge()
    octets = (bytes(12) + bytes.fromhex(head) + tlvs)[:1514]
    outcome = bridge.receive(octets, 0.0)
    said = [read(frame) for frame in outcome.frames]
    assert all(len(frame) <= 1514 for frame in outcome.frames)
    acks = [one for one in said if isinstance(one, EcpFrame) and one.acknowledge]
    assert len(acks) == (head != "88cc")


def test_answers_that_do_not_fit_one_frame(station):
    """Sixty requests that name no manager are answered in two ECPDUs, which name one."""
    peer = station()
    tlv = bytes.fromhex("0619001234570205") + bytes(16) + bytes.fromhex("020000")
    octets = bytes(12) + bytes.fromhex("894010010001") + tlv * 55
    peer.take(peer.bridge.receive(octets, 0.0), 0.0)
    assert [answer.status.value for answer in peer.answers] == [0x51] * 55
    sent = [event.frame for event in peer.events if event.kind is EventKind.SENT]
    assert max(len(write(frame)) for frame in sent) <= 1514
