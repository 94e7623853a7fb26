"""What a stack leaves to the card, done here: checksums, and large frames cut up.

A packet socket gets a frame as the stack has made it: a TCP segment of 64 KiB whose checksum is
open, with a virtio-net header that says how to cut it. On another link it must be what a wire
would have carried (tcp_gso_segment, __udp_gso_segment).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from harness.kernel.gso import finished, ones_sum
from harness.kernel.vnet import GSO_ECN, Gso, VnetHeader

__all__ = ["on_the_wire"]

_SHORT = struct.Struct("!H")
_LONG = struct.Struct("!I")
_TAGS = (b"\x81\x00", b"\x88\xa8")
_TCP, _UDP = 6, 17
_FIN_PUSH, _CWR = 0x09, 0x80


def on_the_wire(header: VnetHeader, frame: bytes) -> list[bytes]:
    """The frames that `frame` stands for, in order.

    None where it makes no sense, or is of a kind that is not cut up here (UDP fragments, which
    Linux has not made since 4.14).
    """
    if header.gso_type == Gso.NONE:
        return [finished(frame, header)]
    kind = header.gso_type & ~GSO_ECN
    at = header.csum_start
    network = _network_at(frame)
    tcp = kind in (Gso.TCPV4, Gso.TCPV6)
    whole = network + 20 <= at <= len(frame) - (20 if tcp else 8)
    if not whole or not header.gso_size or not (tcp or kind == Gso.UDP_L4):
        return []
    return list(_cut(frame, network, at, header.gso_size, tcp=tcp))


def _network_at(frame: bytes) -> int:
    at = 12
    while frame[at : at + 2] in _TAGS:
        at += 4
    return at + 2


def _cut(frame: bytes, network: int, at: int, size: int, *, tcp: bool) -> Iterator[bytes]:
    start = at + (frame[at + 12] >> 4) * 4 if tcp else at + 8
    payload = frame[start:]
    ipv4 = frame[network] >> 4 == 4
    for number, offset in enumerate(range(0, len(payload), size)):
        piece = bytearray(frame[:start] + payload[offset : offset + size])
        if ipv4:
            _SHORT.pack_into(piece, network + 2, len(piece) - network)
            ident = (_SHORT.unpack_from(piece, network + 4)[0] + number) & 0xFFFF
            _SHORT.pack_into(piece, network + 4, ident)
            _SHORT.pack_into(piece, network + 10, 0)
            ip_sum = ~ones_sum(piece[network : network + (piece[network] & 0xF) * 4]) & 0xFFFF
            _SHORT.pack_into(piece, network + 10, ip_sum)
        else:
            _SHORT.pack_into(piece, network + 4, len(piece) - network - 40)
        if tcp:
            sequence = (_LONG.unpack_from(piece, at + 4)[0] + offset) & 0xFFFFFFFF
            _LONG.pack_into(piece, at + 4, sequence)
            if offset + size < len(payload):
                piece[at + 13] &= ~_FIN_PUSH & 0xFF
            if number:
                piece[at + 13] &= ~_CWR & 0xFF
        else:
            _SHORT.pack_into(piece, at + 4, len(piece) - at)
        _SHORT.pack_into(piece, at + (16 if tcp else 6), 0)
        addresses = (
            piece[network + 12 : network + 20] if ipv4 else piece[network + 8 : network + 40]
        )
        pseudo = addresses + struct.pack("!II", len(piece) - at, _TCP if tcp else _UDP)
        found = ~ones_sum(pseudo + piece[at:]) & 0xFFFF
        _SHORT.pack_into(piece, at + (16 if tcp else 6), found or (0 if tcp else 0xFFFF))
        yield bytes(piece)
