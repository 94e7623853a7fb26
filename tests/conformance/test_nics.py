"""macvtap on network interfaces: QEMU's, which have filters, queues and interrupts as others have.

    a [tap]--.
             lower [NIC] ----- hub ----- [NIC] far
    b [tap]--'

`hairpin vm --nics e1000e,virtio-net KERNEL`: each of the two is the lower device once. A hub sends
nothing back to where it came from, and asks nobody who is to have it.
"""

from contextlib import ExitStack

import pytest

from harness import Behaviour, Guest, Mode
from harness.kernel import links
from harness.kernel.features import probe
from harness.kernel.linkstate import link_state, wait_for_link
from harness.kernel.netns import NetNS
from harness.kernel.nics import hardware_links, load_drivers
from harness.kernel.packets import Membership
from harness.kernel.waiting import look_until
from harness.machines.hardware import wire_mac
from harness.machines.inside import in_machine
from harness.parts import BROADCAST_MAC, UNKNOWN_MAC
from harness.testbed.cable import Cable, Wire
from harness.testbed.raw import LinkEnd, marker

# A machine has them once: whoever has moved them to a namespace of its own has them alone.
pytestmark = pytest.mark.xdist_group("nics")
MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE)
# Not like another in their last two octets, which 82574's table takes (e1000_hash_mc_addr_generic).
GROUP, OTHER_GROUP = "03:68:70:00:12:34", "03:68:70:00:56:78"
CARRIER_WITHIN = 20.0  # seconds; e1000e takes two
# Seconds: virtio-net sets its filter later, in a work of its own (virtnet_rx_mode_work, since 6.6).
FOLLOWS_WITHIN = 2.0
FIRST, SECOND = wire_mac(1), wire_mac(2)


@pytest.fixture(scope="session")
def nics():
    """A namespace with the two network interfaces on the machine's wire: their drivers, by MAC."""
    lacking = "no network interfaces on a wire here: hairpin vm --nics e1000e,virtio-net KERNEL"
    if not in_machine():
        pytest.skip(lacking)
    load_drivers()
    found = {link.mac: link for link in hardware_links() if link.mac in (FIRST, SECOND)}
    if len(found) < 2:
        pytest.skip(lacking)
    with NetNS.current() as here, NetNS.create() as ns:
        for link in found.values():
            index = link_state(here, link.name).index
            here.rtnl.transact([links.move_link(link.name, index=index, to=ns.fd)])
        yield ns, {mac: link.driver for mac, link in found.items()}


def _bring_up(ns, name, index):
    """A link up, and able to send: linkwatch has seen its carrier, this time's and not the last's.

    Down, a link loses its carrier at once and its operational state up to a second later.
    """
    ns.rtnl.transact([links.set_link(name, index=index, up=True)])
    wait_for_link(ns, name, lambda link: link.carrier is (link.operstate == "UP"))
    wait_for_link(
        ns, name, lambda link: link.carrier and link.operstate == "UP", within=CARRIER_WITHIN
    )


@pytest.fixture(scope="session", params=[(FIRST, SECOND), (SECOND, FIRST)], ids=["first", "second"])
def wire(request, nics):
    """The two as a Wire: the lower device is the first of them, or the second."""
    ns, _ = nics
    index = {x.get_attr("IFLA_ADDRESS"): x["index"] for x in ns.rtnl.links()}
    lower, far = (index[mac] for mac in request.param)
    # A link is renamed while it is down, and names are taken until they are given up.
    for names in {lower: "spare1", far: "spare2"}, {lower: "lower", far: "far"}:
        for at, name in names.items():
            renamed = links.set_attributes(name, index=at, attributes=(("IFLA_IFNAME", name),))
            ns.rtnl.transact([links.set_link(name, index=at, up=False), renamed])
    for at, name in names.items():
        _bring_up(ns, name, at)
    return Wire(ns, lower, far)


@pytest.fixture
def plugged(wire, backend):
    """``plugged(*guests)``: guests on one of the two network interfaces."""
    with ExitStack() as undo:

        def plugged(*guests):
            bed = undo.enter_context(Cable(guests, backend=backend, wire=wire))
            with LinkEnd(bed.ns, "lower") as lower:
                assert _takes_in(bed, lower, bed.mac(guests[-1].name)), "macvlan_open, dev_uc_add"
            return bed

        yield plugged


@pytest.fixture
def hearing():
    """``with hearing(bed) as lower:`` all that the lower device's NIC takes in."""
    return lambda bed: LinkEnd(bed.ns, "lower")


def _taken_in(bed, lower, to):
    """Whether the NIC takes in a frame from outside to that address."""
    lower.waiting()
    frame, mark = bed.frame("far", to), marker(BROADCAST_MAC)
    bed.end("far").send(frame)
    bed.end("far").send(mark)
    return frame in lower.until(mark)


def _takes_in(bed, lower, to, *, wanted=True):
    """Whether it does as soon as it does as `wanted`, or in the end."""
    return look_until(
        lambda: _taken_in(bed, lower, to), lambda seen: seen is wanted, within=FOLLOWS_WITHIN
    )


@pytest.mark.parametrize("mode", [*MODES, Mode.PASSTHRU])
def test_both_ways(plugged, mode):
    """Unicast and broadcast cross the wire, once each, and the NIC takes in what is for the guest.

    macvlan_open has put its address into the NIC's filter (dev_uc_add).
    """
    bed = plugged(Guest("a", mode))
    for sender, to, receiver in (
        ("a", "far", "far"),
        ("far", "a", "a"),
        ("a", BROADCAST_MAC, "far"),
        ("far", BROADCAST_MAC, "a"),
    ):
        assert bed.seen(sender, to, at=[receiver]) == [receiver]


@pytest.mark.parametrize("mode", MODES)
def test_siblings(plugged, mode):
    """In bridge mode nothing of it is on the wire; otherwise it is, and no hub reflects it."""
    bed = plugged(Guest("a", mode), Guest("b", mode))
    bed.set("far", promiscuous=True)
    expected = ["b"] if mode is Mode.BRIDGE else ["far"]
    try:
        heard = look_until(
            lambda: bed.seen("a", "b", at=["b", "far"]),
            lambda seen: seen == expected,
            within=FOLLOWS_WITHIN,
        )
    finally:
        bed.set("far", promiscuous=False)
    assert heard == expected


def test_strangers_are_not_taken_in(plugged, hearing):
    """Not even the lower device sees unicast to somebody else, unless it is promiscuous."""
    bed = plugged(Guest("a", Mode.VEPA))
    with hearing(bed) as lower:
        assert not _takes_in(bed, lower, UNKNOWN_MAC, wanted=False)
        bed.set("lower", promiscuous=True)
        assert _takes_in(bed, lower, UNKNOWN_MAC)
        bed.set("lower", promiscuous=False)
        assert not _takes_in(bed, lower, UNKNOWN_MAC, wanted=False)
        assert _taken_in(bed, lower, bed.mac("a"))


@pytest.mark.parametrize("nopromisc", [False, True], ids=["promiscuous", "nopromisc"])
def test_passthru_strangers(plugged, nopromisc):
    """A passthru guest has all that is on the wire, but with nopromisc only what the NIC wants."""
    bed = plugged(Guest("a", Mode.PASSTHRU, nopromisc=nopromisc))
    expected = [] if nopromisc else ["a"]
    heard = look_until(
        lambda: bed.seen("far", UNKNOWN_MAC, at=["a"]),
        lambda seen: seen == expected,
        within=FOLLOWS_WITHIN,
    )
    assert heard == expected


def test_more_guests_than_filters(plugged):
    """82574 has 16 addresses, QEMU's virtio-net 64: beyond them it takes in all, and each hears."""
    bed = plugged(*(Guest(f"g{number}", Mode.VEPA) for number in range(70)))
    guests = [name for name in bed.index if name.startswith("g")]
    assert [bed.seen("far", name, at=[name]) for name in guests] == [[name] for name in guests]


def test_groups(plugged, hearing):
    """A group that a guest joins gets into the NIC's filter, and leaves with it."""
    bed = plugged(Guest("a", Mode.BRIDGE))
    with hearing(bed) as lower:
        assert not _takes_in(bed, lower, GROUP, wanted=False)
        joined = Membership(bed.ns, "a", bed.index["a"], [GROUP])
        try:
            assert _takes_in(bed, lower, GROUP)
            assert not _taken_in(bed, lower, OTHER_GROUP)
            assert bed.seen("far", GROUP, at=["a"]) == ["a"]
        finally:
            joined.close()
        assert not _takes_in(bed, lower, GROUP, wanted=False)


def test_down_and_up(plugged, nics):
    """The guest has the carrier that its NIC has, and hears again: its address is in the filter.

    Down, e1000e gives up its carrier (e1000e_down); virtio-net does so on newer kernels only.
    """
    bed = plugged(Guest("a", Mode.VEPA))
    bed.set("lower", up=False)
    guest, lower = look_until(
        lambda: (bed.state("a").carrier, bed.state("lower").carrier),
        lambda seen: len(set(seen)) == 1,
        within=FOLLOWS_WITHIN,
    )
    _, drivers = nics
    assert not (lower and drivers[bed.mac("lower")] == "e1000e")
    follows = Behaviour.LOWER_DOWN_SHOWS in probe().behaviours
    assert guest is (lower if follows else True), "macvlan_device_event, NETDEV_DOWN"
    _bring_up(bed.ns, "lower", bed.index["lower"])
    bed.wait("a", "UP")
    with LinkEnd(bed.ns, "lower") as lower:
        assert _takes_in(bed, lower, bed.mac("a"))
    assert bed.seen("far", "a", at=["a"]) == ["a"]
    assert bed.seen("a", "far", at=["far"]) == ["far"]
