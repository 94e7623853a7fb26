"""Changes as pure functions from one topology to the next."""

from dataclasses import replace

import pytest

from harness import (
    Add,
    Change,
    Guest,
    Lower,
    Mode,
    Part,
    Port,
    Remove,
    Switch,
    Topology,
    TopologyError,
)

MAC = "02:00:00:00:00:01"
SHARED = Topology(
    [Guest("a", Mode.BRIDGE), Guest("s", Mode.SOURCE, sources=(MAC,), nodst=True)],
    lowers=[Lower(), Lower(name="right", switch="two")],
    switches=[Switch(hairpin=True), Switch(name="two")],
)
OWNED = Topology([Guest("p", Mode.PASSTHRU)])


def of(part, name, **fields):
    return Change(part, name, tuple(fields.items()))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(of(Part.GUEST, "a", mode=Mode.VEPA), {"mode": Mode.VEPA}, id="mode"),
        pytest.param(of(Part.GUEST, "a", up=False), {"up": False}, id="state"),
        pytest.param(
            of(Part.GUEST, "a", mac=MAC, promiscuous=True),
            {"mac": MAC, "promiscuous": True},
            id="two at once",
        ),
        pytest.param(of(Part.GUEST, "a", namespace="x"), {"namespace": "x"}, id="namespace"),
    ],
)
def test_guest(change, expected):
    after = change.applied(SHARED)
    assert after.guest("a") == replace(SHARED.guest("a"), **expected)
    assert after.guest("s") == SHARED.guest("s")


def test_leaving_source_mode_empties_the_list():
    """As the kernel does (macvlan_changelink, macvlan_flush_sources)."""
    guest = of(Part.GUEST, "s", mode=Mode.VEPA).applied(SHARED).guest("s")
    assert (guest.sources, guest.nodst) == ((), False)


@pytest.mark.parametrize(
    "change", [of(Part.GUEST, "p", mac=MAC), of(Part.LOWER, "lower", mac=MAC)], ids=str
)
def test_passthru_and_its_lower_device_share_an_address(change):
    after = change.applied(OWNED)
    assert (after.guest("p").mac, after.lower("lower").mac) == (MAC, MAC)


def test_port_keeps_what_it_does_not_change():
    once = of(Part.PORT, "lower", flood=False).applied(SHARED)
    twice = of(Part.PORT, "lower", hairpin=False).applied(once)
    assert twice.port("lower") == Port(to="lower", flood=False, hairpin=False)
    assert twice.port("right") == SHARED.port("right")


def test_port_of_the_second_switch():
    after = of(Part.PORT, "right", hairpin=True).applied(SHARED)
    assert after.port("right").hairpin
    assert after.switches[0] == SHARED.switches[0]


def test_add_and_remove():
    more = Add(Guest("n", Mode.PRIVATE, mac=MAC)).applied(SHARED)
    assert [g.name for g in more.guests] == ["a", "s", "n"]
    assert Remove("n").applied(more) == SHARED


@pytest.mark.parametrize(
    ("operation", "topology", "problem"),
    [
        pytest.param(of(Part.GUEST, "z", up=True), SHARED, "no 'z'", id="no such guest"),
        pytest.param(Remove("z"), SHARED, "no 'z'", id="nobody to remove"),
        pytest.param(of(Part.LOWER, "z", up=True), SHARED, "no 'z'", id="no such lower device"),
        pytest.param(of(Part.PORT, "a", up=True), SHARED, "no port of 'a'", id="no such port"),
        pytest.param(
            of(Part.GUEST, "a", mode=Mode.PASSTHRU), SHARED, "passthru", id="into passthru"
        ),
        pytest.param(of(Part.GUEST, "p", mode=Mode.VEPA), OWNED, "passthru", id="out of passthru"),
        pytest.param(
            of(Part.GUEST, "a", lower="right"), SHARED, "cannot be changed", id="lower device"
        ),
        pytest.param(
            of(Part.GUEST, "a", mac=SHARED.macs["s"]), SHARED, "belongs to", id="address taken"
        ),
        pytest.param(Add(Guest("a")), SHARED, "taken", id="name taken"),
        pytest.param(Add(Guest("q", Mode.VEPA)), OWNED, "passthru beside", id="beside passthru"),
    ],
)
def test_impossible(operation, topology, problem):
    with pytest.raises(TopologyError, match=problem):
        operation.applied(topology)


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (of(Part.GUEST, "a", mode=Mode.VEPA), "set guest a: mode = vepa"),
        (
            of(Part.PORT, "lower", hairpin=True, flood=False),
            "set port lower: hairpin = on, flood = off",
        ),
        (of(Part.GUEST, "a", groups=()), "set guest a: groups = []"),
        (Add(Guest("n", Mode.BRIDGE)), "add guest n (bridge on lower)"),
        (Remove("a"), "remove guest a"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_as_text(operation, text):
    assert str(operation) == text


def test_a_lower_device_moves_to_no_other_switch():
    """Only what the kernel can change on a live link is offered."""
    with pytest.raises(TopologyError, match="cannot be changed"):
        of(Part.LOWER, "lower", switch="two").applied(SHARED)
