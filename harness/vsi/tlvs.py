"""TLVs as LLDP, ECP and VDP have them: seven bits of type, nine of length (IEEE 802.1AB, 8.4)."""

from __future__ import annotations

import struct

__all__ = ["END", "ORGANIZATIONAL", "tlv", "tlvs_of"]

END, ORGANIZATIONAL = 0, 127
_MOST = 511  # octets of a value
_HEAD = struct.Struct("!H")


def tlvs_of(frame: bytes, at: int) -> tuple[list[tuple[int, int, int]], list[str]]:
    """Type, place and length of each value from `at` on, up to the end TLV; and what is wrong.

    A TLV that is longer than what is left ends the list. Never raises.
    """
    found: list[tuple[int, int, int]] = []
    end = len(frame)
    while at + 2 <= end:
        word = frame[at] << 8 | frame[at + 1]
        kind, length = word >> 9, word & _MOST
        at += 2
        if kind == END:
            break
        if at + length > end:
            return found, [f"TLV {kind} of {length} octets where {end - at} are left"]
        found.append((kind, at, length))
        at += length
    return found, []


def tlv(kind: int, value: bytes) -> bytes:
    """The octets of one TLV. Raises ValueError for a value that is too long."""
    if len(value) > _MOST:
        raise ValueError(f"a TLV has at most {_MOST} octets, not {len(value)}")
    return _HEAD.pack(kind << 9 | len(value)) + value
