"""Source mode: a guest that gets what listed sources send, whoever it is for.

s [tap, source]--.
                 lower ----- switch ----- external
b [tap]----------'
"""

import pytest

from harness import BROADCAST, UNKNOWN, External, Guest, Mode, Stimulus, Switch, Topology

OUTSIDE = External("external", mac="02:68:70:03:00:01")
SIBLING = "02:68:70:01:00:02"

TOPOLOGIES = {
    f"{listed}{'-nodst' if nodst else ''}-{mode}{'-hairpin' if hairpin else ''}": Topology(
        [
            Guest("s", Mode.SOURCE, sources=sources, nodst=nodst),
            Guest("b", mode, mac=SIBLING),
        ],
        switch=Switch(hairpin=hairpin),
        externals=[OUTSIDE],
    )
    for listed, sources in (
        ("unlisted", ("02:68:70:dd:dd:dd",)),
        ("external", (OUTSIDE.mac,)),
        ("sibling", (SIBLING,)),
    )
    for nodst in (False, True)
    for mode in (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE)
    for hairpin in (False, True)
}
FLOWS = [
    Stimulus("external", to="s"),
    Stimulus("external", to="b"),
    Stimulus("external", to="lower"),
    Stimulus("external", to=BROADCAST),
    Stimulus("external", to=UNKNOWN),
    Stimulus("b", to="s"),
    Stimulus("b", to="external"),
    Stimulus("b", to=BROADCAST),
    Stimulus("s", to="b"),
    Stimulus("s", to="external"),
    Stimulus("s", to=BROADCAST),
]


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES, scope="module")
@pytest.mark.parametrize("stimulus", FLOWS, ids=str)
def test_source(testbed, topology, stimulus):
    """A copy of every frame from a listed source; with nodst, nobody else gets it."""
    testbed(topology).check(stimulus)


@pytest.mark.parametrize(
    "stimulus", [Stimulus("external", to=BROADCAST), Stimulus("a", to="b")], ids=str
)
def test_sibling_in_bridge_mode_overheard(testbed, stimulus):
    """Even a frame that bridge mode hands over directly passes the source list."""
    a = "02:68:70:01:00:01"
    topology = Topology(
        [
            Guest("a", Mode.BRIDGE, mac=a),
            Guest("b", Mode.BRIDGE),
            Guest("s", Mode.SOURCE, sources=(a,)),
        ]
    )
    testbed(topology).check(stimulus)


def test_empty_list(testbed):
    """A source-mode guest that lists nobody gets nothing, not even what bears its address."""
    topology = Topology([Guest("s", Mode.SOURCE)])
    assert "s" not in testbed(topology).check(Stimulus("external", to="s")).observation
