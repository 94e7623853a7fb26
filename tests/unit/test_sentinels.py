"""Which sentinels end an observation: the plan of every kind of topology."""

import pytest

from harness.frames import Kind, Tag, payload
from harness.parts import (
    BEACON_MAC,
    NOWHERE_MAC,
    UNKNOWN_MAC,
    External,
    Guest,
    Lower,
    LowerKind,
    Mode,
    Port,
    Router,
    Switch,
)
from harness.testbed.sentinels import plan, reachable
from harness.topology import Topology

BROADCAST = "ff:ff:ff:ff:ff:ff"
A, B = "02:68:70:01:00:01", "02:68:70:01:00:02"
LOWER, RIGHT = "02:68:70:02:00:01", "02:68:70:02:00:02"
EXTERNAL = "02:68:70:03:00:01"
LISTED = "02:68:70:dd:dd:dd"
DUMMY = [Lower(kind=LowerKind.DUMMY)]
VLAN = [Lower(), Lower(name="vlan5", kind=LowerKind.VLAN, parent="lower", vlan=5)]
VLAN_ON_DUMMY = [Lower(kind=LowerKind.DUMMY), VLAN[1]]
TWO = [Lower(), Lower(name="right")]


def guests(pairs):
    """Wire, destination and VLAN of each."""
    return [(wire, f.dst, f.tags[0].vid if f.tags else None) for wire, f in pairs]


@pytest.mark.parametrize(
    ("given", "parts", "unicast", "group"),
    [
        *(
            pytest.param(
                [Guest("a", mode), Guest("b", mode)],
                {},
                [("lower", A, None), ("lower", B, None)],
                [("lower", BROADCAST, None)],
                id=f"{mode}: unicast to each, one broadcast for all",
            )
            for mode in (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE)
        ),
        pytest.param(
            [Guest("a"), Guest("b", lower="right")],
            {"lowers": TWO},
            [("lower", A, None), ("right", B, None)],
            [("lower", BROADCAST, None), ("right", BROADCAST, None)],
            id="two lower devices: a broadcast on each",
        ),
        pytest.param(
            [Guest("a", up=False), Guest("b")],
            {},
            [("lower", B, None)],
            [("lower", BROADCAST, None)],
            id="none for a guest that is down",
        ),
        pytest.param([Guest("a", up=False)], {}, [], [], id="all down"),
        pytest.param([Guest("a", Mode.BRIDGE)], {"lowers": DUMMY}, [], [], id="dummy: no wire"),
        pytest.param(
            [Guest("a", lower="vlan5")], {"lowers": VLAN_ON_DUMMY}, [], [], id="vlan on a dummy"
        ),
        pytest.param(
            [Guest("a", lower="vlan5"), Guest("b")],
            {"lowers": VLAN},
            [("lower", A, 5), ("lower", B, None)],
            [("lower", BROADCAST, 5), ("lower", BROADCAST, None)],
            id="vlan: its tag, on the wire of its parent",
        ),
        pytest.param(
            [Guest("p", Mode.PASSTHRU)],
            {},
            [("lower", BROADCAST, None)],
            [("lower", BROADCAST, None)],
            id="passthru: broadcast always, for the host beside it",
        ),
        pytest.param(
            [Guest("a", Mode.SOURCE, sources=(LISTED,)), Guest("b")],
            {},
            [("lower", LOWER, None), ("lower", B, None)],
            [("lower", LOWER, None), ("lower", BROADCAST, None)],
            id="source: to the host, from a source that it lists",
        ),
        pytest.param([Guest("a", Mode.SOURCE)], {}, [], [], id="source: lists nobody"),
        pytest.param(
            [Guest("a", bcqueuelen=0), Guest("b", bcqueuelen=0)],
            {},
            [("lower", A, None), ("lower", B, None)],
            [("lower", A, None), ("lower", B, None)],
            id="no broadcast queue: unicast even after group frames",
        ),
        pytest.param(
            [Guest("a", bcqueuelen=0), Guest("b")],
            {},
            [("lower", A, None), ("lower", B, None)],
            [("lower", BROADCAST, None)],
            id="the longest queue counts",
        ),
        pytest.param(
            [Guest("p", Mode.PASSTHRU, bcqueuelen=0)],
            {},
            [("lower", LOWER, None)],
            [("lower", LOWER, None)],
            id="passthru without a queue: unicast",
        ),
    ],
)
def test_for_guests(given, parts, unicast, group):
    made = plan(Topology(given, **parts))
    assert guests(made.unicast) == unicast
    assert guests(made.group) == group


def others(frames):
    return [(f.dst, f.tags[0].vid if f.tags else None) for f in frames]


@pytest.mark.parametrize(
    ("given", "parts", "expected"),
    [
        pytest.param([Guest("a")], {}, [(NOWHERE_MAC, None)], id="flooded once to everybody"),
        pytest.param([Guest("a")], {"lowers": TWO}, [(NOWHERE_MAC, None)], id="two lower devices"),
        pytest.param([Guest("a")], {"router": Router()}, [(NOWHERE_MAC, None)], id="router"),
        pytest.param(
            [Guest("p", Mode.PASSTHRU)],
            {},
            [(BROADCAST, None), (NOWHERE_MAC, None)],
            id="passthru takes unicast from the host",
        ),
        pytest.param(
            [Guest("a")],
            {"lowers": VLAN},
            [(NOWHERE_MAC, None), (NOWHERE_MAC, 5)],
            id="vlan: one with its tag besides",
        ),
        pytest.param(
            [Guest("a")], {"lowers": DUMMY}, [(NOWHERE_MAC, None)], id="dummy: outside only"
        ),
        pytest.param([Guest("a")], {"lowers": DUMMY, "externals": []}, [], id="nobody to reach"),
        pytest.param(
            [Guest("a")],
            {"switch": Switch(ports=(Port(to="external", flood=False),))},
            [(NOWHERE_MAC, None), (BROADCAST, None)],
            id="a port that does not flood: by its address",
        ),
        pytest.param(
            [Guest("a")],
            {
                "externals": [External(), External("other")],
                "switch": Switch(
                    vlan_filtering=True,
                    ports=(Port(to="lower", pvid=10), Port(to="other", pvid=20)),
                ),
            },
            [(NOWHERE_MAC, 10), (NOWHERE_MAC, 1), (NOWHERE_MAC, 20)],
            id="a switch that filters: one in the VLAN of each port",
        ),
    ],
)
def test_for_others(given, parts, expected):
    assert others(f for _, f in plan(Topology(given, **parts)).others) == expected


def test_payloads_say_what_they_are_for():
    """Each end reads up to its own kind of sentinel."""
    made = plan(Topology([Guest("a")]))
    assert {f.payload for _, f in made.others} == {payload(Kind.SENTINEL_NET)}
    assert {f.payload for _, f in (*made.unicast, *made.group)} == {payload(Kind.SENTINEL_TAP)}


def test_sources():
    """The beacon's own address, but for source mode."""
    made = plan(Topology([Guest("a", Mode.SOURCE, sources=(LISTED, A)), Guest("b")]))
    assert [f.src for _, f in made.unicast] == [LISTED, BEACON_MAC]
    assert [f.src for _, f in made.group] == [LISTED, BEACON_MAC]
    assert [f.src for _, f in made.others] == [BEACON_MAC]


def test_vlan_tag_is_8021q():
    made = plan(Topology([Guest("a", lower="vlan5")], lowers=VLAN))
    assert [f.tags for _, f in made.unicast] == [(Tag(5, tpid=0x8100),)]


def test_addresses_are_nobodys():
    """Neither a station's derived one nor the stimuli's unknown one."""
    stations = Topology([Guest(f"g{i}") for i in range(20)], router=Router()).macs.values()
    assert len({BEACON_MAC, NOWHERE_MAC, UNKNOWN_MAC, *stations}) == 3 + 23


@pytest.mark.parametrize(
    ("guest", "lowers", "can"),
    [
        pytest.param(Guest("a"), [Lower()], True, id="up, on a veth"),
        pytest.param(Guest("a", up=False), [Lower()], False, id="down"),
        pytest.param(Guest("a"), DUMMY, False, id="dummy"),
        pytest.param(Guest("a", lower="vlan5"), VLAN, True, id="vlan on a veth"),
        pytest.param(Guest("a", lower="vlan5"), VLAN_ON_DUMMY, False, id="vlan on a dummy"),
        pytest.param(Guest("a", Mode.SOURCE), [Lower()], False, id="source that lists nobody"),
        pytest.param(Guest("a", Mode.SOURCE, sources=(LISTED,)), [Lower()], True, id="source"),
        pytest.param(Guest("a", Mode.PASSTHRU), [Lower()], True, id="passthru"),
    ],
)
def test_reachable(guest, lowers, can):
    topology = Topology([guest], lowers=lowers)
    assert reachable(topology, topology.guests[0]) is can


def test_a_port_that_neither_floods_nor_learns_gets_a_broadcast():
    """Nothing else would reach it."""
    closed = Switch(ports=(Port(to="external", flood=False, learning=False),))
    made = plan(Topology([Guest("a")], switch=closed))
    assert BROADCAST in [frame.dst for _, frame in made.others]
