"""VDP TLVs as scapy layers (IEEE 802.1Q-2018, clause 41), and draft 0.2's."""

from __future__ import annotations

from typing import Any

from scapy.fields import (
    BitEnumField,
    BitField,
    ByteEnumField,
    ByteField,
    ConditionalField,
    Field,
    FieldLenField,
    FlagsField,
    IntField,
    MACField,
    PacketListField,
    ThreeBytesField,
    UUIDField,
    X3BytesField,
    XStrFixedLenField,
)
from scapy.packet import Packet

from harness.vsi.facts import FilterFormat, IdFormat
from harness.vsi.layers.tlv import TLV, tlv_chooser

__all__ = [
    "VDPAssociation",
    "VDPDraftAssociation",
    "VDPEnd",
    "VDPFilter",
    "VDPManagerID",
    "draft_tlv",
    "vdp_tlv",
]

_TYPES = {
    0: "End of VDPDU",
    1: "Pre-Associate",
    2: "Pre-Associate with Resource Reservation",
    3: "Associate",
    4: "De-Associate",
    5: "VSI Manager ID",
    127: "Organizationally defined",
}
_DRAFT_MODES = {number - 1: _TYPES[number] for number in (1, 2, 3, 4)}
_FILTERS = {
    FilterFormat.VID.value: "VID",
    FilterFormat.MAC_VID.value: "MAC/VID",
    FilterFormat.GROUP_VID.value: "GroupID/VID",
    FilterFormat.GROUP_MAC_VID.value: "GroupID/MAC/VID",
}
_SIZES = {1: 2, 2: 8, 3: 6, 4: 12}
_ID_FORMATS = {form.value: form.name for form in IdFormat}
_ASSOCIATION_SIZE, _DRAFT_SIZE = 25, 30
_DRAFT_PREFIX = bytes.fromhex("001b3f02")


def _format_of(entry: Packet) -> int:
    """The format that an entry has by its association; MAC/VID for one by itself."""
    return entry.parent.filter_info_format if entry.parent is not None else 2


class VDPFilter(Packet):
    """An entry of a filter info field (41.2.9): PS, PCP and VID; group and MAC by the format."""

    name = "VDP filter info"
    fields_desc = [  # noqa: RUF012  # scapy's
        ConditionalField(IntField("group_id", 0), lambda pkt: _format_of(pkt) in (3, 4)),
        ConditionalField(
            MACField("mac_address", "00:00:00:00:00:00"), lambda pkt: _format_of(pkt) in (2, 4)
        ),
        BitField("ps", 0, 1),
        BitField("pcp", 0, 3),
        BitField("vid", 0, 12),
    ]

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes | None]:
        """Scapy's hook: what follows is the next entry."""
        return b"", s


def _entries() -> list[Field[Any, Any]]:
    """Filter info: its format, the number of entries, the entries (41.2.8, 41.2.9)."""
    return [
        ByteEnumField("filter_info_format", 2, _FILTERS),
        FieldLenField("number_of_entries", None, count_of="filter_info", fmt="!H"),
        PacketListField(
            "filter_info",
            [],
            VDPFilter,
            count_from=lambda pkt: pkt.number_of_entries,
            max_count=256,
        ),
    ]


class VDPAssociation(TLV):
    """A VDP association TLV (41.2). In a request, hard and keep are the M-bit and the S-bit."""

    name = "VDP association"
    fields_desc = [  # noqa: RUF012  # scapy's
        BitEnumField("type", 3, 7, _TYPES),
        BitField("length", None, 9),
        FlagsField("status_flags", 0, 4, ["hard", "keep", "ack", "reserved"]),
        BitField("status_code", 0, 4),
        ThreeBytesField("vsi_type_id", 0),
        ByteField("vsi_type_version", 0),
        ByteEnumField("vsiid_format", 5, _ID_FORMATS),
        UUIDField("vsiid", 0),
        *_entries(),
    ]


class VDPManagerID(TLV):
    """The VSI manager ID TLV (41.1): libvirt's manager id is the first octet."""

    name = "VSI manager ID"
    fields_desc = [  # noqa: RUF012  # scapy's
        BitEnumField("type", 5, 7, _TYPES),
        BitField("length", None, 9),
        XStrFixedLenField("vsi_manager_id", bytes(16), 16),
    ]


class VDPEnd(TLV):
    """The end of the VDPDU."""

    name = "End of VDPDU"
    fields_desc = [  # noqa: RUF012  # scapy's
        BitEnumField("type", 0, 7, _TYPES),
        BitField("length", None, 9),
    ]


class VDPDraftAssociation(TLV):
    """Draft 0.2's VDP TLV (lldpad, include/qbg_vdp.h, tlv_info_vdp)."""

    name = "VDP association, draft 0.2"
    fields_desc = [  # noqa: RUF012  # scapy's
        BitField("type", 127, 7),
        BitField("length", None, 9),
        X3BytesField("oui", 0x001B3F),
        ByteField("subtype", 2),
        ByteEnumField("mode", 2, _DRAFT_MODES),
        ByteField("response", 0),
        ByteField("vsi_manager_id", 0),
        ThreeBytesField("vsi_type_id", 0),
        ByteField("vsi_type_version", 0),
        UUIDField("vsiid", 0),
        *_entries(),
    ]


def _whole(value: bytes, fixed: int) -> bool:
    """Whether the filter info is as long as it says."""
    if len(value) < fixed or value[fixed - 3] not in _SIZES:
        return False
    count = int.from_bytes(value[fixed - 2 : fixed], "big")
    return len(value) == fixed + count * _SIZES[value[fixed - 3]]


def _choose(kind: int, value: bytes) -> type[Packet] | None:
    if kind == 0 and not value:
        return VDPEnd
    if kind == 5 and len(value) == 16:
        return VDPManagerID
    if 1 <= kind <= 4 and _whole(value, _ASSOCIATION_SIZE):
        return VDPAssociation
    return None


def _choose_draft(kind: int, value: bytes) -> type[Packet] | None:
    if kind == 0 and not value:
        return VDPEnd
    if kind == 127 and value.startswith(_DRAFT_PREFIX) and _whole(value, _DRAFT_SIZE):
        return VDPDraftAssociation
    return None


vdp_tlv = tlv_chooser(_choose)
draft_tlv = tlv_chooser(_choose_draft)
