"""A switch that filters VLANs."""

import pytest

from harness import BROADCAST, External, Guest, Mode, Port, Stimulus, Switch, Tag, Topology

TOPOLOGY = Topology(
    [Guest("a", Mode.VEPA), Guest("b", Mode.VEPA)],
    externals=[External("external"), External("other")],
    switch=Switch(
        hairpin=True,
        vlan_filtering=True,
        ports=(
            Port(to="lower", hairpin=True, pvid=10, vlans=(20,)),
            Port(to="external", pvid=10),
            Port(to="other", pvid=20),
        ),
    ),
)


@pytest.mark.parametrize("topology", [TOPOLOGY], ids=["trunk"], scope="module")
@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("a", to="b"),
        Stimulus("a", to="external"),
        Stimulus("a", to="other"),
        Stimulus("a", to="other", tag=Tag(20)),
        Stimulus("a", to="b", tag=Tag(30)),
        Stimulus("external", to=BROADCAST),
        Stimulus("other", to=BROADCAST),
        Stimulus("external", to="a", tag=Tag(20)),
    ],
    ids=str,
)
def test_filtering(testbed, topology, stimulus):
    """A port takes and gives only its own VLANs; the untagged are in its PVID."""
    testbed(topology).check(stimulus)
