"""Making a case small: what the difference does not need is left out."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness import (
    Add,
    Case,
    Change,
    External,
    Guest,
    Lower,
    Mode,
    Part,
    Port,
    Remove,
    Router,
    Send,
    Stimulus,
    Switch,
    Tag,
    Topology,
)
from harness.explore.minimise import minimise, smaller
from harness.explore.strategies import topologies
from harness.parts import LowerKind


def change(name, **fields):
    return Change(Part.GUEST, name, tuple(fields.items()))


BIG = Case(
    Topology(
        [
            Guest(name, Mode.BRIDGE, promiscuous=True, mac=f"02:00:00:00:00:{i:02x}")
            for i, name in enumerate("abcdefgh")
        ],
        lowers=[Lower(), Lower(name="right", switch="two")],
        switches=[Switch(hairpin=True, ports=(Port(to="lower", flood=False),)), Switch(name="two")],
        externals=[External("near"), External("far", switch="two")],
        router=Router(),
    ),
    (
        change("a", mode=Mode.VEPA),
        change("b", up=False),
        Add(Guest("n", mac="02:00:00:00:01:00")),
        change("b", up=True, allmulticast=True),
        change("a", mode=Mode.PRIVATE),
        Remove("n"),
        Send(Stimulus("a", "b", tag=Tag(5))),
    ),
)


def sends(case):
    """The stimuli of a case with the topology that each is sent in."""
    return [(s.stimulus, topology) for s, topology in case.states() if isinstance(s, Send)]


def private_to_anybody(case):
    return any(
        topology.guest(s.sender).mode is Mode.PRIVATE
        for s, topology in sends(case)
        if topology.is_guest(s.sender)
    )


def changed_to_private(case):
    """As if the kernel lost its way just when a mode is changed."""
    modes = [dict(s.fields).get("mode") for s in case.steps if isinstance(s, Change)]
    return Mode.PRIVATE in modes and private_to_anybody(case)


@pytest.mark.parametrize(
    ("differs", "guests", "steps"),
    [
        pytest.param(private_to_anybody, 2, 1, id="a state: no change is needed"),
        pytest.param(changed_to_private, 2, 2, id="a change"),
    ],
)
def test_small(differs, guests, steps):
    small = minimise(BIG, differs, most=1000)
    assert differs(small)
    assert (len(small.topology.guests), len(small.steps)) == (guests, steps)
    assert small.topology.router is None
    assert len(small.topology.lowers) == len(small.topology.switches) == 1
    assert not any(g.promiscuous for g in small.topology.guests)
    assert all(s.tag is None for s, _ in sends(small))


def test_asks_no_more_often_than_it_may():
    asked = []
    minimise(BIG, lambda case: bool(asked.append(case)), most=7)
    assert len(asked) == 7


def test_what_needs_everything_stays():
    assert minimise(BIG, lambda case: case == BIG, most=2000) == BIG


@settings(
    deadline=None,
    max_examples=20,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(topologies(tuple(LowerKind)), st.data())
def test_smaller_is_never_the_same(topology, data):
    names = st.sampled_from(tuple(topology.macs))
    case = Case(topology, (Send(Stimulus(data.draw(names), data.draw(names))),))
    assert case not in list(smaller(case))
