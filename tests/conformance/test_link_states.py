"""Guests whose link is down."""

import itertools

import pytest

from harness import BROADCAST, Guest, Mode, Stimulus, Switch, Topology

OUTSIDE = "02:68:70:03:00:01"
TOPOLOGIES = {
    f"{mode}{'-hairpin' if hairpin else ''}": Topology(
        [Guest("d", mode, up=False), Guest("b", Mode.BRIDGE)], switch=Switch(hairpin=hairpin)
    )
    for mode, hairpin in itertools.product((Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE), (False, True))
} | {
    "passthru": Topology([Guest("d", Mode.PASSTHRU, up=False)]),
    "source": Topology([Guest("d", Mode.SOURCE, sources=(OUTSIDE,), up=False)]),
    "source-nodst": Topology([Guest("d", Mode.SOURCE, sources=(OUTSIDE,), nodst=True, up=False)]),
}


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES, scope="module")
@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("external", to="d"),
        Stimulus("external", to=BROADCAST),
        Stimulus("d", to="external"),
        Stimulus("d", to=BROADCAST),
    ],
    ids=str,
)
def test_link_down(testbed, topology, stimulus):
    """A guest that is down neither sends nor receives; the frame goes to whoever is next."""
    testbed(topology).check(stimulus)


@pytest.mark.parametrize("hairpin", [False, True], ids=["off", "on"])
def test_sibling_down(testbed, hairpin):
    """To a bridge-mode sibling that is down: not handed over, so it goes to the wire."""
    topology = Topology(
        [Guest("d", Mode.BRIDGE, up=False), Guest("b", Mode.BRIDGE)], switch=Switch(hairpin=hairpin)
    )
    testbed(topology).check(Stimulus("b", to="d"))
