"""Passthru on a virtual function.

p0 [tap]---- vf0 ---.
                    NIC ----- outside
pf -----------------'
"""

import pytest

from harness import Guest, Mode
from harness.kernel import links
from harness.kernel.netns import NetNS
from harness.kernel.taps import Tap
from harness.parts import BROADCAST_MAC
from harness.sriov.emulated import Quirk
from harness.testbed.raw import TapEnd, marker

pytestmark = pytest.mark.sriov

MACVLAN = "macvlan_common_newlink, drivers/net/macvlan.c"
BESIDE = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)


@pytest.mark.parametrize("nopromisc", [False, True], ids=["promisc", "nopromisc"])
def test_both_ways(nic, macs, expect, nopromisc):
    """Unicast goes out and comes in; a VF filters, so that nopromisc loses nothing."""
    nic.passthru(0, mac=macs.a, nopromisc=nopromisc)
    nic.settle("p0")
    when = "nopromisc" if nopromisc else ""
    expect("p0", "outside", {"outside": 1}, when=when)
    expect("outside", "p0", {"p0": 1}, when=when)
    assert nic.state("vf0").promiscuity == (0 if nopromisc else 1)


def test_broadcast(pair, expect):
    """To everybody, from everybody."""
    expect("outside", BROADCAST_MAC, {"p0": 1, "p1": 1, "pf": 1})
    own = {Quirk.OWN_BROADCAST: {"p0": 1}}
    expect("p0", BROADCAST_MAC, {"outside": 1, "p1": 1, "pf": 1}, quirks=own)
    own = {Quirk.OWN_BROADCAST: {"pf": 1}}
    expect("pf", BROADCAST_MAC, {"outside": 1, "p0": 1, "p1": 1}, quirks=own)


@pytest.mark.parametrize("mode", BESIDE)
def test_second_macvtap(nic, macs, refuses, mode):
    """Not beside one in passthru, in any mode."""
    nic.passthru(0)
    with refuses("EINVAL", MACVLAN):
        nic.add(Guest("second", mode, mac=macs.b), on="vf0")
    assert nic.wait("p0", lambda link: link.operstate == "UP").macvtap.mode is Mode.PASSTHRU


def test_macvlan(nic, refuses):
    """Nor a macvlan."""
    nic.passthru(0)
    index, lower = nic.state("p0").index + 1, nic.state("vf0").index
    with refuses("EINVAL", MACVLAN):
        nic.ns.rtnl.transact(
            [links.new_macvtap("second", index=index, lower=lower, kind="macvlan")]
        )


def test_address_reaches_the_function(nic, macs, expect):
    """The guest's address is the VF's and in the PF's table; without it both are as before."""
    before = nic.state("vf0").mac
    nic.passthru(0)
    assert nic.state("p0").mac == before
    nic.set_mac("p0", macs.a)
    assert (nic.state("vf0").mac, nic.vf(0).mac) == (macs.a, macs.a)
    nic.settle("p0")
    expect("outside", "p0", {"p0": 1}, when="address changed")
    others = {Quirk.PROMISCUOUS_PF: {"pf": 1}}
    expect("outside", before, {}, when="address changed", quirks=others, named="that of before")
    nic.delete("p0")
    assert (nic.state("vf0").mac, nic.vf(0).mac) == (before, before)


def test_address_of_the_function_reaches_the_tap(nic, macs):
    """The other way round, and then that is what is restored."""
    nic.passthru(0)
    nic.set_mac("vf0", macs.a)
    assert nic.state("p0").mac == macs.a
    nic.delete("p0")
    assert nic.state("vf0").mac == macs.a


def test_address_at_creation_is_ignored(nic, macs):
    """A macvtap in passthru begins with its lower device's (macvlan_common_newlink)."""
    before = nic.state("vf0").mac
    index, lower = nic.claim("p0"), nic.state("vf0").index
    wanted = {"data": (("IFLA_MACVTAP_MODE", 8),), "attributes": (("IFLA_ADDRESS", macs.a),)}
    nic.ns.rtnl.transact([links.new_macvtap("p0", index=index, lower=lower, **wanted)])
    assert (nic.state("p0").mac, nic.state("vf0").mac) == (before, before)


def test_in_another_namespace(nic, macs):
    """The macvtap moves, the VF stays; frames pass as before."""
    nic.passthru(0, mac=macs.a)
    nic.settle("p0")
    nic.hang_up()
    with NetNS.create() as elsewhere:
        index = nic.macvtaps["p0"]
        nic.ns.rtnl.transact([links.move_link("p0", index=index, to=elsewhere.fd)])
        elsewhere.rtnl.transact([links.set_link("p0", index=index, up=True)])
        with Tap.open(elsewhere, "p0", mac=macs.a) as tap:
            mark = marker(macs.a, src=nic.mac("outside"))
            nic.end("outside").send(mark)
            assert TapEnd(tap).until(mark) == []
        elsewhere.rtnl.transact([links.delete_link("p0", index=index)])
    del nic.macvtaps["p0"]
