"""scapy's layers: frames as captured, what breaks a rule, and the fast codec beside them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from harness.vsi.facts import EcpFrame, LldpFrame
from harness.vsi.frames import read
from harness.vsi.layers import (
    ECP,
    LLDPEVB,
    ECPDraft,
    LLDPEVBDraft,
    LLDPFrame,
    UnknownTLV,
    VDPAssociation,
    VDPDraftAssociation,
    VDPEnd,
    VDPFilter,
    VDPManagerID,
)
from harness.vsi.numbers import COMMANDS, DRAFT_COMMANDS

FIXED = settings(derandomize=True, deadline=None, max_examples=150, database=None)
INSTANCE = "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"


def forget(packet):
    """Drop the octets that scapy remembers, so that building builds."""
    packet.raw_packet_cache = None
    for value in packet.fields.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Packet):
                forget(item)
    if packet.payload:
        forget(packet.payload)
    return packet


def test_captured_frames_rebuild(conversation):
    for _, _, octets in conversation[1]:
        assert bytes(forget(Ether(octets))) == octets


def test_captured_frames_are_all_known(conversation):
    for _, _, octets in conversation[1]:
        packet = Ether(octets)
        assert not packet.haslayer(Raw)
        body = packet.payload
        assert isinstance(body, ECP | ECPDraft | LLDPFrame)
        assert not any(type(tlv) is UnknownTLV for tlv in body.fields.get("tlvs") or [])


def test_ratified_association_by_name(conversation):
    dialect, frames = conversation
    packets = [Ether(octets) for _, way, octets in frames if way == "<"]
    layer = VDPAssociation if dialect == "ratified" else VDPDraftAssociation
    [first, *_] = [
        tlv for p in packets for tlv in p.payload.fields.get("tlvs") or [] if isinstance(tlv, layer)
    ]
    assert first.vsi_type_id == 1193047
    assert first.vsi_type_version == 2
    assert str(first.vsiid) == INSTANCE
    assert first.filter_info[0].mac_address == "52:54:00:aa:00:01"
    assert first.filter_info[0].vid == 0


def build(dialect, form, entries):
    info = [VDPFilter(**fields) for fields in entries]
    if dialect == "ratified":
        tlvs = [
            VDPManagerID(vsi_manager_id=b"\x0b" + bytes(15)),
            VDPAssociation(
                type=2, vsi_type_id=7, vsiid=INSTANCE, filter_info_format=form, filter_info=info
            ),
            VDPEnd(),
        ]
        return Ether(dst="01:80:c2:00:00:00", src="02:00:00:00:00:01") / ECP(sequence=3, tlvs=tlvs)
    tlvs = [
        VDPDraftAssociation(
            mode=1,
            vsi_manager_id=11,
            vsi_type_id=7,
            vsiid=INSTANCE,
            filter_info_format=form,
            filter_info=info,
        ),
        VDPEnd(),
    ]
    return Ether(dst="01:80:c2:00:00:0e", src="02:00:00:00:00:01") / ECPDraft(sequence=3, tlvs=tlvs)


ENTRIES = {
    1: [{"vid": 5}, {"ps": 1, "pcp": 7, "vid": 4094}],
    2: [{"mac_address": "52:54:00:00:00:01", "vid": 5}],
    3: [{"group_id": 9, "vid": 5}, {"group_id": 10, "vid": 6}],
    4: [{"group_id": 9, "mac_address": "52:54:00:00:00:01", "vid": 5}] * 3,
}


@pytest.mark.parametrize("form", ENTRIES)
@pytest.mark.parametrize("dialect", ["ratified", "draft"])
def test_filter_formats(dialect, form):
    """Built by scapy, dissected by scapy and by the fast codec: the same in every format."""
    octets = bytes(build(dialect, form, ENTRIES[form]))
    assert bytes(forget(Ether(octets))) == octets
    [association] = read(octets).associations
    assert association.problem == ""
    assert association.command == COMMANDS[2]
    assert association.filter_format == form
    got = Ether(octets).payload.tlvs[-2].filter_info
    for entry, found, given_ in zip(association.filters, got, ENTRIES[form], strict=True):
        assert entry.vid == found.vid == given_["vid"]
        assert entry.group == given_.get("group_id")
        assert entry.mac.hex(":") == given_.get("mac_address", "")
        assert entry.pcp == given_.get("pcp")


# ---------------------------------------------------------------------- what breaks a rule

HEADERS = [
    bytes.fromhex("0180c20000005254000000018940"),
    bytes.fromhex("0180c200000e52540000000188b7"),
    bytes.fromhex("0180c200000052540000000188cc"),
]
TLVS = st.lists(
    st.tuples(st.integers(0, 127), st.binary(max_size=40)).map(
        lambda kv: (kv[0] << 9 | len(kv[1])).to_bytes(2, "big") + kv[1]
    ),
    max_size=12,
).map(b"".join)
STARTS = [
    bytes.fromhex("10010001"),
    bytes.fromhex("001b3f000000000001"),
    bytes.fromhex("0207045e1d9362d37e0407035e1d9362d37e06020078"),
    b"",
]


def agrees(octets):
    """The layers rebuild the octets, and say what the fast codec says."""
    packet = Ether(octets)
    assert bytes(forget(packet)) == octets
    found = read(octets)
    if isinstance(found, EcpFrame) and not found.acknowledge:
        tlvs = packet.payload.fields.get("tlvs") or []
        whole = [t for t in tlvs if isinstance(t, VDPAssociation | VDPDraftAssociation)]
        good = [a for a in found.associations if not a.problem]
        if packet.haslayer(ECP):
            whole_commands = [COMMANDS[t.type] for t in whole]
        else:
            whole_commands = [DRAFT_COMMANDS[t.mode] for t in whole if t.mode in DRAFT_COMMANDS]
        assert len(good) <= len(whole_commands)
        if len(good) == len(whole_commands):
            assert [a.command for a in good] == whole_commands
    if isinstance(found, LldpFrame):
        tlvs = packet.payload.tlvs
        assert (found.evb is None) or any(isinstance(t, LLDPEVB | UnknownTLV) for t in tlvs)
        assert (found.draft is None) or any(isinstance(t, LLDPEVBDraft | UnknownTLV) for t in tlvs)


@FIXED
@given(st.sampled_from(HEADERS), st.sampled_from(STARTS), TLVS, st.binary(max_size=20))
def test_any_tlvs(header, start, tlvs, tail):
    agrees(header + start + tlvs + tail)


@FIXED
@given(st.sampled_from(HEADERS), st.binary(max_size=1500))
def test_any_octets(header, body):
    agrees(header + body)


@FIXED
@given(data=st.data())
def test_damaged_frames(data):
    """A captured frame, cut off and with some octets changed."""
    good = bytes(build(data.draw(st.sampled_from(["ratified", "draft"])), 4, ENTRIES[4]))
    octets = bytearray(good[: data.draw(st.integers(14, len(good)))])
    for at in data.draw(st.lists(st.integers(14, len(good) - 1), max_size=4)):
        if at < len(octets):
            octets[at] = data.draw(st.integers(0, 255))
    agrees(bytes(octets))


def test_hundreds_of_empty_tlvs():
    """No nesting: 700 TLVs are a list, and neither dissecting nor building exhausts the stack."""
    octets = HEADERS[0] + STARTS[0] + bytes.fromhex("fe00") * 740
    packet = Ether(octets)
    assert len(packet.payload.tlvs) == 740
    agrees(octets)


def test_what_breaks_a_rule_is_kept_as_it_is():
    octets = HEADERS[0] + STARTS[0] + bytes.fromhex("0603010203")
    [tlv] = Ether(octets).payload.tlvs
    assert type(tlv) is UnknownTLV
    assert (tlv.type, tlv.value) == (3, b"\1\2\3")
    cut = HEADERS[0] + STARTS[0] + bytes.fromhex("06ff01")
    [raw] = Ether(cut).payload.tlvs
    assert isinstance(raw, Raw)
