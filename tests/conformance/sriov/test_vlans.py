"""VLANs of virtual functions.

p0 [tap]---- vf0 (VLAN 100) ---.
p1 [tap]---- vf1 --------------+ NIC ----- outside
"""

import pytest

from harness.parts import BROADCAST_MAC
from harness.sriov.emulated import Quirk

pytestmark = pytest.mark.sriov


@pytest.fixture
def vlan(pair):
    """vf0 in VLAN 100, with priority 3."""
    pair.set_vf(0, vlan=100, qos=3)
    pair.settle("p0")
    return pair


def test_set(vlan):
    """The PF says what it was told."""
    assert (vlan.vf(0).vlan, vlan.vf(0).qos, vlan.vf(1).vlan) == (100, 3, 0)


def test_out(vlan, expect):
    """The NIC puts the tag on, and before one that the guest has put on (QinQ)."""
    when = "p0 in VLAN 100"
    expect("p0", "outside", {"outside tagged 100 priority 3": 1}, when=when)
    expect("p0", "outside", {"outside tagged 100 priority 3, 7": 1}, when=when, vid=7)


def test_in(vlan, expect):
    """It takes the tag off; what is of no or another VLAN does not come."""
    when = "p0 in VLAN 100"
    expect("outside", "p0", {"p0": 1}, when=when, vid=100)
    expect("outside", "p0", {}, when=when, vid=101)
    expect("outside", "p0", {}, when=when, quirks={Quirk.PROMISCUOUS_PF: {"pf": 1}})


def test_broadcast(vlan, expect):
    """Stays in its VLAN."""
    when = "p0 in VLAN 100"
    own = {Quirk.OWN_BROADCAST: {"p0": 1}}
    expect("p0", BROADCAST_MAC, {"outside tagged 100 priority 3": 1}, when=when, quirks=own)
    expect("outside", BROADCAST_MAC, {"p0": 1}, when=when, vid=100)
    expect("outside", BROADCAST_MAC, {"p1": 1, "pf": 1}, when=when)


def test_both(vlan, expect):
    """Two in one VLAN are switched to each other, without a tag."""
    vlan.set_vf(1, vlan=100)
    vlan.settle("p1")
    when = "both in VLAN 100"
    expect("p0", "p1", {"p1": 1}, when=when)
    expect("outside", BROADCAST_MAC, {"p0": 1, "p1": 1}, when=when, vid=100)


def test_taken_back(vlan, expect):
    """VLAN 0 is none."""
    vlan.set_vf(0, vlan=0)
    vlan.settle("p0")
    expect("p0", "outside", {"outside": 1}, when="VLAN taken back")
    expect("outside", "p0", {"p0": 1}, when="VLAN taken back")


def test_guests_own_tag(pair, expect):
    """Without a VLAN of the VF, a guest's tag goes out; none comes in unless a link there takes it.

    igbvf filters VLANs for the VLAN devices that the host has on it, and knows none of the guest's.
    """
    expect("p0", "outside", {"outside tagged 100": 1}, vid=100)
    expect("outside", "p0", {}, vid=100)
