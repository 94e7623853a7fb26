"""ECP as scapy layers (IEEE 802.1Q-2018, clause 43), and draft 0.2's."""

from __future__ import annotations

from scapy.fields import (
    BitEnumField,
    BitField,
    ByteEnumField,
    ByteField,
    ConditionalField,
    PacketListField,
    ShortField,
    X3BytesField,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Padding, Raw, bind_layers

from harness.vsi.layers.tlv import MOST_TLVS, PDU
from harness.vsi.layers.vdp import draft_tlv, vdp_tlv
from harness.vsi.numbers import ETHERTYPE_ECP, ETHERTYPE_ECP_DRAFT, VDP_SUBTYPE

__all__ = ["ECP", "ECPDraft"]

_OPERATIONS = {0: "request", 1: "acknowledge"}


class ECP(PDU):
    """An ECPDU (43.3); a request of subtype VDP has the TLVs of a VDPDU."""

    name = "ECP"
    fields_desc = [  # noqa: RUF012  # scapy's
        BitField("version", 1, 4),
        BitEnumField("operation", 0, 2, _OPERATIONS),
        BitEnumField("subtype", VDP_SUBTYPE, 10, {VDP_SUBTYPE: "VDP", 2: "PE CSP"}),
        ShortField("sequence", 0),
        ConditionalField(
            PacketListField("tlvs", [], next_cls_cb=vdp_tlv, max_count=MOST_TLVS),
            lambda pkt: pkt.operation == 0 and pkt.subtype == VDP_SUBTYPE,
        ),
    ]

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """Scapy's hook: a PDU of something else than VDP stays as it is."""
        return Raw if self.operation == 0 and self.subtype != VDP_SUBTYPE else Padding


class ECPDraft(PDU):
    """Draft 0.2's ECPDU (lldpad, include/qbg_ecp.h, ecp_hdr)."""

    name = "ECP, draft 0.2"
    fields_desc = [  # noqa: RUF012  # scapy's
        X3BytesField("oui", 0x001B3F),
        ByteField("reserved", 0),
        ShortField("subtype", 0),
        ByteEnumField("mode", 0, _OPERATIONS),
        ShortField("sequence", 0),
        ConditionalField(
            PacketListField("tlvs", [], next_cls_cb=draft_tlv, max_count=MOST_TLVS),
            lambda pkt: pkt.mode == 0,
        ),
    ]


bind_layers(Ether, ECP, type=ETHERTYPE_ECP)
bind_layers(Ether, ECPDraft, type=ETHERTYPE_ECP_DRAFT)
