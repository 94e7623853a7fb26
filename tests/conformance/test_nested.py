"""Macvtaps on macvtaps: they land on the real lower device, side by side.

asked for:  x [tap]-- a [tap]-- lower        what is made:  a [tap]--.
                                                                     lower ----- far
                                                            x [tap]--'
"""

import pytest

from harness import Guest, KernelError, Mode
from harness.kernel.features import probe
from harness.kernel.links import add_vlan

X = "02:68:70:01:00:99"
MODES = [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE]
BROADCAST = "ff:ff:ff:ff:ff:ff"
WHERE = "macvlan_common_newlink, drivers/net/macvlan.c"


@pytest.mark.parametrize("first", [*MODES, Mode.SOURCE])
@pytest.mark.parametrize("second", MODES)
def test_side_by_side(cable, first, second):
    """A macvtap on a macvtap is its sibling: the lower device is the real one."""
    bed = cable(Guest("a", first, sources=("02:68:70:03:00:0a",) if first is Mode.SOURCE else ()))
    bed.add(Guest("x", second, mac=X), on="a")
    assert bed.state("x").lower == bed.state("a").lower == bed.index["lower"], WHERE
    assert bed.seen("far", X, at=["x"]) == ["x"]
    assert bed.seen("far", BROADCAST, at=["x", "lower"]) == ["x", "lower"]


def test_siblings_in_bridge_mode(cable):
    """Nested or not, in bridge mode the two have a direct way."""
    bed = cable(Guest("a", Mode.BRIDGE))
    bed.add(Guest("x", Mode.BRIDGE, mac=X), on="a")
    assert bed.seen("a", X, at=["x", "far"]) == ["x"]
    assert bed.seen("x", "a", at=["a", "far"]) == ["a"]


def test_outlives_the_one_it_was_asked_on(cable):
    """Deleting a leaves x alone: it was never on a (macvlan_dellink)."""
    bed = cable(Guest("a", Mode.BRIDGE))
    bed.add(Guest("x", Mode.BRIDGE, mac=X), on="a")
    bed.delete("a")
    assert bed.seen("far", X, at=["x"]) == ["x"]


@pytest.mark.parametrize("mode", list(Mode))
def test_on_passthru(cable, mode):
    """On a passthru macvtap there is no room for a sibling: EINVAL (macvlan_common_newlink)."""
    bed = cable(Guest("a", Mode.PASSTHRU))
    with pytest.raises(KernelError, match="EINVAL"):
        bed.add(Guest("x", mode, mac=X), on="a")


def test_mtu_is_the_real_ones(cable):
    """What counts is the real lower device's MTU, not that of the macvtap it was asked on."""
    bed = cable(Guest("a", Mode.BRIDGE))
    bed.set("a", ("IFLA_MTU", 1000))
    bed.add(Guest("x", Mode.BRIDGE, mac=X), on="a")
    assert bed.state("x").mtu == 1500, WHERE


def test_lower_gone(cable):
    """With the lower device every macvtap is gone, nested or not.

    macvlan_device_event (NETDEV_UNREGISTER)
    """
    bed = cable(Guest("a", Mode.BRIDGE))
    bed.add(Guest("x", Mode.BRIDGE, mac=X), on="a")
    bed.delete("lower")
    left = {link.get_attr("IFLA_IFNAME") for link in bed.ns.rtnl.links()}
    assert left == {"lo"}, "its veth peer goes with it as well"


def test_vlan_on_a_macvtap(cable):
    """A vlan device on a macvtap carries macvtaps of its own, tagged on the way.

    vlan_dev_hard_start_xmit, net/8021q/vlan_dev.c
    """
    if "vlan" in probe().missing:
        pytest.skip(f"this kernel has no vlan ({probe().missing['vlan']})")
    bed = cable(Guest("a", Mode.BRIDGE))
    bed.do(add_vlan("vlan5", index=bed.claim("vlan5"), parent=bed.index["a"], vlan=5))
    bed.add(Guest("x", Mode.BRIDGE, mac=X), on="vlan5")
    assert bed.state("x").lower == bed.index["vlan5"]
    frame = bed.frame("x", "far")
    seen = bed.exchange("x", frame, at=["far"])["far"]
    assert seen == [frame[:12] + b"\x81\x00\x00\x05" + frame[12:]]
