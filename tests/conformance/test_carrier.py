"""Carrier: what the guest's link tells of the wire below it.

a [tap]--.
         lower ----- far (a switch port)
b [tap]--'
"""

import pytest

from harness import Behaviour, Guest, Mode, Stimulus, Topology
from harness.kernel.counters import link_counters, moved
from harness.kernel.features import Backend, probe
from harness.kernel.links import set_link
from harness.kernel.linkstate import wait_for_link

MODES = [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU]
CUT = ["far", "lower"]
UNSEEN = "this kernel's macvtaps do not see that their lower device goes down (80fd2d6ca546)"
TRANSFER = "netif_stacked_transfer_operstate, net/core/dev.c; macvlan_device_event"


def _cut(bed, link):
    """`link` goes down; skips where a macvtap does not follow that one."""
    if link == "lower" and Behaviour.LOWER_DOWN_SHOWS not in probe().behaviours:
        pytest.skip(UNSEEN)
    bed.set(link, up=False)


def _moved_by_sending(bed, to="far"):
    """Counters, but for those of bytes, that one frame from a moves."""
    frame = bed.frame("a", to)
    before = link_counters(bed.ns)
    bed.end("a").send(frame)
    return {
        link: {name: n for name, n in counters.items() if not name.endswith("bytes")}
        for link, counters in moved(before, link_counters(bed.ns)).items()
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cut", CUT)
def test_goes_down_and_comes_back(cable, mode, cut):
    """Switch port or lower device down: LOWERLAYERDOWN; up again: UP, and frames flow."""
    bed = cable(Guest("a", mode))
    bed.wait("a", "UP")
    _cut(bed, cut)
    down = bed.wait("a", "LOWERLAYERDOWN")
    assert down.up, f"it is still administratively up ({TRANSFER})"
    assert not down.carrier, TRANSFER
    bed.set(cut, up=True)
    assert bed.wait("a", "UP").carrier, TRANSFER
    bed.wait("far", "UP")
    assert bed.seen("a", "far", at=["far"]) == ["far"]
    assert bed.seen("far", "a", at=["a"]) == ["a"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cut", CUT)
def test_sending_into_the_void(cable, into_the_void, mode, cut):
    """With the way down cut, sending succeeds; the guest's own tx_dropped moves, or nothing.

    Without a carrier the macvtap's queue is noop_qdisc (dev_deactivate, net/sched/sch_generic.c)
    """
    bed = cable(Guest("a", mode))
    bed.end("a")
    _cut(bed, cut)
    bed.wait("a", "LOWERLAYERDOWN")
    assert _moved_by_sending(bed) == into_the_void


@pytest.mark.parametrize("mode", MODES)
def test_sending_while_down_itself(cable, into_the_void, mode):
    """With the macvtap itself down, write() to the tap succeeds all the same.

    tap_get_user, drivers/net/tap.c
    """
    bed = cable(Guest("a", mode))
    if bed.backend is Backend.PACKET:
        pytest.skip("a packet socket says ENETDOWN (packet_snd): this takes taps")
    bed.end("a")
    bed.set("a", up=False)
    bed.wait("a", "DOWN")
    assert _moved_by_sending(bed) == into_the_void


@pytest.mark.parametrize("cut", CUT)
def test_siblings_lose_each_other(cable, into_the_void, cut):
    """Bridge mode needs no wire, but a carrier: siblings on a cut one are cut off as well."""
    bed = cable(Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE))
    assert bed.seen("a", "b", at=["b"]) == ["b"]
    _cut(bed, cut)
    bed.wait("a", "LOWERLAYERDOWN")
    assert _moved_by_sending(bed, to="b") == into_the_void, TRANSFER
    bed.set(cut, up=True)
    bed.wait("a", "UP")
    bed.wait("far", "UP")
    assert bed.seen("a", "b", at=["b"]) == ["b"]


def test_created_on_a_cut_wire(cable):
    """A macvtap made while the wire is down starts without a carrier and gets it later.

    macvlan_init, macvlan_common_newlink
    """
    bed = cable()
    bed.set("far", up=False)
    bed.wait("lower", "LOWERLAYERDOWN")
    bed.add(Guest("a", Mode.BRIDGE, mac="02:68:70:01:00:01"))
    assert not bed.state("a").carrier
    bed.set("far", up=True)
    assert bed.wait("a", "UP").carrier
    bed.wait("far", "UP")
    assert bed.seen("far", "a", at=["a"]) == ["a"]


def test_lower_cannot_be_overtaken(cable):
    """On a lower device that is down, a macvtap can be brought up, and waits.

    macvlan_open does not look; netif_carrier_ok does.
    """
    bed = cable(Guest("a", Mode.BRIDGE, up=False))
    _cut(bed, "lower")
    bed.set("a", up=True)
    assert bed.wait("a", "LOWERLAYERDOWN").up
    bed.set("lower", up=True)
    bed.wait("a", "UP")


@pytest.mark.parametrize("mode", MODES)
def test_switch_port(own_testbed, mode):
    """The same behind a switch: its port goes down and comes back, and all is as predicted."""
    bed = own_testbed(Topology([Guest("a", mode)]))
    host, switch = bed.wiring.host, bed.wiring.switch
    port = bed.wiring.port_index["lower"]
    for up, operstate in ((False, "LOWERLAYERDOWN"), (True, "UP")):
        switch.rtnl.transact([set_link("lower", index=port, up=up)])
        wait_for_link(host, "a", lambda link, wanted=operstate: link.operstate == wanted)
    wait_for_link(switch, "lower", lambda link: link.operstate == "UP")
    bed.prime()
    bed.check(Stimulus("a", to="external"))
    bed.check(Stimulus("external", to="a"))
