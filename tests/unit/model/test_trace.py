"""The trace: which rule decided what, at which device, in the order of the frame's way."""

import pytest

from harness.frames import Frame
from harness.model import Prediction, Rule, Step, predict
from harness.model.walk import Hop, Walk
from harness.parts import Guest, Lower, LowerKind, Mode, Router, Switch
from harness.stimulus import BROADCAST, UNKNOWN, Stimulus
from harness.topology import Topology

MODES = {m.value: m for m in Mode}


def pair(first, second, hairpin=False):
    return Topology(
        [Guest("a", MODES[first]), Guest("b", MODES[second])],
        switch=Switch(hairpin=hairpin),
        externals=[],
    )


def decisions(topology, stimulus):
    """Device, rule and outcome of every decision."""
    trace = predict(topology, stimulus).trace
    return [(s.at, s.rule, s.holds) for s in trace if s.rule is not None]


SWITCHED = [
    ("switch", Rule.PORT_UP, True),
    ("switch", Rule.RESERVED_GROUP, False),
    ("switch", Rule.LEARN, True),
]


@pytest.mark.parametrize(
    ("topology", "stimulus", "decided"),
    [
        pytest.param(
            pair("bridge", "bridge"),
            Stimulus("a", "b"),
            [
                ("a", Rule.TX_UP, True),
                ("a", Rule.CARRIER, True),
                ("a", Rule.BRIDGE_DIRECT, True),
                ("lower", Rule.FORWARDABLE, True),
                ("lower", Rule.PASSTHRU_ALL, False),
                ("lower", Rule.LOOKUP, True),
                ("b", Rule.SOURCE_NO_UNICAST, False),
            ],
            id="bridge to bridge: handed over",
        ),
        pytest.param(
            pair("vepa", "bridge"),
            Stimulus("a", "b"),
            [
                ("a", Rule.TX_UP, True),
                ("a", Rule.CARRIER, True),
                ("a", Rule.BRIDGE_DIRECT, False),
                ("lower", Rule.CARRIER, True),
                ("lower", Rule.WIRED, True),
                *SWITCHED,
                ("switch", Rule.FDB_HIT, True),
                ("switch", Rule.HAIRPIN, False),
            ],
            id="vepa, hairpin off: ends at the port",
        ),
        pytest.param(
            pair("private", "private", hairpin=True),
            Stimulus("a", "b"),
            [
                ("a", Rule.TX_UP, True),
                ("a", Rule.CARRIER, True),
                ("a", Rule.BRIDGE_DIRECT, False),
                ("lower", Rule.CARRIER, True),
                ("lower", Rule.WIRED, True),
                *SWITCHED,
                ("switch", Rule.FDB_HIT, True),
                ("switch", Rule.HAIRPIN, True),
                ("switch", Rule.PORT_UP, True),
                ("lower", Rule.PASSTHRU_ALL, False),
                ("lower", Rule.LOOKUP, True),
                ("b", Rule.SOURCE_NO_UNICAST, False),
            ],
            id="private, hairpin on: only the destination is looked up",
        ),
        pytest.param(
            pair("private", "vepa", hairpin=True),
            Stimulus("a", BROADCAST),
            [
                ("a", Rule.TX_UP, True),
                ("a", Rule.CARRIER, True),
                ("b", Rule.BRIDGE_FLOOD, False),
                ("lower", Rule.CARRIER, True),
                ("lower", Rule.WIRED, True),
                *SWITCHED,
                ("switch", Rule.FLOOD_GROUP, True),
                ("switch", Rule.HAIRPIN, True),
                ("switch", Rule.PORT_UP, True),
                ("a", Rule.OWN_RETURN, True),
            ],
            id="private broadcast, hairpin on: back to its sender",
        ),
        pytest.param(
            pair("vepa", "bridge", hairpin=True),
            Stimulus("a", BROADCAST),
            [
                ("a", Rule.TX_UP, True),
                ("a", Rule.CARRIER, True),
                ("b", Rule.BRIDGE_FLOOD, False),
                ("lower", Rule.CARRIER, True),
                ("lower", Rule.WIRED, True),
                *SWITCHED,
                ("switch", Rule.FLOOD_GROUP, True),
                ("switch", Rule.HAIRPIN, True),
                ("switch", Rule.PORT_UP, True),
                ("a", Rule.OWN_RETURN, False),
                ("lower", Rule.PORT_FILTER, True),
                ("lower", Rule.QUEUE_ROOM, True),
                ("a", Rule.NOT_TO_SENDER, True),
                ("b", Rule.FROM_GUEST, True),
                ("b", Rule.TAP_FILTER, True),
                ("lower", Rule.GROUP_PASS, True),
                ("lower", Rule.HOST_ADDRESS, True),
                ("lower", Rule.HOST_TAGGED, False),
            ],
            id="vepa broadcast, hairpin on",
        ),
        pytest.param(
            Topology([Guest("p", Mode.PASSTHRU)]),
            Stimulus("external", UNKNOWN),
            [
                *SWITCHED,
                ("switch", Rule.FDB_HIT, False),
                ("switch", Rule.FLOOD_UNKNOWN, True),
                ("switch", Rule.PORT_UP, True),
                ("switch", Rule.FLOOD_UNKNOWN, True),
                ("switch", Rule.HAIRPIN, False),
                ("lower", Rule.PASSTHRU_ALL, True),
                ("p", Rule.RX_UP, True),
            ],
            id="passthru takes unknown unicast",
        ),
        pytest.param(
            Topology([Guest("s", Mode.SOURCE, sources=("02:68:70:03:00:01",), nodst=True)]),
            Stimulus("external", "lower"),
            [
                *SWITCHED,
                ("switch", Rule.FDB_HIT, True),
                ("switch", Rule.PORT_UP, True),
                ("s", Rule.SOURCE_LIST, True),
                ("s", Rule.SOURCE_CONSUME, True),
                ("s", Rule.RX_UP, True),
            ],
            id="source with nodst consumes",
        ),
        pytest.param(
            Topology([Guest("d", up=False)]),
            Stimulus("d", BROADCAST),
            [("d", Rule.TX_UP, False)],
            id="down: nothing is sent",
        ),
        pytest.param(
            Topology([Guest("a")], lowers=[Lower(kind=LowerKind.DUMMY)]),
            Stimulus("lower", BROADCAST),
            [("lower", Rule.CARRIER, True), ("lower", Rule.WIRED, False)],
            id="dummy: no wire",
        ),
        pytest.param(
            Topology([], router=Router(), externals=[]),
            Stimulus("lower", "router", via="router"),
            [
                ("lower", Rule.CARRIER, True),
                ("lower", Rule.WIRED, True),
                *SWITCHED,
                ("switch", Rule.FDB_HIT, True),
                ("switch", Rule.PORT_UP, True),
                ("router", Rule.ROUTER_ADDRESS, True),
                ("router", Rule.ROUTER_FORWARD, False),
            ],
            id="the router itself is no next hop",
        ),
    ],
)
def test_decisions(topology, stimulus, decided):
    assert decisions(topology, stimulus) == decided


def test_a_copy_is_in_the_trace_for_every_arrival():
    prediction = predict(pair("vepa", "bridge", hairpin=True), Stimulus("a", BROADCAST))
    received = [s.at for s in prediction.trace if s.text == "receives a copy"]
    arrived = [name for name, frames in prediction.arrivals.items() for _ in frames]
    assert sorted(received) == sorted(arrived)


def test_trace_begins_with_the_sender():
    """Priming the switch is no part of it."""
    trace = predict(pair("vepa", "bridge"), Stimulus("a", "b")).trace
    assert str(trace[0]) == "a: sends, in vepa mode on lower"


@pytest.mark.parametrize(
    ("step", "text"),
    [
        pytest.param(Step("a", "receives a copy"), "a: receives a copy", id="no decision"),
        pytest.param(
            Step("a", "it is vepa", Rule.RX_UP),
            "a: the guest's link is up? yes (it is vepa)  "
            "[macvlan_handle_frame, drivers/net/macvlan.c]",
            id="yes, because",
        ),
        pytest.param(
            Step("a", "", Rule.RX_UP, holds=False),
            "a: the guest's link is up? no  [macvlan_handle_frame, drivers/net/macvlan.c]",
            id="no, without a reason",
        ),
    ],
)
def test_step_as_text(step, text):
    assert str(step) == text


def test_hairpin_step_says_which_port():
    trace = predict(pair("vepa", "vepa"), Stimulus("a", "b")).trace
    assert [s.text for s in trace if s.rule is Rule.HAIRPIN] == ["port lower, hairpin off"]


def test_a_loop_ends():
    """Rules turned round may send a frame in circles; the trace says that it was given up."""

    def again(walk, at, frame):
        walk.put(Hop.PORT_RX, at, frame)

    walk = Walk(pair("vepa", "vepa"), {})
    walk.put(Hop.PORT_RX, "lower", Frame("02:00:00:00:00:02", "02:00:00:00:00:01"))
    walk.run({Hop.PORT_RX: again})
    assert str(walk.prediction().trace[-1]) == "model: gave up after 512 hops: a loop"


# ---------------------------------------------------------------------- the prediction


def prediction():
    frame = object()
    return Prediction({"a": (frame, frame), "b": ()}, {}, ())


def test_prediction_counts_copies():
    assert (prediction().copies("a"), prediction().copies("b")) == (2, 0)


def test_prediction_contains_who_receives():
    assert ("a" in prediction(), "b" in prediction()) == (True, False)


def test_prediction_of_nobody():
    with pytest.raises(KeyError, match="nobody"):
        prediction().copies("nobody")


def test_prediction_has_every_observer_of_its_topology():
    topology = pair("vepa", "vepa")
    assert tuple(predict(topology, Stimulus("a", "b")).arrivals) == topology.observers
