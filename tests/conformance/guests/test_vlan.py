"""VLAN tags: what libvirt is asked to put on, and what the guest puts on itself.

guest [QEMU: tag]---- lower ----- switch ----- external
"""

import pytest

from harness import Guest, Mode, Stimulus, Switch, Tag, Topology

pytestmark = pytest.mark.guests

ACCESS = "vlan tag not supported for this connection type"
NO_VF = "vlan can only be set for SR-IOV VFs"


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (Mode.VEPA, ACCESS),
        (Mode.BRIDGE, ACCESS),
        (Mode.PRIVATE, ACCESS),
        (Mode.PASSTHRU, NO_VF),
    ],
)
@pytest.mark.parametrize("tags", [(5,), (5, 6)], ids=["access", "trunk"])
def test_in_the_xml(cables, start, refuses, mode, words, tags):
    """`<vlan>` is refused on a macvtap: only a virtual function in passthrough can tag.

    Nothing is left of the attempt.
    """
    from harness.guests import Tag as XmlTag
    from harness.guests import Vlan

    vlan = Vlan(tuple(XmlTag(x) for x in tags), trunk=len(tags) > 1)
    nic = cables.nic(mode, vlan=vlan)
    with refuses(words):
        start(nic)
    assert cables.macvtaps_on(nic.source) == []
    assert cables.unrestored(nic.source) == []


PAIRS = [
    Topology([Guest("a", mode), Guest("b", mode)], switch=Switch(hairpin=hairpin))
    for mode in (Mode.BRIDGE, Mode.VEPA, Mode.PRIVATE)
    for hairpin in (False, True)
]


def label(topology):
    hairpin = "-hairpin" if topology.switch.hairpin else ""
    return f"{topology.guests[0].mode}{hairpin}"


@pytest.mark.parametrize("topology", PAIRS, ids=label)
@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("a", to="external", tag=Tag(5)),
        Stimulus("external", to="a", tag=Tag(5)),
        Stimulus("a", to="b", tag=Tag(5)),
        Stimulus("a", to="broadcast", tag=Tag(5)),
        Stimulus("a", to="external", tag=Tag(5, tpid=0x88A8)),
    ],
    ids=str,
)
def test_of_the_guest(guest_bed, topology, stimulus):
    """A guest's own tags pass as they are; the macvtap looks at addresses only."""
    guest_bed(topology).check(stimulus)
