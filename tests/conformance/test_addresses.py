"""A guest's MAC address, changed while it is up: frames follow it at once.

a [tap]--.
         lower ----- far
b [tap]--'
"""

import pytest

from harness import External, Guest, Mode, Topology
from harness.frames import Frame, Kind, payload
from harness.kernel.links import set_attributes

OLD, NEW = "02:68:70:01:00:01", "02:68:70:01:00:99"
MODES = [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE]
WHERE = "macvlan_sync_address, macvlan_hash_change_addr, drivers/net/macvlan.c"


@pytest.mark.parametrize("mode", MODES)
def test_from_outside(cable, mode):
    """The new address is delivered, the old one is nobody's and goes to the host's stack."""
    bed = cable(Guest("a", mode), Guest("b", Mode.BRIDGE))
    bed.set("a", ("IFLA_ADDRESS", NEW))
    assert bed.state("a").mac == NEW
    assert bed.seen("far", NEW, at=["a", "b"]) == ["a"], WHERE
    assert bed.seen("far", OLD, at=["a", "b"]) == [], WHERE


def test_from_a_sibling(cable):
    """In bridge mode the sibling's frame goes where the address now is, or else to the wire."""
    bed = cable(Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE))
    bed.set("a", ("IFLA_ADDRESS", NEW))
    assert bed.seen("b", NEW, at=["a", "far"]) == ["a"], WHERE
    assert bed.seen("b", OLD, at=["a", "far"]) == ["far"], WHERE


@pytest.mark.parametrize("mode", [*MODES, Mode.PASSTHRU])
def test_nothing_rewrites_what_the_guest_sends(cable, mode):
    """The guest writes its own source: the link's new address is not put into frames."""
    bed = cable(Guest("a", mode))
    old = bed.mac("a")
    bed.set("a", ("IFLA_ADDRESS", NEW))
    assert bed.seen("a", "far", at=["far"], source=old) == ["far"]


@pytest.mark.parametrize("mode", MODES)
def test_while_down(cable, mode):
    """Set while down, the address holds from the moment it comes up (macvlan_open)."""
    bed = cable(Guest("a", mode, up=False))
    bed.set("a", ("IFLA_ADDRESS", NEW))
    bed.set("a", up=True)
    assert bed.seen("far", NEW, at=["a"]) == ["a"]
    assert bed.seen("far", OLD, at=["a"]) == []


def test_swapped(cable):
    """Two guests swap addresses through a third: frames follow (macvlan_addr_busy)."""
    bed = cable(Guest("a", Mode.BRIDGE), Guest("b", Mode.VEPA))
    a, b = bed.mac("a"), bed.mac("b")
    for name, mac in (("a", NEW), ("b", a), ("a", b)):
        bed.set(name, ("IFLA_ADDRESS", mac))
    assert bed.seen("far", a, at=["a", "b"]) == ["b"]
    assert bed.seen("far", b, at=["a", "b"]) == ["a"]


@pytest.mark.parametrize("mode", [*MODES, Mode.SOURCE])
def test_lowers_change_is_not_the_guests(cable, mode):
    """Outside of passthru the lower device's address is its own affair (macvlan_device_event)."""
    bed = cable(Guest("a", mode))
    bed.set("lower", ("IFLA_ADDRESS", NEW))
    assert (bed.mac("a"), bed.mac("lower")) == (OLD, NEW)
    assert bed.seen("far", NEW, at=["lower"]) == ["lower"]


def test_source_mode_has_no_use_for_it(cable):
    """A source-mode guest's own address brings it nothing, the new one no more than the old."""
    listed = "02:68:70:03:00:0a"
    bed = cable(Guest("s", Mode.SOURCE, sources=(listed,)))
    bed.set("s", ("IFLA_ADDRESS", NEW))
    assert bed.seen("far", NEW, at=["s"]) == []
    assert bed.seen("far", NEW, at=["s"], source=listed) == ["s"]


@pytest.mark.parametrize("mode", [*MODES, Mode.PASSTHRU])
def test_switch_learns_it(own_testbed, raw, mode):
    """Once the guest has sent from its new address, the switch sends it down that port only."""
    bed = own_testbed(
        Topology([Guest("a", mode)], externals=[External("external"), External("other")])
    )
    ends, outside = raw(bed), bed.topology.macs["external"]
    change = set_attributes("a", index=bed.wiring.index["a"], attributes=(("IFLA_ADDRESS", NEW),))
    bed.wiring.host.rtnl.transact([change])

    def frame(dst, src, ident):
        return Frame(dst, src, payload=payload(Kind.PRIME, ident)).to_bytes()

    hello = frame(outside, NEW, 1)
    assert ends.exchange("a", hello, at=["external"])["external"] == [hello]
    back = frame(NEW, outside, 2)
    seen = ends.exchange("external", back, at=["a", "other"])
    assert seen == {"a": [back], "other": []}, "br_fdb_update, net/bridge/br_fdb.c"
