"""What the PF decides of a virtual function's address.

p0 [tap]---- vf0 ---- NIC ----- outside
"""

import pytest

from harness.sriov.emulated import Quirk

pytestmark = pytest.mark.sriov

SET_MAC = "igbvf_set_mac, drivers/net/ethernet/intel/igbvf/netdev.c"


def bounce(nic):
    """Down and up again: what the driver is asked to do once the PF has given an address."""
    nic.set_link("vf0", up=False)
    nic.set_link("vf0", up=True)
    nic.set_link("p0", up=True)
    nic.wait("vf0", lambda link: link.operstate == "UP")
    nic.settle("p0")


def test_given_address(nic, macs, expect):
    """It counts in the NIC at once; the VF takes it over when it comes up."""
    own = nic.passthru(0, mac=macs.a)
    nic.settle(own)
    nic.set_vf(0, mac=macs.admin)
    when = "address from the PF"
    assert nic.vf(0).mac == macs.admin
    assert nic.state("vf0").mac == macs.a
    expect("outside", macs.admin, {"p0": 1}, when=when, named="the given one")
    quirks = {Quirk.PROMISCUOUS_PF: {"pf": 1}}
    expect("outside", macs.a, {}, when=when, quirks=quirks, named="that of p0")
    bounce(nic)
    assert nic.state("vf0").mac == macs.admin
    expect("outside", macs.admin, {"p0": 1}, when=f"{when}, VF up again", named="the given one")


def test_another_address_is_refused(nic, macs, refuses):
    """The guest may have the one that was given, and no other."""
    nic.passthru(0)
    nic.set_vf(0, mac=macs.admin)
    with refuses("EADDRNOTAVAIL", SET_MAC):
        nic.set_mac("p0", macs.other)
    assert nic.vf(0).mac == macs.admin
    nic.set_mac("p0", macs.admin)
    assert nic.state("vf0").mac == macs.admin


def test_tap_does_not_learn_it(nic, macs):
    """The VF has the new address, and the macvtap goes on with its own (macvlan_device_event)."""
    nic.passthru(0, mac=macs.a)
    nic.set_vf(0, mac=macs.admin)
    bounce(nic)
    assert (nic.state("vf0").mac, nic.state("p0").mac) == (macs.admin, macs.a)


def test_trusted(nic, macs, expect):
    """A trusted VF may choose in spite of it."""
    nic.passthru(0)
    nic.set_vf(0, mac=macs.admin, trust=True)
    nic.set_mac("p0", macs.other)
    assert (nic.state("vf0").mac, nic.vf(0).mac) == (macs.other, macs.other)
    nic.settle("p0")
    expect("outside", "p0", {"p0": 1}, when="trusted")
    expect("p0", "outside", {"outside": 1}, when="trusted")


@pytest.mark.parametrize("spoofchk", [True, False], ids=["spoofchk", "unchecked"])
def test_spoofing(nic, macs, expect, spoofchk):
    """A foreign source address is for the NIC to stop: the kernel does not."""
    nic.passthru(0, mac=macs.a)
    nic.settle("p0")
    nic.set_vf(0, spoofchk=spoofchk)
    assert nic.vf(0).spoofchk is spoofchk
    wanted = {} if spoofchk else {"outside": 1}
    quirks = {Quirk.NO_SPOOF_CHECK: {"outside": 1}} if spoofchk else {}
    when = f"foreign source, spoofchk {'on' if spoofchk else 'off'}"
    expect("p0", "outside", wanted, source=macs.other, when=when, quirks=quirks)
