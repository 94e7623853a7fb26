"""Link-local protocols on the wire itself: LLDP, LACP, STP and PAUSE at a guest's tap.

a [tap]--.
         lower ----- far
b [tap]--'

No bridge lies between: far is what a switch's port, or an LLDP agent on it, would be. For
macvlan the reserved addresses are groups like others; only PAUSE frames are not for guests.
"""

import contextlib

import pytest

from harness import Guest, Mode
from harness.frames import Frame
from harness.kernel.packets import Membership
from harness.testbed.raw import LinkEnd

LLDP, LACP, PAUSE = 0x88CC, 0x8809, 0x8808
PROTOCOLS = {
    "LLDP, nearest bridge": ("01:80:c2:00:00:0e", LLDP),
    "LLDP, nearest non-TPMR": ("01:80:c2:00:00:03", LLDP),
    "LLDP, nearest customer": ("01:80:c2:00:00:00", LLDP),
    "LACP": ("01:80:c2:00:00:02", LACP),
    "ECP and VDP, nearest customer": ("01:80:c2:00:00:00", 0x8940),
    "EAPOL": ("01:80:c2:00:00:03", 0x888E),
}
PAUSED = "01:80:c2:00:00:01"
MODES = [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU]
NO_PAUSE = "macvlan_broadcast (ETH_P_PAUSE), drivers/net/macvlan.c"

every_protocol = pytest.mark.parametrize(("group", "ethertype"), PROTOCOLS.values(), ids=PROTOCOLS)


def _frame(bed, sender, dst, ethertype):
    return Frame(dst, bed.mac(sender), ethertype, bytes(range(46))).to_bytes()


@pytest.mark.parametrize("mode", MODES)
@every_protocol
def test_from_the_port(cable, mode, group, ethertype):
    """A guest that has joined the address sees what the switch's port says (macvlan_broadcast)."""
    bed = cable(Guest("a", mode))
    frame = _frame(bed, "far", group, ethertype)
    with contextlib.closing(Membership(bed.ns, "a", bed.index["a"], [group])):
        assert bed.exchange("far", frame, at=["a"]) == {"a": [frame]}


@every_protocol
def test_host_sees_it_too(cable, group, ethertype):
    """The host's own agent on the lower device gets it in any case (RX_HANDLER_PASS)."""
    bed = cable(Guest("a", Mode.BRIDGE))
    frame = _frame(bed, "far", group, ethertype)
    with LinkEnd(bed.ns, "lower", protocol=ethertype) as host:
        bed.exchange("far", frame, at=["a"])
        assert host.waiting() == [frame]


@pytest.mark.parametrize("mode", MODES)
@every_protocol
def test_from_the_guest(cable, mode, group, ethertype):
    """A guest's own LLDP, LACP or ECP gets to the switch's port (macvlan_queue_xmit)."""
    bed = cable(Guest("a", mode))
    frame = _frame(bed, "a", group, ethertype)
    assert bed.exchange("a", frame, at=["far"]) == {"far": [frame]}


@every_protocol
def test_siblings_hear_each_other(cable, group, ethertype):
    """In bridge mode a sibling that has joined takes a guest for the switch's port."""
    bed = cable(Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE))
    frame = _frame(bed, "a", group, ethertype)
    with contextlib.closing(Membership(bed.ns, "b", bed.index["b"], [group])):
        assert bed.exchange("a", frame, at=["b", "far"]) == {"b": [frame], "far": [frame]}


# ---------------------------------------------------------------------- PAUSE


@pytest.mark.parametrize("mode", MODES)
def test_pause_is_not_for_guests(cable, mode):
    """A PAUSE frame reaches no guest, not one that has joined and takes all groups."""
    bed = cable(Guest("a", mode, allmulticast=True))
    frame = _frame(bed, "far", PAUSED, PAUSE)
    with contextlib.closing(Membership(bed.ns, "a", bed.index["a"], [PAUSED])):
        assert bed.exchange("far", frame, at=["a"]) == {"a": []}, NO_PAUSE
    other = _frame(bed, "far", PAUSED, LLDP)
    assert bed.exchange("far", other, at=["a"]) == {"a": [other]}, "it is not the address"


@pytest.mark.parametrize("mode", MODES)
def test_guests_pause(cable, mode):
    """A guest's own PAUSE frame goes onto the wire: a guest can pause the host's port."""
    bed = cable(Guest("a", mode))
    frame = _frame(bed, "a", PAUSED, PAUSE)
    assert bed.exchange("a", frame, at=["far"]) == {"far": [frame]}


def test_pause_between_siblings(cable):
    """In bridge mode a sibling gets no PAUSE frame, but one that is addressed to it."""
    bed = cable(Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE, allmulticast=True))
    frame = _frame(bed, "a", PAUSED, PAUSE)
    assert bed.exchange("a", frame, at=["b"]) == {"b": []}, NO_PAUSE
    unicast = _frame(bed, "a", bed.mac("b"), PAUSE)
    assert bed.exchange("a", unicast, at=["b"]) == {"b": [unicast]}


def test_pause_of_a_listed_source(cable):
    """Source mode copies whatever a listed source sends, PAUSE too (macvlan_forward_source)."""
    listed = "02:68:70:03:00:01"
    bed = cable(Guest("s", Mode.SOURCE, sources=(listed,)))
    frame = _frame(bed, "far", PAUSED, PAUSE)
    assert bed.exchange("far", frame, at=["s"]) == {"s": [frame]}
