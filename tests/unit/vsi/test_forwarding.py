"""Who gets a frame, without any I/O.

a1 (VLAN 100), a2 (VLAN 100), z (VLAN 0) -- p --.
b  (VLAN 100), y (VLAN 0)                -- q --+-- Forwarder -- up
t  (VLAN 200, tagged by itself)          -- q --'
"""

import pytest

from harness.vsi.bridge import Bridge
from harness.vsi.facts import Command, FilterFormat
from harness.vsi.faults import Fault, FaultKind, Faults
from harness.vsi.instances import Instances
from harness.vsi.live.forwarding import Forwarder
from harness.vsi.types import VsiType, VsiTypes

TYPES = VsiTypes(
    [
        VsiType(11, 7, vlan=100),
        VsiType(11, 8),
        VsiType(11, 9, vlan=100, reflective_relay=False),
    ]
)
A1, A2, B, Z, Y, T = range(1, 7)
PLACES = {  # number: port, type, VID of its filter
    A1: ("p", 7, 0),
    A2: ("p", 7, 0),
    Z: ("p", 8, 0),
    B: ("q", 7, 0),
    Y: ("q", 8, 0),
    T: ("q", 8, 200),
}
BROADCAST = b"\xff" * 6
GROUP = bytes.fromhex("01005e000001")
PAYLOAD = b"\x08\x00" + bytes(46)
NOBODY = "dropped: nobody has the destination"
UNASSOCIATED = "dropped: its source is not associated"


def mac(number):
    return bytes.fromhex("5254") + number.to_bytes(4, "big")


def tag(vid, pcp=0):
    return b"\x81\x00" + (pcp << 13 | vid).to_bytes(2, "big")


def frame(src, dst, before=b""):
    """From a VSI by its number, or an address, to either."""
    src, dst = (mac(one) if isinstance(one, int) else one for one in (src, dst))
    return dst + src + before + PAYLOAD


@pytest.fixture
def bed(station):
    """`bed(relay=…)`: the drawing above, `relay` tells the ports with reflective relay."""

    class Bed:
        def __init__(self, relay="pq", uplink="up", faults=None):
            instances = Instances()
            self.stations = {
                port: station.on(
                    Bridge(port, types=TYPES, instances=instances, faults=faults), address=address
                )
                for port, address in (("p", "020000000001"), ("q", "020000000002"))
            }
            for port, one in self.stations.items():
                one.announce(relay=port in relay)
            for number, (port, kind, vid) in PLACES.items():
                self.ask(port, number, kind=kind, vid=vid)
            bridges = {port: one.bridge for port, one in self.stations.items()}
            self.forwarder = Forwarder(bridges, uplink)

        def ask(self, port, number, command=Command.ASSOCIATE, **fields):
            self.stations[port].ask(command, number, **fields)
            for one in self.stations.values():
                one.wait(0.0)

        def sent(self, port, octets):
            """Where it goes, in which shape, and its fate."""
            found = self.forwarder.forward(port, octets)
            return dict(found.sent), found.fate

    return Bed


@pytest.mark.parametrize(
    ("src", "dst", "goes", "fate"),
    [
        pytest.param(A1, B, {"q"}, "forwarded", id="other-port"),
        pytest.param(A1, A2, {"p"}, "reflected", id="same-port"),
        pytest.param(Z, Y, {"q"}, "forwarded", id="vlan-0"),
        pytest.param(A1, Z, {"up"}, "forwarded", id="vlan-100-to-0-is-not-here"),
        pytest.param(Z, B, {"up"}, "forwarded", id="vlan-0-to-100-is-not-here"),
        pytest.param(A1, 99, {"up"}, "forwarded", id="unknown-is-outside"),
        pytest.param(99, B, set(), UNASSOCIATED, id="unassociated"),
        pytest.param(A1, BROADCAST, {"p", "q", "up"}, "reflected", id="broadcast"),
        pytest.param(A1, GROUP, {"p", "q", "up"}, "reflected", id="multicast"),
        pytest.param(GROUP, B, set(), "dropped: its source is a group address", id="from-group"),
    ],
)
def test_from_a_port(bed, src, dst, goes, fate):
    sent, got = bed().sent("p", frame(src, dst))
    assert (set(sent), got) == (goes, fate)


@pytest.mark.parametrize(
    ("dst", "goes", "fate"),
    [
        pytest.param(
            A2,
            set(),
            "dropped: it would go back, and reflective relay is off for it",
            id="unicast",
        ),
        pytest.param(BROADCAST, {"q", "up"}, "forwarded", id="broadcast"),
        pytest.param(B, {"q"}, "forwarded", id="elsewhere"),
    ],
)
def test_without_reflective_relay_nothing_goes_back(bed, dst, goes, fate):
    sent, got = bed(relay="q").sent("p", frame(A1, dst))
    assert (set(sent), got) == (goes, fate)


def test_a_type_that_is_not_reflected(bed):
    bed = bed()
    bed.ask("p", A1, kind=9)
    assert bed.sent("p", frame(A1, A2))[1].startswith("dropped: it would go back")
    assert bed.sent("p", frame(A2, A1))[1] == "reflected"


@pytest.mark.parametrize(
    ("dst", "vid", "goes"),
    [
        pytest.param(A1, 100, {"p"}, id="vlan-100"),
        pytest.param(A1, 0, set(), id="vlan-100-untagged"),
        pytest.param(Z, 0, {"p"}, id="vlan-0"),
        pytest.param(Z, 100, set(), id="vlan-0-tagged"),
        pytest.param(T, 200, {"q"}, id="tagged-by-itself"),
        pytest.param(99, 0, set(), id="unknown"),
        pytest.param(BROADCAST, 100, {"p", "q"}, id="broadcast-100"),
        pytest.param(BROADCAST, 200, {"q"}, id="broadcast-200"),
        pytest.param(BROADCAST, 300, set(), id="broadcast-300"),
    ],
)
def test_from_the_uplink(bed, dst, vid, goes):
    """Only to who is associated in that VLAN, and never back."""
    sent, fate = bed().sent("up", frame(b"\2" * 6, dst, tag(vid) if vid else b""))
    assert (set(sent), fate) == (goes, "forwarded" if goes else NOBODY)


@pytest.mark.parametrize(
    ("port", "given", "at", "shape"),
    [
        pytest.param("p", frame(A1, 99), "up", frame(A1, 99, tag(100)), id="trunk-tags"),
        pytest.param("p", frame(Z, 99), "up", frame(Z, 99), id="trunk-vlan-0"),
        pytest.param("q", frame(T, 99, tag(200)), "up", frame(T, 99, tag(200)), id="trunk-same"),
        pytest.param("p", frame(A1, B), "q", frame(A1, B), id="untagged"),
        pytest.param("up", frame(99, A1, tag(100, 5)), "p", frame(99, A1), id="tag-taken-off"),
        pytest.param("up", frame(99, T, tag(200, 5)), "q", frame(99, T, tag(200, 5)), id="kept"),
        pytest.param("p", frame(A1, 99, tag(0, 6)), "up", frame(A1, 99, tag(100, 6)), id="pcp"),
        pytest.param("p", frame(Z, 99, tag(0, 6)), "up", frame(Z, 99), id="priority-tag"),
    ],
)
def test_tags(bed, port, given, at, shape):
    assert bed().sent(port, given)[0][at] == shape


@pytest.mark.parametrize(
    ("octets", "fate"),
    [
        pytest.param(b"", "shorter than a header", id="empty"),
        pytest.param(bytes(13), "shorter than a header", id="13"),
        pytest.param(mac(B) + mac(A1) + b"\x81\x00\x00", "shorter than a header", id="half-tag"),
        pytest.param(frame(A1, B, tag(4095)), "VID 4095 is reserved", id="4095"),
        *(
            pytest.param(
                frame(A1, bytes.fromhex(f"0180c20000{last:02x}")),
                "for the nearest bridge only (01-80-C2-00-00-0x)",
                id=f"group-{last:02x}",
            )
            for last in (0x00, 0x02, 0x0E, 0x0F)
        ),
        pytest.param(frame(A1, B, tag(100)), "its source is not associated", id="not-its-tag"),
    ],
)
def test_dropped(bed, octets, fate):
    assert bed().sent("p", octets) == ({}, f"dropped: {fate}")


def test_gmrp_is_no_link_local_group(bed):
    """01-80-C2-00-00-20 and up are for applications, which bridges pass on."""
    assert bed().sent("p", frame(A1, bytes.fromhex("0180c2000020")))[1] == "reflected"


def test_without_uplink_the_unknown_goes_nowhere(bed):
    assert bed(uplink=None).sent("p", frame(A1, 99)) == ({}, NOBODY)


def test_de_associated(bed):
    """Neither from it nor to it."""
    bed = bed(uplink=None)
    bed.ask("q", B, Command.DE_ASSOCIATE)
    assert bed.sent("p", frame(A1, B)) == ({}, NOBODY)
    assert bed.sent("q", frame(B, A1)) == ({}, UNASSOCIATED)


def test_pre_associated_is_not_associated(bed):
    bed = bed(uplink=None)
    bed.ask("q", B, Command.PRE_ASSOCIATE_RR)
    assert bed.sent("p", frame(A1, B)) == ({}, NOBODY)


def test_a_vsi_moves_to_the_other_port(bed):
    """A guest migrates: its frames go to where it is now, with the same addresses."""
    bed = bed()
    assert set(bed.sent("up", frame(99, A1, tag(100)))[0]) == {"p"}
    bed.ask("q", A1, kind=7)
    assert set(bed.sent("up", frame(99, A1, tag(100)))[0]) == {"q"}
    assert bed.sent("p", frame(A1, B)) == ({}, UNASSOCIATED)


def test_other_filters_while_associated(bed):
    """It changes its address: the old one is nobody's."""
    bed = bed(uplink=None)
    bed.ask("q", B, kind=7, mac=mac(77))
    assert bed.sent("p", frame(A1, B)) == ({}, NOBODY)
    assert set(bed.sent("p", frame(A1, 77))[0]) == {"q"}


def test_a_vid_without_address_stands_for_all(bed):
    """Filter format VID: what nobody else has goes there."""
    bed = bed(uplink=None)
    bed.ask("q", 50, kind=8, vid=200, mac=b"", form=FilterFormat.VID)
    assert bed.sent("q", frame(99, T, tag(200)))[1] == "reflected"
    assert bed.sent("q", frame(T, 98, tag(200)))[1] == "reflected"
    assert bed.sent("p", frame(Z, 98)) == ({}, NOBODY)


def test_both_shapes_where_both_are_in_use(bed):
    """VLAN 100 is untagged for one VSI of the port and tagged for another."""
    bed = bed(uplink=None)
    bed.ask("q", 60, kind=8, vid=100)
    found = bed.forwarder.forward("p", frame(A1, BROADCAST)).sent
    assert [octets for name, octets in found if name == "q"] == [
        frame(A1, BROADCAST),
        frame(A1, BROADCAST, tag(100)),
    ]


def test_a_vid_that_the_bridge_has_rewritten(bed):
    """What is granted counts, not what was asked for."""
    bed = bed(
        faults=Faults([Fault(FaultKind.REWRITE_VID, vid=300, instance=B.to_bytes(16, "big"))])
    )
    assert bed.sent("q", frame(B, A1)) == ({}, UNASSOCIATED)
    assert set(bed.sent("q", frame(B, 99, tag(300)))[0]) == {"up"}


def test_another_bridge_knows_nothing(bed):
    bed = bed()
    bed.forwarder.set_bridge("q", Bridge("q"))
    assert set(bed.sent("p", frame(A1, B))[0]) == {"up"}
