"""macvtap beside its relatives: macvlan shares the lower device, ipvlan does not.

a [tap]------.
             lower ----- far
m [macvlan]--'
"""

import contextlib
import errno

import pytest

from harness import Guest, KernelError, Mode
from harness.kernel.links import new_macvtap
from harness.testbed.raw import LinkEnd, marker

M = "02:68:70:01:00:99"
BROADCAST = "ff:ff:ff:ff:ff:ff"
NUMBERS = {Mode.PRIVATE: 1, Mode.VEPA: 2, Mode.BRIDGE: 4, Mode.PASSTHRU: 8, Mode.SOURCE: 16}
SHARED = "macvlan_common_newlink serves both, drivers/net/macvlan.c"


def _add(bed, kind, *data, name="m"):
    request = new_macvtap(
        name,
        index=bed.claim(name),
        lower=bed.index["lower"],
        kind=kind,
        data=data,
        attributes=(("IFLA_ADDRESS", M),) if kind == "macvlan" else (),
    )
    try:
        bed.do(request)
    except KernelError as error:
        if error.errno == errno.EOPNOTSUPP:
            pytest.skip(f"this kernel has no {kind} ({error.detail})")
        raise


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE])
def test_macvlan_is_a_sibling(cable, mode):
    """A macvlan on the same lower device is a macvtap's sibling, in its mode like any other."""
    bed = cable(Guest("a", Mode.BRIDGE))
    _add(bed, "macvlan", ("IFLA_MACVLAN_MODE", NUMBERS[mode]))
    bed.set("m", up=True)
    with LinkEnd(bed.ns, "m") as m:
        direct = bed.frame("a", M)
        on_the_wire = bed.exchange("a", direct, at=["far"])["far"]
        mark = marker(M)
        bed.end("far").send(mark)
        assert m.until(mark) == ([direct] if mode is Mode.BRIDGE else []), SHARED
        assert on_the_wire == ([] if mode is Mode.BRIDGE else [direct]), SHARED
        frame, mark = bed.frame("far", BROADCAST), marker(BROADCAST)
        for sent in (frame, mark):
            bed.end("far").send(sent)
        assert m.until(mark) == [frame]


@pytest.mark.parametrize("mode", list(Mode))
def test_macvlan_beside_passthru(cable, refuses, mode):
    """Passthru is alone with a macvlan as well: EINVAL (macvlan_common_newlink)."""
    bed = cable(Guest("a", Mode.PASSTHRU))
    with refuses("EINVAL", SHARED):
        _add(bed, "macvlan", ("IFLA_MACVLAN_MODE", NUMBERS[mode]))


def test_passthru_beside_macvlan(cable, refuses):
    """The other way round, too: EINVAL."""
    bed = cable()
    _add(bed, "macvlan", ("IFLA_MACVLAN_MODE", NUMBERS[Mode.BRIDGE]))
    with refuses("EINVAL", SHARED):
        bed.add(Guest("a", Mode.PASSTHRU))


def test_address_of_a_macvlan(cable, refuses):
    """Addresses are shared out among both: EADDRINUSE (macvlan_addr_busy)."""
    bed = cable(Guest("a", Mode.BRIDGE))
    _add(bed, "macvlan", ("IFLA_MACVLAN_MODE", NUMBERS[Mode.BRIDGE]))
    bed.set("m", up=True)
    with refuses("EADDRINUSE", "macvlan_set_mac_address, drivers/net/macvlan.c"):
        bed.set("a", ("IFLA_ADDRESS", M))


@pytest.mark.parametrize("kind", ["ipvlan", "ipvtap"])
@pytest.mark.parametrize("ours_first", [True, False], ids=["macvtap first", "macvtap second"])
def test_no_room_beside_ipvlan(cable, refuses, kind, ours_first):
    """One rx handler a device: whoever comes second is EBUSY.

    ipvlan_port_create, drivers/net/ipvlan/ipvlan_main.c; macvlan_port_create
    """
    bed = cable(*[Guest("a", Mode.BRIDGE)] * ours_first)
    with contextlib.ExitStack() as refused:
        if ours_first:
            refused.enter_context(refuses("EBUSY", "netdev_rx_handler_register, net/core/dev.c"))
        _add(bed, kind)
    if not ours_first:
        with refuses("EBUSY", "netdev_is_rx_handler_busy, net/core/dev.c"):
            bed.add(Guest("a", Mode.BRIDGE, mac="02:68:70:01:00:01"))
