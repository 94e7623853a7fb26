"""Groups on a virtual function.

p0 [tap]---- vf0 ---.
p1 [tap]---- vf1 ---+ NIC ----- outside
pf -----------------'
"""

import pytest

from harness.kernel.packets import Membership
from harness.sriov.bed import GROUP_MAC

pytestmark = pytest.mark.sriov


def test_not_joined(pair, expect):
    """Goes out and comes nowhere."""
    expect("outside", GROUP_MAC, {})
    expect("p0", GROUP_MAC, {"outside": 1})


def test_joined(pair, expect):
    """What is joined on the macvtap is in the NIC's filter, which is one for it and the PF.

    (igb_restore_vf_multicasts; E1000_VMOLR_ROMPE says who listens to it.)
    """
    membership = Membership(pair.ns, "p0", pair.macvtaps["p0"], [GROUP_MAC])
    try:
        expect("outside", GROUP_MAC, {"p0": 1, "pf": 1}, when="p0 has joined")
    finally:
        membership.close()


@pytest.mark.parametrize("asked", ["promiscuous", "allmulticast"])
def test_asked_of_the_driver(pair, expect, asked):
    """Neither brings a group that was not joined: the driver has no such filters.

    (igbvf_set_rx_mode.)
    """
    pair.set_link("p0", **{asked: True})
    expect("outside", GROUP_MAC, {}, when=f"p0 {asked}")
