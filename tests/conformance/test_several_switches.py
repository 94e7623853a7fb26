"""Two switches that are not connected: two networks with one host in common.

a [tap]-- left ------ first ------ near
b [tap]-- right ----- second ----- far
"""

import pytest

from harness import BROADCAST, UNKNOWN, External, Guest, Lower, Mode, Stimulus, Switch, Topology

TOPOLOGIES = {
    f"hairpin {hairpin}": Topology(
        [Guest("a", Mode.VEPA, lower="left"), Guest("b", Mode.BRIDGE, lower="right")],
        lowers=[Lower(name="left", switch="first"), Lower(name="right", switch="second")],
        switches=[Switch(name="first", hairpin=hairpin), Switch(name="second")],
        externals=[External("near", switch="first"), External("far", switch="second")],
    )
    for hairpin in (False, True)
}


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES, scope="module")
@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("a", to="b"),
        Stimulus("a", to="near"),
        Stimulus("b", to="far"),
        Stimulus("near", to="a"),
        Stimulus("far", to="a"),
        Stimulus("near", to=BROADCAST),
        Stimulus("far", to=UNKNOWN),
        Stimulus("left", to="right"),
        Stimulus("left", to=BROADCAST),
    ],
    ids=str,
)
def test_apart(testbed, topology, stimulus):
    """Nothing crosses from one to the other, though both end in the same host."""
    testbed(topology).check(stimulus)
