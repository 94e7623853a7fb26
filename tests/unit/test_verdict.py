"""What was seen against what was predicted and promised."""

import pytest

from harness.frames import Frame
from harness.model import Prediction, predict
from harness.parts import Guest, Mode, Switch
from harness.stimulus import BROADCAST, Stimulus
from harness.testbed.verdict import Barrier, Difference, Observation, Outcome, differences, judge
from harness.topology import Topology

ONE = Frame("02:00:00:00:00:02", "02:00:00:00:00:01", payload=b"one")
TWO = Frame("02:00:00:00:00:02", "02:00:00:00:00:01", payload=b"two")


def predicted(*frames, maybe=()):
    return Prediction({"a": frames}, {"a": maybe} if maybe else {}, ())


def observed(*frames, barrier=Barrier.SENTINEL):
    return Observation({"a": tuple(f.to_bytes() for f in frames)}, {"a": barrier})


@pytest.mark.parametrize(
    ("prediction", "observation"),
    [
        pytest.param(predicted(), observed(), id="nothing, nothing"),
        pytest.param(predicted(ONE), observed(ONE), id="one"),
        pytest.param(predicted(ONE, TWO), observed(TWO, ONE), id="order does not count"),
        pytest.param(predicted(ONE, ONE), observed(ONE, ONE), id="two copies"),
        pytest.param(predicted(maybe=(ONE,)), observed(), id="maybe: not seen"),
        pytest.param(predicted(maybe=(ONE,)), observed(ONE), id="maybe: seen"),
        pytest.param(predicted(TWO, maybe=(ONE,)), observed(ONE, TWO), id="maybe: besides"),
        pytest.param(predicted(ONE, maybe=(ONE,)), observed(ONE, ONE), id="maybe: another copy"),
        pytest.param(predicted(ONE), observed(ONE, barrier=Barrier.DEADLINE), id="by deadline"),
    ],
)
def test_no_difference(prediction, observation):
    assert differences(prediction, observation) == ()


@pytest.mark.parametrize(
    ("prediction", "observation", "text"),
    [
        pytest.param(predicted(ONE), observed(), "a: 1 predicted, 0 seen", id="missing"),
        pytest.param(predicted(), observed(ONE), "a: 0 predicted, 1 seen", id="surplus"),
        pytest.param(predicted(ONE), observed(ONE, ONE), "a: 1 predicted, 2 seen", id="twice"),
        pytest.param(predicted(ONE, ONE), observed(ONE), "a: 2 predicted, 1 seen", id="once"),
        pytest.param(
            predicted(ONE),
            observed(TWO),
            "a: 1 predicted, 1 seen, but not the same bytes",
            id="bytes",
        ),
        pytest.param(
            predicted(ONE, TWO),
            observed(ONE, ONE),
            "a: 2 predicted, 2 seen, but not the same bytes",
            id="one twice in place of the other",
        ),
        pytest.param(
            predicted(maybe=(ONE,)), observed(TWO), "a: 0 predicted, 1 seen", id="maybe another"
        ),
        pytest.param(
            predicted(maybe=(ONE,)), observed(ONE, ONE), "a: 0 predicted, 2 seen", id="maybe once"
        ),
        pytest.param(
            predicted(TWO, maybe=(ONE,)),
            observed(ONE),
            "a: 1 predicted, 1 seen, but not the same bytes",
            id="maybe does not stand for a must",
        ),
        pytest.param(
            predicted(ONE),
            observed(ONE, barrier=Barrier.LOST),
            "a: 1 predicted, 1 seen, and the sentinel never arrived",
            id="lost sentinel: all the same a difference",
        ),
        pytest.param(
            predicted(),
            observed(barrier=Barrier.LOST),
            "a: 0 predicted, 0 seen, and the sentinel never arrived",
            id="lost sentinel: nothing proves that nothing came",
        ),
    ],
)
def test_difference(prediction, observation, text):
    assert [str(d) for d in differences(prediction, observation)] == [text]


def test_difference_has_the_bytes():
    (found,) = differences(predicted(ONE), observed(TWO))
    assert found == Difference("a", (ONE.to_bytes(),), (TWO.to_bytes(),))


def test_differences_name_only_who_differs():
    prediction = Prediction({"a": (ONE,), "b": (ONE,)}, {"b": (TWO,)}, ())
    seen = {"a": (ONE.to_bytes(), TWO.to_bytes()), "b": (ONE.to_bytes(), TWO.to_bytes())}
    observation = Observation(seen, dict.fromkeys("ab", Barrier.SENTINEL))
    assert [d.observer for d in differences(prediction, observation)] == ["a"]


# ---------------------------------------------------------------------- observation


def test_observation_counts_copies():
    assert (observed(ONE, ONE).copies("a"), observed().copies("a")) == (2, 0)


def test_observation_contains_who_received():
    assert ("a" in observed(ONE), "a" in observed()) == (True, False)


def test_observation_of_nobody():
    with pytest.raises(KeyError, match="nobody"):
        observed().copies("nobody")


# ---------------------------------------------------------------------- verdict


def pair(mode, hairpin=True):
    return Topology([Guest("a", mode), Guest("b", mode)], switch=Switch(hairpin=hairpin))


def verdict(topology, stimulus, *, lose=()):
    """The verdict on a kernel that does what the model says, but that `lose` get nothing."""
    prediction = predict(topology, stimulus)
    seen = {
        name: () if name in lose else tuple(f.to_bytes() for f in frames)
        for name, frames in prediction.arrivals.items()
    }
    barriers = dict.fromkeys(topology.observers, Barrier.SENTINEL)
    return judge(topology, stimulus, prediction, Observation(seen, barriers))


@pytest.mark.parametrize(
    ("topology", "stimulus", "lose", "outcome"),
    [
        pytest.param(pair(Mode.BRIDGE), Stimulus("a", "b"), (), Outcome.AS_PREDICTED, id="kept"),
        pytest.param(
            pair(Mode.PRIVATE),
            Stimulus("a", "b"),
            (),
            Outcome.DOCUMENTED_OTHERWISE,
            id="a promise broken",
        ),
        pytest.param(
            pair(Mode.BRIDGE), Stimulus("a", "b"), ("b",), Outcome.DIFFERS, id="both: differs wins"
        ),
        pytest.param(
            pair(Mode.PRIVATE),
            Stimulus("a", "b"),
            ("b",),
            Outcome.DIFFERS,
            id="promises kept, yet not as predicted",
        ),
        pytest.param(
            pair(Mode.BRIDGE),
            Stimulus("external", BROADCAST),
            (),
            Outcome.AS_PREDICTED,
            id="nothing promised",
        ),
    ],
)
def test_outcome(topology, stimulus, lose, outcome):
    assert verdict(topology, stimulus, lose=lose).outcome is outcome


def test_judgements_are_those_of_what_was_seen():
    """Not of what was predicted: a kernel that isolates keeps the promise."""
    judged = verdict(pair(Mode.PRIVATE), Stimulus("a", "b"), lose=("b",)).judgements
    assert {j.promise.id: j.kept for j in judged} == {
        "S4-all-out": True,
        "S4-router-only": True,
        "iproute2-private": True,
    }


def test_verdict_as_text_names_difference_and_broken_promises():
    from dataclasses import replace

    judged = verdict(pair(Mode.BRIDGE), Stimulus("a", "b"), lose=("b",))
    assert str(replace(judged, causes=("b is down",))) == (
        "a → b: differs\n"
        "  b: 1 predicted, 0 seen\n"
        "  likely cause: b is down\n"
        "  virtualization guide, 17.12 Attaching a virtual NIC directly to a physical interface, "
        "17.12, delivery modes: bridge: Between two guests in bridge mode a frame is delivered "
        "directly, not by the switch."
    )


def test_verdict_as_text_is_short_when_all_is_well():
    assert str(verdict(pair(Mode.BRIDGE), Stimulus("a", "b"))) == "a → b: as predicted"
