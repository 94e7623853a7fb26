"""LLDP with the EVB TLV as scapy layers (IEEE 802.1AB, 8; IEEE 802.1Q, Annex D.2), and draft 0.2's.

scapy.contrib.lldp is not built upon: it raises out of dissecting and building what breaks a rule,
keeps what it saw of one frame in class attributes, and nests TLVs in each other.
"""

from __future__ import annotations

from scapy.fields import (
    BitEnumField,
    BitField,
    ByteField,
    FlagsField,
    PacketListField,
    ShortField,
    StrLenField,
    X3BytesField,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, bind_layers

from harness.vsi.layers.tlv import MOST_TLVS, PDU, TLV, tlv_chooser
from harness.vsi.numbers import ETHERTYPE_LLDP

__all__ = [
    "LLDPEVB",
    "LLDPChassisID",
    "LLDPEVBDraft",
    "LLDPEnd",
    "LLDPFrame",
    "LLDPPortID",
    "LLDPTimeToLive",
]

_TYPES = {0: "End", 1: "Chassis ID", 2: "Port ID", 3: "Time To Live", 127: "Organizational"}
_MODES = {0: "not supported", 1: "EVB Bridge", 2: "EVB station"}
_DRAFT_MODES = ["", "", "", "", "", "", "reflective_relay", "standard"]
_DRAFT_PROTOCOLS = ["VDP", "ECP", "RTE", "", "", "", "", ""]


class LLDPChassisID(TLV):
    """Chassis ID TLV (802.1AB, 8.5.2)."""

    name = "LLDP chassis ID"
    fields_desc = [  # noqa: RUF012  # scapy's
        BitEnumField("type", 1, 7, _TYPES),
        BitField("length", None, 9),
        ByteField("subtype", 4),
        StrLenField("id", bytes(6), length_from=lambda pkt: pkt.length - 1),
    ]


class LLDPPortID(TLV):
    """Port ID TLV (802.1AB, 8.5.3)."""

    name = "LLDP port ID"
    fields_desc = [  # noqa: RUF012  # scapy's
        BitEnumField("type", 2, 7, _TYPES),
        BitField("length", None, 9),
        ByteField("subtype", 3),
        StrLenField("id", bytes(6), length_from=lambda pkt: pkt.length - 1),
    ]


class LLDPTimeToLive(TLV):
    """Time To Live TLV (802.1AB, 8.5.4), in seconds."""

    name = "LLDP time to live"
    fields_desc = [  # noqa: RUF012  # scapy's
        BitEnumField("type", 3, 7, _TYPES),
        BitField("length", None, 9),
        ShortField("seconds", 120),
    ]


class LLDPEnd(TLV):
    """End Of LLDPDU TLV (802.1AB, 8.5.1)."""

    name = "LLDP end"
    fields_desc = [  # noqa: RUF012  # scapy's
        BitEnumField("type", 0, 7, _TYPES),
        BitField("length", None, 9),
    ]


class LLDPEVB(TLV):
    """EVB TLV (802.1Q, Annex D.2). Exponents (rte, rwd, rka) are of tens of microseconds."""

    name = "EVB"
    fields_desc = [  # noqa: RUF012  # scapy's
        BitEnumField("type", 127, 7, _TYPES),
        BitField("length", None, 9),
        X3BytesField("oui", 0x0080C2),
        ByteField("subtype", 13),
        FlagsField("evb_bridge_status", 0, 8, ["RRCTR", "RRCAP", "BGID", "", "", "", "", ""]),
        BitField("evb_station_reserved", 0, 4),
        FlagsField("evb_station_status", 0, 2, ["RREQ", "SGID"]),
        BitField("rrstat", 0, 2),
        BitField("r", 3, 3),
        BitField("rte", 14, 5),
        BitEnumField("evb_mode", 1, 2, _MODES),
        BitField("rol_rwd", 0, 1),
        BitField("rwd", 20, 5),
        BitField("rka_reserved", 0, 2),
        BitField("rol_rka", 0, 1),
        BitField("rka", 20, 5),
    ]


class LLDPEVBDraft(TLV):
    """Draft 0.2's EVB TLV (lldpad, include/lldp_evb.h): s… is supported, c… configured."""

    name = "EVB, draft 0.2"
    fields_desc = [  # noqa: RUF012  # scapy's
        BitEnumField("type", 127, 7, _TYPES),
        BitField("length", None, 9),
        X3BytesField("oui", 0x001B3F),
        ByteField("subtype", 0),
        FlagsField("smode", 0xC0, 8, _DRAFT_MODES),
        FlagsField("scap", 7, 8, _DRAFT_PROTOCOLS),
        FlagsField("cmode", 0x80, 8, _DRAFT_MODES),
        FlagsField("ccap", 7, 8, _DRAFT_PROTOCOLS),
        ShortField("svsi", 0),
        ShortField("cvsi", 0),
        ByteField("rte", 15),
    ]


def _choose(kind: int, value: bytes) -> type[Packet] | None:
    if kind == 0 and not value:
        return LLDPEnd
    if kind in (1, 2) and value:
        return LLDPChassisID if kind == 1 else LLDPPortID
    if kind == 3 and len(value) == 2:
        return LLDPTimeToLive
    if kind == 127 and value.startswith(b"\0\x80\xc2\x0d") and len(value) == 9:
        return LLDPEVB
    if kind == 127 and value.startswith(b"\0\x1b\x3f\0") and len(value) == 13:
        return LLDPEVBDraft
    return None


class LLDPFrame(PDU):
    """An LLDPDU: chassis ID, port ID, time to live, any others, end."""

    name = "LLDP"
    fields_desc = [  # noqa: RUF012  # scapy's
        PacketListField("tlvs", [], next_cls_cb=tlv_chooser(_choose), max_count=MOST_TLVS),
    ]


bind_layers(Ether, LLDPFrame, type=ETHERTYPE_LLDP)
