"""What the model says of kernels that behave one way or the other: by hand, as it was seen."""

import pytest

from harness.behaviours import Behaviour
from harness.model import predict
from harness.parts import Guest, Mode, Switch
from harness.stimulus import Stimulus
from harness.testbed.causes import explaining_rules
from harness.testbed.verdict import Barrier, Observation, judge
from harness.topology import Topology

B, V, P = Mode.BRIDGE, Mode.VEPA, Mode.PRIVATE
NOTHING, SHARED = frozenset(), frozenset({Behaviour.SHARED_SOURCE})
OWN = Stimulus("a", "broadcast")
STOLEN = Stimulus("external", "broadcast", source="a")


def two(mode, other, *, hairpin=True):
    return Topology([Guest("a", mode), Guest("b", other)], switch=Switch(hairpin=hairpin))


def copies(topology, stimulus, behaviours):
    prediction = predict(topology, stimulus, behaviours=behaviours)
    return {name: prediction.copies(name) for name in "ab"}


@pytest.mark.parametrize(
    ("topology", "stimulus", "without", "shared"),
    [
        pytest.param(two(B, B), OWN, (0, 1), (1, 2), id="reflected"),
        pytest.param(two(B, V), OWN, (0, 1), (1, 1), id="reflected, to vepa"),
        pytest.param(two(B, P), OWN, (0, 0), (1, 0), id="reflected, private hears nothing"),
        pytest.param(two(B, B, hairpin=False), OWN, (0, 1), (0, 1), id="not reflected"),
        pytest.param(two(B, B), STOLEN, (0, 0), (1, 1), id="from outside, with its address"),
        pytest.param(two(V, B), OWN, (0, 1), (0, 1), id="vepa's own is its own"),
        pytest.param(two(P, B), OWN, (1, 0), (1, 0), id="private's own is its own"),
    ],
)
def test_shared_source(topology, stimulus, without, shared):
    """b52363f706e5: a bridge guest's address tells no more that it was that guest."""
    assert copies(topology, stimulus, NOTHING) == dict(zip("ab", without, strict=True))
    assert copies(topology, stimulus, SHARED) == dict(zip("ab", shared, strict=True))


@pytest.mark.parametrize(
    ("expected", "real"), [(NOTHING, SHARED), (SHARED, NOTHING)], ids=["new", "old"]
)
def test_a_kernel_that_behaves_otherwise_is_explained(expected, real):
    """Where nobody has tried, the rule that does not hold is named."""
    topology = two(B, B)
    seen = predict(topology, OWN, behaviours=real).arrivals
    observation = Observation(
        {name: tuple(f.to_bytes() for f in frames) for name, frames in seen.items()},
        dict.fromkeys(seen, Barrier.SENTINEL),
    )
    verdict = judge(topology, OWN, predict(topology, OWN, behaviours=expected), observation)
    assert "REFLECTED" in [rule.name for rule in explaining_rules(verdict)]
    right = predict(topology, OWN, behaviours=real)
    assert judge(topology, OWN, right, observation).differences == ()
