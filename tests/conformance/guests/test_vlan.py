"""VLAN tags: what libvirt is asked to put on, and what the guest puts on itself.

guest [QEMU: tag]---- lower ----- switch ----- external
"""

import pytest

from harness import Frame, Guest, Mode, Stimulus, Switch, Tag, Topology

pytestmark = pytest.mark.guests

ACCESS = "vlan tag not supported for this connection type"
FAR = "02:68:70:03:00:01"
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

    vlan = Vlan(tuple(XmlTag(x) for x in tags), trunk=True if len(tags) > 1 else None)
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


@pytest.mark.parametrize("tag", [Tag(5), Tag(5, tpid=0x88A8)], ids=["8100", "88a8"])
@pytest.mark.parametrize("topology", PAIRS, ids=label)
def test_of_the_guest(guest_bed, topology, tag):
    """Tags pass as they are, either way: the macvtap looks at addresses only."""
    bed = guest_bed(topology)
    for sender, to in (("a", "external"), ("external", "a"), ("a", "b"), ("a", "broadcast")):
        bed.check(Stimulus(sender, to=to, tag=tag))


@pytest.mark.parametrize(
    ("tag", "promiscuous", "arrives"),
    [
        pytest.param(Tag(5), True, True, id="8100, promiscuous"),
        pytest.param(Tag(5), False, False, id="8100"),
        pytest.param(Tag(5, tpid=0x88A8), False, True, id="88a8"),
    ],
)
@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU])
def test_qemus_card(cables, guest, plug, mode, tag, promiscuous, arrives):
    """The macvtap passes tags on; QEMU's card drops VLANs that its guest has not asked for.

    It looks for 802.1Q tags only, and for none while promiscuous (receive_filter in QEMU's
    hw/net/virtio-net.c).
    """
    from harness.testbed.raw import LinkEnd, marker

    number = plug(mode)
    nic = guest.running.domain.interfaces[number]
    card = guest.card(number).name
    assert cables.ping(guest, number).ok
    frame = Frame(nic.mac, FAR, payload=b"tagged".ljust(46, b"\0"), tags=(tag,)).to_bytes()
    with (
        LinkEnd(cables.outside, cables.far(nic.source)) as far,
        LinkEnd(cables.ns, nic.target) as macvtap,
        guest.agent.capture(card, promiscuous=promiscuous) as capture,
    ):
        far.send(frame)
        mark = marker(nic.mac)
        far.send(mark)
        assert frame in macvtap.until(mark)
        assert (frame in capture.read(tail=mark).frames) is arrives
