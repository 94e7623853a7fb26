"""What is foreseen in a hurry is what is predicted at leisure."""

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import sampled_from, sets

from harness.behaviours import Behaviour
from harness.explore.stimuli import plain, spoofed
from harness.explore.strategies import topologies
from harness.model import foresee, predict
from harness.parts import LowerKind
from harness.stimulus import frame_of


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(topologies(tuple(LowerKind)), sets(sampled_from(Behaviour)).map(frozenset))
def test_as_predicted(topology, behaviours):
    random = Random(len(topology.guests))
    for stimulus in (*plain(topology, random, most=40), *spoofed(topology, random, most=5)):
        frame = frame_of(topology, stimulus)
        foreseen = foresee(topology, stimulus.sender, frame, behaviours=behaviours)
        predicted = predict(topology, stimulus, behaviours=behaviours).arrivals
        assert {n: tuple(f) for n, f in foreseen.items()} == {
            n: f for n, f in predicted.items() if f
        }
