"""Two lower devices on one switch: siblings are those on the same one.

a [tap]-- left -----.
                    switch ----- external
b [tap]-- right ----'
"""

import itertools

import pytest

from harness import BROADCAST, Guest, Lower, Mode, Stimulus, Switch, Topology

TOPOLOGIES = [
    Topology(
        [Guest("a", first, lower="left"), Guest("b", second, lower="right")],
        lowers=[Lower(name="left"), Lower(name="right")],
        switch=Switch(hairpin=hairpin),
    )
    for first, second in itertools.combinations_with_replacement(
        (Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU), 2
    )
    for hairpin in (False, True)
]


def _label(topology):
    modes = "-".join(guest.mode for guest in topology.guests)
    return f"{modes}-hairpin" if topology.switch.hairpin else modes


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=_label, scope="module")
@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("a", to="b"),
        Stimulus("b", to="a"),
        Stimulus("a", to=BROADCAST),
        Stimulus("left", to="right"),
        Stimulus("external", to=BROADCAST),
    ],
    ids=str,
)
def test_across(testbed, topology, stimulus):
    """Between lower devices the switch forwards, in every mode, without hairpin."""
    testbed(topology).check(stimulus)
