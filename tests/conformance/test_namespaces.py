"""A macvtap moved to another namespace: the link goes, its lower device stays.

   host namespace                    guest namespace
a --.
    lower ----- far       - - - ->   a (still on lower)
b --'
"""

import pytest

from harness import Guest, KernelError, Mode
from harness.kernel.features import Backend
from harness.kernel.links import set_attributes, set_link
from harness.kernel.linkstate import link_state, wait_for_link
from harness.kernel.netns import NetNS, on_thread
from harness.kernel.taps import Tap
from harness.testbed.raw import LinkEnd, TapEnd, marker

MODES = [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU]
MOVE = "__dev_change_net_namespace, net/core/dev.c"
BROADCAST = "ff:ff:ff:ff:ff:ff"


@pytest.fixture
def elsewhere(backend, closing):
    """Another namespace."""
    ns = NetNS.create()
    yield ns
    closing.append(on_thread(ns.close))


def _move(bed, name, ns, *, up=True):
    """Send the link to `ns` and bring it up there: moving takes it down (__dev_close)."""
    bed.set(name, ("IFLA_NET_NS_FD", ns.fd))
    if up:
        ns.rtnl.transact([set_link(name, index=bed.index[name], up=True)])
        wait_for_link(ns, name, lambda link: link.operstate == "UP")


def _end(bed, name, ns):
    if bed.backend is Backend.PACKET:
        return LinkEnd(ns, name)
    return TapEnd(Tap.open(ns, name))


@pytest.mark.parametrize("mode", MODES)
def test_where_it_shows_up(cable, elsewhere, mode):
    """Gone here, there under the same name, index and address, and still on the same lower.

    The lower device's index is of its own namespace, which IFLA_LINK_NETNSID names
    (macvlan_dev_get_iflink, macvlan_get_link_net).
    """
    bed = cable(Guest("a", mode))
    before = bed.state("a")
    _move(bed, "a", elsewhere, up=False)
    with pytest.raises(KernelError, match="ENODEV"):
        bed.state("a")
    after = link_state(elsewhere, "a")
    assert not after.up, MOVE
    assert (after.index, after.mac, after.mtu, after.lower) == (
        before.index,
        before.mac,
        before.mtu,
        bed.index["lower"],
    )
    assert after.macvtap == before.macvtap
    assert (before.lower_netnsid, after.lower_netnsid) == (None, 0), "rtnl_fill_link_netnsid"


@pytest.mark.parametrize("mode", MODES)
def test_still_reached(cable, elsewhere, mode):
    """From the wire and to it, as if it had never moved (macvlan_port knows no namespaces)."""
    bed = cable(Guest("a", mode))
    mac = bed.mac("a")
    _move(bed, "a", elsewhere)
    with _end(bed, "a", elsewhere) as end:
        for to in (mac, BROADCAST):
            frame, mark = bed.frame("far", to), marker(to)
            for sent in (frame, mark):
                bed.end("far").send(sent)
            assert end.until(mark) == [frame]
        back = bed.frame("far", "far", source=mac)
        far = bed.end("far")
        end.send(back)
        mark = marker(BROADCAST)
        bed.end("lower").send(mark)
        assert far.until(mark) == [back]


def test_siblings_still_meet(cable, elsewhere):
    """Bridge mode across namespaces: both ways directly, never on the wire."""
    bed = cable(Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE))
    mac = bed.mac("a")
    _move(bed, "a", elsewhere)
    with _end(bed, "a", elsewhere) as end:
        frame, mark = bed.frame("b", mac), marker(mac)
        assert bed.exchange("b", frame, at=["far"]) == {"far": []}
        bed.end("far").send(mark)
        assert end.until(mark) == [frame]
        back, mark = bed.frame("far", "b", source=mac), marker(bed.mac("b"))
        bed.end("b").waiting()
        end.send(back)
        bed.end("far").send(mark)
        assert bed.end("b").until(mark) == [back]


@pytest.mark.parametrize("mode", MODES)
def test_carrier_crosses(cable, elsewhere, mode):
    """The lower device's carrier is its carrier in the other namespace, too.

    netif_stacked_transfer_operstate; as the lower link is not there, the state is plain DOWN
    (default_operstate, net/core/link_watch.c).
    """
    bed = cable(Guest("a", mode))
    _move(bed, "a", elsewhere)
    bed.set("far", up=False)
    wait_for_link(elsewhere, "a", lambda link: not link.carrier)
    bed.set("far", up=True)
    wait_for_link(elsewhere, "a", lambda link: link.operstate == "UP")


def test_settings_from_there(cable, elsewhere):
    """In its new namespace it is configured as ever, errors included (macvlan_changelink)."""
    bed = cable(Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE))
    taken = bed.mac("b")
    _move(bed, "a", elsewhere)

    def ask(*attributes):
        index = bed.index["a"]
        elsewhere.rtnl.transact([set_attributes("a", index=index, attributes=attributes)])

    ask(("IFLA_ADDRESS", "02:68:70:01:00:99"))
    with pytest.raises(KernelError, match="EADDRINUSE"):
        ask(("IFLA_ADDRESS", taken))
    with pytest.raises(KernelError, match="EINVAL"):
        ask(("IFLA_MTU", 1501))


def test_gone_with_its_lower(cable, elsewhere):
    """Deleting the lower device takes the macvtap out of whatever namespace it is in.

    macvlan_device_event (NETDEV_UNREGISTER)
    """
    bed = cable(Guest("a", Mode.BRIDGE))
    _move(bed, "a", elsewhere)
    bed.delete("lower")
    with pytest.raises(KernelError, match="ENODEV"):
        link_state(elsewhere, "a")


def test_name_taken_there(cable, elsewhere):
    """Where the name is taken it cannot go: EEXIST, and it stays (__dev_change_net_namespace)."""
    bed = cable(Guest("a", Mode.BRIDGE), Guest("b", Mode.VEPA))
    _move(bed, "b", elsewhere)
    rename = set_attributes("b", index=bed.index["b"], attributes=(("IFLA_IFNAME", "a"),))
    elsewhere.rtnl.transact([set_link("b", index=bed.index["b"], up=False), rename])
    with pytest.raises(KernelError, match="EEXIST"):
        bed.set("a", ("IFLA_NET_NS_FD", elsewhere.fd))
    assert bed.seen("far", "a", at=["a"]) == ["a"]
