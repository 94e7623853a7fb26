"""The switch's own settings: what a frame meets outside of macvlan."""

import pytest

from harness import BROADCAST, UNKNOWN, External, Guest, Mode, Port, Stimulus, Switch, Topology

GROUP = "03:68:70:00:00:01"


def _behind(*ports, hairpin=True):
    return Topology(
        [Guest("a", Mode.VEPA), Guest("b", Mode.PRIVATE)],
        switch=Switch(hairpin=hairpin, ports=ports),
        externals=[External("external"), External("other")],
    )


TOPOLOGIES = {
    "as it comes": _behind(),
    "no learning at lower": _behind(Port(to="lower", learning=False)),
    "no learning at external": _behind(Port(to="external", learning=False)),
    "no flooding to external": _behind(Port(to="external", flood=False)),
    "no flooding to lower": _behind(Port(to="lower", flood=False)),
    "no multicast to other": _behind(Port(to="other", multicast_flood=False)),
    "hairpin at external": _behind(Port(to="external", hairpin=True), hairpin=False),
    "hairpin everywhere but lower": _behind(
        Port(to="lower", hairpin=False), Port(to="external", hairpin=True)
    ),
}


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES, scope="module")
@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("a", to="b"),
        Stimulus("a", to="external"),
        Stimulus("external", to="a"),
        Stimulus("external", to="other"),
        Stimulus("external", to="external"),
        Stimulus("a", to=UNKNOWN),
        Stimulus("external", to=UNKNOWN),
        Stimulus("other", to=GROUP),
        Stimulus("external", to=BROADCAST),
    ],
    ids=str,
)
def test_switch(testbed, topology, stimulus):
    """Learning, flooding and hairpin are decided port by port."""
    testbed(topology).check(stimulus)
