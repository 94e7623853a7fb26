"""Corners of the model that random topologies brought to light, each as the kernel decides it."""

import pytest

from harness.frames import Tag
from harness.model import predict
from harness.parts import Guest, Lower, LowerKind, Mode, Switch
from harness.stimulus import Stimulus
from harness.topology import Topology

UNJOINED = "03:68:70:00:12:34"


def received(topology, stimulus):
    return {name: len(f) for name, f in predict(topology, stimulus).arrivals.items() if f}


def test_a_vlan_device_with_its_own_address_takes_its_parents_too():
    """eth_type_trans on the parent has made it PACKET_HOST; vlan_do_receive takes nothing back."""
    vlan = Lower(name="v6", kind=LowerKind.VLAN, parent="lower", vlan=6, mac="02:00:00:00:00:81")
    topology = Topology(lowers=[Lower(), vlan])
    seen = received(topology, Stimulus("external", "lower", tag=Tag(6)))
    assert seen == {"lower.in": 1, "v6": 1}


def test_no_protocol_takes_a_frame_with_two_tags():
    """The outer tag is taken off, and the frame's protocol is the inner one then."""
    lowers = [
        Lower(name="left"),
        Lower(name="v6", kind=LowerKind.VLAN, parent="left", vlan=6),
        Lower(name="right"),
    ]
    topology = Topology([Guest("a", lower="v6")], lowers=lowers)
    seen = received(topology, Stimulus("a", "right", tag=Tag(30, tpid=0x88A8)))
    assert seen == {"left.out": 1, "right.in": 1}


@pytest.mark.parametrize(
    ("guest", "gets_it"),
    [
        pytest.param(Guest("a", Mode.PASSTHRU, nopromisc=True), False, id="neither"),
        pytest.param(
            Guest("a", Mode.PASSTHRU, nopromisc=True, promiscuous=True), False, id="its own flag"
        ),
        pytest.param(Guest("a", Mode.PASSTHRU, promiscuous=True), True, id="the lower device's"),
    ],
)
def test_a_passthru_guests_own_promiscuity_stays_its_own(guest, gets_it):
    """macvlan_change_rx_flags hands IFF_PROMISC on for the other modes only."""
    topology = Topology([guest], switch=Switch(hairpin=True))
    assert ("a" in predict(topology, Stimulus("external", UNJOINED))) is gets_it
