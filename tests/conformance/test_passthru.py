"""Passthru: one guest owns the lower device.

p [tap]-- lower ----- switch ----- external
"""

import pytest

from harness import BROADCAST, UNKNOWN, Guest, KernelError, Mode, Stimulus, Switch, Topology
from harness.kernel.links import add_macvtap

GROUP = "03:68:70:00:00:01"
UNJOINED = "03:68:70:00:00:77"

TOPOLOGIES = [
    Topology(
        [Guest("p", Mode.PASSTHRU, groups=(GROUP,), nopromisc=nopromisc)],
        switch=Switch(hairpin=hairpin),
    )
    for nopromisc in (False, True)
    for hairpin in (False, True)
]
FLOWS = [
    Stimulus("p", to="external"),
    Stimulus("external", to="p"),
    Stimulus("external", to=UNKNOWN),
    Stimulus("external", to=BROADCAST),
    Stimulus("external", to=GROUP),
    Stimulus("external", to=UNJOINED),
    Stimulus("p", to=BROADCAST),
    Stimulus("p", to=UNKNOWN),
    Stimulus("lower", to="external"),
    Stimulus("lower", to=BROADCAST),
    Stimulus("p", to="external", source="02:68:70:dd:dd:dd"),
]


def _label(topology):
    extra = "-nopromisc" if topology.guests[0].nopromisc else ""
    return f"passthru{extra}-hairpin{'-on' if topology.switch.hairpin else '-off'}"


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=_label, scope="module")
@pytest.mark.parametrize("stimulus", FLOWS, ids=str)
def test_passthru(testbed, topology, stimulus):
    """All unicast is the guest's, group frames are shared with the host."""
    testbed(topology).check(stimulus)


@pytest.mark.parametrize(
    ("first", "second"),
    [(Mode.PASSTHRU, Mode.BRIDGE), (Mode.VEPA, Mode.PASSTHRU), (Mode.PASSTHRU, Mode.PASSTHRU)],
)
def test_single_guest(testbed, first, second):
    """A second macvtap beside passthru is EINVAL, in either order (macvlan_common_newlink)."""
    wiring = testbed(Topology([Guest("p", first)])).wiring
    sibling = Guest("q", second, mac="02:68:70:01:00:99")
    with pytest.raises(KernelError, match="EINVAL"):
        wiring.host.rtnl.transact([add_macvtap(sibling, index=99, lower=wiring.index["lower"])])
