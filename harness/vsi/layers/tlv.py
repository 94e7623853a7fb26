"""TLVs of 7 bits of type and 9 of length, which LLDP and VDP have in common (IEEE 802.1AB, 8.4).

They are a list in their PDU, and not each other's payload: hundreds of empty ones nested in each
other would exhaust Python's stack.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scapy.fields import BitField, StrLenField
from scapy.packet import Packet, Padding, Raw

__all__ = ["MOST_TLVS", "PDU", "TLV", "UnknownTLV", "tlv_chooser"]

MOST_TLVS = 5000
"""More than a jumbo frame holds; scapy leaves a list of more than a hundred undissected."""

Chooser = Callable[[int, bytes], type[Packet] | None]


class TLV(Packet):
    """What every TLV begins with; the length is filled in where it is left out."""

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Scapy's hook after the fields are octets."""
        if self.length is None:
            length = len(pkt) - 2
            pkt = bytes([pkt[0] & 0xFE | length >> 8 & 1, length & 0xFF]) + pkt[2:]
        return pkt + pay

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes | None]:
        """Scapy's hook: what follows is the next TLV's."""
        return b"", s


class UnknownTLV(TLV):
    """A TLV of any other type, or one whose octets break the rules of its type."""

    name = "TLV"
    fields_desc = [  # noqa: RUF012  # scapy's
        BitField("type", 0, 7),
        BitField("length", None, 9),
        StrLenField("value", b"", length_from=lambda pkt: pkt.length or 0),
    ]


def tlv_chooser(choose: Chooser) -> Callable[..., type[Packet] | None]:
    """Scapy's `next_cls_cb` out of: which class a type and a value are, None for any other."""

    def next_tlv(_pdu: Any, found: list[Packet], _last: Any, rest: bytes) -> type[Packet] | None:
        if found and (isinstance(found[-1], Raw) or found[-1].type == 0):
            return None  # nothing but padding follows the end
        if len(rest) < 2:
            return Raw if rest else None
        kind, length = rest[0] >> 1, (rest[0] & 1) << 8 | rest[1]
        if len(rest) < 2 + length:
            return Raw
        return choose(kind, rest[2 : 2 + length]) or UnknownTLV

    return next_tlv


class PDU(Packet):
    """A list of TLVs, and the padding of the frame."""

    def guess_payload_class(self, payload: bytes) -> type[Packet]:
        """Scapy's hook: what follows the last TLV only makes the frame long enough."""
        return Padding
