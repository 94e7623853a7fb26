"""Open descriptors when their link goes, or moves to another namespace.

    host                              elsewhere
    .-----------------------.         .-----------.
    | a --.                 |         |           |
    |      lower -----------|-- switch|-- external|
    | b --'                 |         |           |
    '-----------------------'         '-----------'

The links move from host to elsewhere; their descriptors stay where they are.
"""

import errno
import os
import select
import time
from contextlib import suppress
from pathlib import Path

import pytest

from harness import BROADCAST, Frame, Guest, KernelError, Mode, Stimulus, Switch, Topology
from harness.kernel.links import delete_link, move_link, set_link
from harness.kernel.netns import NetNS
from harness.kernel.packets import vnet_socket
from harness.kernel.taps import IFF_ATTACH_QUEUE, IFF_DETACH_QUEUE, IFF_NO_PI, IFF_TAP, Tap

PAIR = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)])
A, B, OUTSIDE = (PAIR.macs[name] for name in ("a", "b", "external"))
ONE = Frame(B, A, payload=bytes(range(100))).to_bytes()
LAST = Frame(B, A, payload=b"last").to_bytes()
SNDBUF = 0x7FFFFFFF


def _delete(bed, name):
    """Remove the link from the host's namespace, or the switch's end of its cable."""
    if name == "cable":
        place, name, index = bed.wiring.switch, "lower", bed.wiring.port_index["lower"]
    else:
        place, index = bed.wiring.host, bed.wiring.index[name]
    place.rtnl.transact([delete_link(name, index=index)])


@pytest.fixture(params=["a", "lower", "cable"], ids=["macvtap", "lower device", "its cable"])
def gone(taps, request):
    """The tap a, a frame in its queue, after the link in question has been deleted."""
    bed = taps(PAIR, own=True)
    tap = bed.endpoints["a"].tap
    bed.endpoints["b"].tap.write(Frame(A, B, payload=b"waiting").to_bytes())
    assert tap.wait(5)
    _delete(bed, request.param)
    return tap


def _number(call, *arguments, **settings):
    """The errno of a call, 0 when it succeeds."""
    try:
        call(*arguments, **settings)
    except OSError as error:
        return error.errno
    return 0


def test_deleted(gone):
    """Written is written, what waited can still be read, then EAGAIN; poll says only POLLOUT."""
    written = gone.write(ONE)
    ready = gone.ready()
    waited = gone.drain()
    assert (written, ready & select.POLLOUT, len(waited)) == (len(ONE), select.POLLOUT, 1)
    assert (_number(gone.read), gone.ready()) == (errno.EAGAIN, select.POLLOUT), "tap_del_queues"


def test_ioctls_of_the_deleted(gone):
    """What concerns the link has none (ENOLINK); what concerns the queue alone still works."""
    answers = {
        "TUNGETIFF": _number(gone.interface),
        "SIOCGIFHWADDR": _number(gone.mac),
        "SIOCSIFHWADDR": _number(gone.set_mac, A),
        "TUNSETOFFLOAD": _number(gone.set_offloads, 0),
        "TUNSETQUEUE, attach": _number(gone.set_queue, IFF_ATTACH_QUEUE),
        "TUNSETQUEUE, detach": _number(gone.set_queue, IFF_DETACH_QUEUE),
        "TUNGETFEATURES": _number(gone.features),
        "TUNSETIFF": _number(gone.set_flags, IFF_TAP | IFF_NO_PI),
        "TUNSETSNDBUF": _number(gone.set_sndbuf, SNDBUF),
        "TUNSETVNETHDRSZ": _number(gone.set_vnet_header_size, 12),
        "TUNGETVNETHDRSZ": _number(gone.vnet_header_size),
        "TUNSETVNETLE": _number(gone.set_vnet_le, on=False),
    }
    of_the_link = dict.fromkeys(list(answers)[:4], errno.ENOLINK)
    of_its_queues = dict.fromkeys(list(answers)[4:6], errno.EINVAL)
    assert answers == dict.fromkeys(answers, 0) | of_the_link | of_its_queues, "tap_ioctl"


def test_namespace_gone(taps):
    """The descriptor does not keep the namespace: its links go, the descriptor stays."""
    bed = taps(PAIR, own=True)
    a = bed.endpoints["a"].tap
    with NetNS.create() as elsewhere:
        _move(bed, "a", elsewhere)
        assert a.alive()
    give_up = time.monotonic() + 20
    while a.alive():  # cleanup_net runs in a workqueue, after an RCU grace period
        assert time.monotonic() < give_up, "macvtap_dellink has not come"
        a.wait(0.002)
    assert (a.write(ONE), _number(a.read), a.ready()) == (len(ONE), errno.EAGAIN, select.POLLOUT)


def test_one_of_two_descriptors(taps):
    """A queue is open until its last descriptor is closed (tap_release)."""
    bed = taps(PAIR)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    os.close(os.dup(b.fd))
    a.write(ONE)
    a.write(LAST)
    assert b.read_up_to(LAST) == [ONE], "tap_release, drivers/net/tap.c"


# ---------------------------------------------------------------------- moving


def _move(bed, name, place):
    """Move the link to the namespace `place`, and bring it up there; it has kept its index."""
    index = bed.wiring.index[name]
    bed.wiring.host.rtnl.transact([move_link(name, index=index, to=place.fd)])
    place.rtnl.transact([set_link(name, index=index, up=True)])


FLOWS = [
    Stimulus("a", to="b"),
    Stimulus("b", to="a"),
    Stimulus("a", to="external"),
    Stimulus("external", to="a"),
    Stimulus("a", to="lower"),
    Stimulus("external", to=BROADCAST),
    Stimulus("b", to=BROADCAST),
    Stimulus("a", to=BROADCAST),
]


@pytest.mark.parametrize("mode", [Mode.BRIDGE, Mode.VEPA, Mode.PRIVATE])
@pytest.mark.parametrize("back", [False, True], ids=["moved", "and moved back"])
def test_macvtap_moved(taps, mode, back):
    """Everything goes on as before through the descriptor that was open (macvlan has one port)."""
    topology = Topology([Guest("a", mode), Guest("b", mode)], switch=Switch(hairpin=True))
    bed = taps(topology, own=True)
    with NetNS.create() as elsewhere:
        _move(bed, "a", elsewhere)
        if back:
            index = bed.wiring.index["a"]
            elsewhere.rtnl.transact([move_link("a", index=index, to=bed.wiring.host.fd)])
            bed.wiring.host.rtnl.transact([set_link("a", index=index, up=True)])
        assert bed.endpoints["a"].tap.interface()[0] == "a"
        for stimulus in FLOWS:
            bed.check(stimulus)


def test_macvtap_moved_is_opened_there(taps):
    """The device goes with the link: listed in the sysfs of its new namespace, not of the old."""
    bed = taps(PAIR, own=True)
    host, a, b = bed.wiring.host, bed.endpoints["a"].tap, bed.endpoints["b"].tap
    with NetNS.create() as elsewhere:
        _move(bed, "a", elsewhere)
        with pytest.raises(KernelError) as refused:
            Tap.open(host, "a")
        a.close()
        with Tap.open(elsewhere, "a", mac=A) as again:
            b.write(Frame(A, B, payload=b"still here").to_bytes())
            assert (refused.value.errno, again.wait(5)) == (errno.ENODEV, True), "macvtap_link_ops"


def test_lower_device_moved(taps):
    """Guests stay, and go on over a lower device that is in another namespace.

    macvlan_device_event lets a lower device go that is unregistered in one namespace only.
    """
    bed = taps(PAIR, own=True)
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    inward = Frame(A, OUTSIDE, payload=bytes(46)).to_bytes()
    outward = Frame(OUTSIDE, A, payload=bytes(46)).to_bytes()
    with (
        NetNS.create() as elsewhere,
        vnet_socket(bed.wiring.outside["external"], "external") as external,
    ):
        _move(bed, "lower", elsewhere)
        give_up = time.monotonic() + 5
        while not a.wait(0.002):  # the switch port is disabled until its carrier is back
            assert time.monotonic() < give_up, "nothing arrives from outside"
            external.send(bytes(10) + inward)
        # a's own queue is there once linkwatch has seen its carrier, which nothing tells.
        external.settimeout(0.05)
        give_up, seen = time.monotonic() + 5, b""
        while bytes(10) + outward != seen and time.monotonic() < give_up:
            a.write(outward)
            with suppress(TimeoutError):
                while (seen := external.recv(2048)) == bytes(10) + inward:
                    pass
        a.write(ONE)
        a.write(LAST)
        assert (a.read(), seen[10:], b.read_up_to(LAST)) == (inward, outward, [ONE])


# ---------------------------------------------------------------------- device nodes


def _nodes(bed, name):
    folder = Path(f"/proc/self/fd/{bed.wiring.host.sysfs}/class/net/{name}/macvtap")
    return [node.name for node in folder.iterdir()]


def test_node_names_collide(taps):
    """N of /dev/tapN is the link's index, which two namespaces may both have; the device differs.

    macvtap_device_event names the node by dev->ifindex; tap_get_minor numbers it for everybody.
    """
    here, there = taps(PAIR, own=True), taps(PAIR, own=True)
    index = here.wiring.index["a"]
    names = [_nodes(bed, "a") for bed in (here, there)]
    devices = [os.fstat(bed.endpoints["a"].tap.fd).st_rdev for bed in (here, there)]
    assert names == [[f"tap{index}"]] * 2, "macvtap_device_event, drivers/net/macvtap.c"
    assert devices[0] != devices[1], "tap_get_minor, drivers/net/tap.c"


def test_each_its_own(taps):
    """Equal names, indexes and addresses in two namespaces: frames stay in their own."""
    here, there = taps(PAIR, own=True), taps(PAIR, own=True)
    with Tap.open(there.wiring.host, "b", mac=B) as second:
        here.endpoints["a"].tap.write(LAST)
        here.endpoints["b"].tap.read_up_to(LAST)
        heard = [second.drain(), there.endpoints["b"].tap.drain()]
    assert heard == [[], []]
