"""What libvirt makes of the XML, read back from the kernel.

                   .-- low1 (vepa)
    guest [QEMU] --+-- low2 (bridge)
                   +-- low3 (private)
                   '-- low4 (passthrough)

One guest for each variation, with a NIC in each mode. libvirt's own XML is not asked.
"""

from __future__ import annotations

import pytest

from harness import Mode

pytestmark = pytest.mark.guests

MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)
FILTER = "<filter name='hairpin-nothing' chain='root'/>"


def variations():
    """What the XML says besides source, mode and address."""
    from harness.guests import Filter, LinkState

    return {
        "plain": {},
        "model left out": {"model": ""},
        "e1000": {"model": "e1000"},
        "queues": {"queues": 2},
        "more queues than processors": {"queues": 4},
        "queues of e1000": {"model": "e1000", "queues": 2},
        "link down": {"link": LinkState.DOWN},
        "trusted": {"trust_guest_rx_filters": True},
        "filter": {"filter": Filter("hairpin-nothing")},
        "named": {"target": "port-{mode}"},
        "named as libvirt does": {"target": "macvtap99"},
        "named as a tap": {"target": "vnet99"},
        "address left out": {"mac": ""},
    }


NAMES = (
    *("plain", "model left out", "e1000", "queues", "more queues than processors"),
    *("queues of e1000", "link down", "trusted", "filter", "named", "named as libvirt does"),
    *("named as a tap", "address left out"),
)


@pytest.fixture(scope="module", params=NAMES)
def varied(request, cables):
    """A guest with a NIC in each mode, all with that variation.

    Its processors stand still, for their time is dear: the links are there, though not up.
    """
    from harness.guests.host import Wanted

    what = variations()[request.param]
    if "filter" in what:
        cables.host.connection.define_filter(FILTER)
    nics = []
    for mode in MODES:
        target = {"target": what["target"].format(mode=mode)} if "target" in what else {}
        nics.append(cables.nic(mode, **what | target))
    with cables.host.start(Wanted("varied", tuple(nics), vcpus=2, paused=True)) as guest:
        yield guest


@pytest.mark.parametrize("mode", MODES)
def test_macvtap(varied, mode):
    """Lower device, mode, state, MTU, queues, name, address; the lower device's address.

    This guest's QEMU, and nobody else, has the tap open. No flags are set: passthrough is
    promiscuous (MACVLAN_FLAG_NOPROMISC is not asked for).
    """
    number = MODES.index(mode)
    assert varied.unlike(number) == []
    seen = varied.seen(number)
    assert [name.startswith("qemu-system") for name in seen.holders] == [True]
    assert seen.link.macvtap.flags == 0
    # A trusted card that no driver has set up yet is promiscuous (virtio_net_reset in QEMU).
    trusted = varied.wanted.interfaces[number].trust_guest_rx_filters
    assert trusted or (seen.link.promiscuous, seen.link.allmulticast) == (False, False)


def test_running(cables, start, each_mode):
    """The same of a guest whose processors run: all four links are up."""
    guest = start(*each_mode())
    assert [guest.unlike(number) for number in range(len(MODES))] == [[]] * len(MODES)
    assert [guest.seen(number).link.up for number in range(len(MODES))] == [True] * len(MODES)


def test_boot_order(cables, start):
    """The NIC that boots first is the second: the order of their links stays that of the XML."""
    first, second = cables.nic(Mode.BRIDGE, boot=2), cables.nic(Mode.VEPA, boot=1)
    guest = start(first, second)
    assert [guest.unlike(0), guest.unlike(1)] == [[], []]


def test_vhost(cables, start):
    """QEMU leaves the queue to the kernel: a vhost worker sends and receives."""
    from pathlib import Path

    if not Path("/dev/vhost-net").exists():
        pytest.skip("there is no /dev/vhost-net here (CONFIG_VHOST_NET)")
    guest = start(cables.nic(Mode.BRIDGE, driver="vhost"))
    assert cables.wrong(guest) == []
