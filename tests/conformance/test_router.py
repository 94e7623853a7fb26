"""Through the router behind the switch: how private guests may reach each other.

a [tap]--.                  .-- external
         lower ----- switch
b [tap]--'                  '-- router
"""

import itertools

import pytest

from harness import Guest, Mode, Router, Stimulus, Switch, Topology

TOPOLOGIES = [
    Topology(
        [Guest("a", first), Guest("b", second)], switch=Switch(hairpin=hairpin), router=Router()
    )
    for first, second in itertools.product((Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE), repeat=2)
    if Mode.PRIVATE in (first, second) or first is second
    for hairpin in (False, True)
]
FLOWS = [
    Stimulus("a", to="b", via="router"),
    Stimulus("a", to="external", via="router"),
    Stimulus("external", to="b", via="router"),
    Stimulus("lower", to="b", via="router"),
    Stimulus("b", to="lower", via="router"),
    Stimulus("a", to="b"),
]


def _label(topology):
    modes = "-".join(guest.mode for guest in topology.guests)
    return f"{modes}-hairpin" if topology.switch.hairpin else modes


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=_label, scope="module")
@pytest.mark.parametrize("stimulus", FLOWS, ids=str)
def test_routed(testbed, topology, stimulus):
    """Whatever the modes and the switch, the router brings it: from its own port, no hairpin."""
    testbed(topology).check(stimulus)
