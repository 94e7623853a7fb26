"""macvtap on netdevsim, the kernel's own pretended NIC: nothing comes from its wire.

    a [tap]--.
             lower [netdevsim] ----- (counted, and gone)
    b [tap]--'

For `hairpin vm` alone: a netdevsim outlives who has made it.
"""

from contextlib import ExitStack

import pytest

from harness import Guest, Mode, UnfitError
from harness.kernel.counters import link_counters
from harness.kernel.links import set_link
from harness.kernel.netdevsim import NetdevSim
from harness.kernel.netns import NetNS
from harness.kernel.taps import Tap
from harness.machines.inside import in_machine
from harness.parts import BROADCAST_MAC
from harness.testbed.cable import Cable, Wire

MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE)
NOBODY = 0  # an index that no link has


@pytest.fixture
def simulated(backend):
    """``simulated(*guests)``: a cable whose lower device is a netdevsim, and that."""
    if not in_machine():
        pytest.skip("a netdevsim would be left behind: hairpin vm makes one where that is no harm")
    with ExitStack() as undo:

        def simulated(*guests):
            ns = undo.enter_context(NetNS.create())
            try:
                device = undo.enter_context(NetdevSim(ns, "lower"))
            except UnfitError as error:
                pytest.skip(str(error))
            ns.rtnl.transact([set_link("lower", index=device.index, up=True)])
            wire = Wire(ns, device.index, NOBODY)
            return undo.enter_context(Cable(guests, backend=backend, wire=wire)), device

        yield simulated


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("to", ["b", BROADCAST_MAC], ids=["unicast", "broadcast"])
def test_siblings(simulated, mode, to):
    """In bridge mode handed over; all else, and every broadcast, is the netdevsim's to send."""
    bed, _ = simulated(Guest("a", mode), Guest("b", mode))
    a, b = bed.end("a"), bed.end("b")
    sent_before = link_counters(bed.ns)["lower"]["tx_packets"]
    frame = bed.frame("a", to)
    a.send(frame)
    sent = link_counters(bed.ns)["lower"]["tx_packets"] - sent_before
    bridged = mode is Mode.BRIDGE
    # Both within the sending of it: macvlan_queue_xmit, drivers/net/macvlan.c.
    assert (frame in b.waiting(), sent) == (bridged, 0 if bridged and to == "b" else 1)


@pytest.mark.parametrize("mode", [*MODES, Mode.PASSTHRU])
def test_the_device_goes(simulated, mode):
    """Its driver takes it away under an open tap: the guest's link is gone, nothing else is."""
    bed, device = simulated(Guest("a", mode))
    with Tap.open(bed.ns, "a") as tap:
        device.close()
        assert not tap.alive()
        assert tap.drain() == []
    left = [link.get_attr("IFLA_IFNAME") for link in bed.ns.rtnl.links()]
    assert [name for name in left if name != "lo"] == []
