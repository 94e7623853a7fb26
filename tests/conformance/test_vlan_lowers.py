"""Guests on 802.1Q devices, on a veth and on a dummy.

a, b [tap]-- vlan5 --.
                     lower ----- switch ----- external
c [tap]--------------'
"""

import itertools

import pytest

from harness import BROADCAST, Guest, Lower, LowerKind, Mode, Stimulus, Switch, Tag, Topology

VLAN = Lower(name="vlan5", kind=LowerKind.VLAN, parent="lower", vlan=5)
UNJOINED = "03:68:70:00:00:77"
MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE)

WIRED = [
    Topology(
        [Guest("a", first, lower="vlan5"), Guest("b", second, lower="vlan5"), Guest("c", first)],
        lowers=[Lower(), VLAN],
        switch=Switch(hairpin=hairpin),
    )
    for first, second in itertools.product(MODES, MODES)
    for hairpin in (False, True)
]
ON_DUMMY = [
    Topology(
        [Guest("a", mode, lower="vlan5"), Guest("b", mode, lower="vlan5")],
        lowers=[Lower(kind=LowerKind.DUMMY), VLAN],
        externals=[],
    )
    for mode in MODES
]


def _label(topology):
    modes = "-".join(guest.mode for guest in topology.guests)
    return f"{modes}-hairpin" if topology.switch.hairpin else modes


@pytest.mark.parametrize("topology", WIRED, ids=_label, scope="module")
@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("a", to="b"),
        Stimulus("a", to="c"),
        Stimulus("a", to=BROADCAST),
        Stimulus("c", to=BROADCAST),
        Stimulus("a", to="external"),
        Stimulus("external", to="a", tag=Tag(5)),
        Stimulus("external", to="a"),
        Stimulus("external", to=BROADCAST, tag=Tag(5)),
        Stimulus("external", to=BROADCAST),
        Stimulus("external", to=BROADCAST, tag=Tag(6)),
        Stimulus("external", to=UNJOINED, tag=Tag(5)),
        Stimulus("c", to="a", tag=Tag(5)),
    ],
    ids=str,
)
def test_vlan(testbed, topology, stimulus):
    """Tagged on the wire, untagged at the guest; the other VLANs are strangers."""
    testbed(topology).check(stimulus)


@pytest.mark.parametrize("topology", ON_DUMMY, ids=_label, scope="module")
@pytest.mark.parametrize("stimulus", [Stimulus("a", to="b"), Stimulus("a", to=BROADCAST)], ids=str)
def test_vlan_on_dummy(testbed, topology, stimulus):
    """Siblings in bridge mode, and nobody else."""
    testbed(topology).check(stimulus)
