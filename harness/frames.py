"""Frames (layer 2) as values, and the payload by which ours are known again.

A stimulus carries a MAGIC, a kind and an ident; every copy of it, wherever it turns up, is
attributed by those twelve bytes, so chatter cannot be taken for a result.

    Ethernet [tag] | 0x88b5 | MAGIC kind ident padding            layer 2 stimuli, sentinels
    Ethernet       | 0x0800 | IPv4 UDP | MAGIC kind ident …       stimuli for the router
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

__all__ = [
    "ETHERTYPE_EXPERIMENTAL",
    "ETHERTYPE_IPV4",
    "IDENT_AT",
    "MAGIC",
    "Frame",
    "Kind",
    "Tag",
    "ident_offset",
    "ipv4_destination",
    "ipv4_forwarded",
    "ipv4_payload",
    "ipv4_ttl",
    "payload",
]

ETHERTYPE_EXPERIMENTAL = 0x88B5  # IEEE 802, local experimental 1
ETHERTYPE_IPV4 = 0x0800
MAGIC = b"hpin"
IDENT_AT = 8
"""Offset of the ident in the payload: 4 bytes, little-endian."""
_PAYLOAD = struct.Struct("<4sBxxxI")
_MIN_PAYLOAD = 46  # IEEE 802.3, 4A.4.2: minFrameSize without header and FCS
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_UDP_DISCARD = 9
_TAG = struct.Struct("!HH")
_ETHERTYPE = struct.Struct("!H")


@lru_cache(maxsize=16384)
def _addresses(dst: str, src: str) -> bytes:
    return bytes.fromhex((dst + src).replace(":", ""))


class Kind(IntEnum):
    """What a frame of ours is for."""

    STIMULUS = 1
    SENTINEL_TAP = 2  # ends the reading of the guests' endpoints
    SENTINEL_NET = 3  # ends the reading of everybody else's
    PRIME = 4


@dataclass(frozen=True)
class Tag:
    """A VLAN tag: id 1–4094, and its ethertype (0x8100: 802.1Q, 0x88a8: 802.1ad)."""

    vid: int
    tpid: int = 0x8100


@dataclass(frozen=True)
class Frame:
    """An Ethernet frame without FCS; `tags` outermost first, `payload` after the ethertype."""

    dst: str
    src: str
    ethertype: int = ETHERTYPE_EXPERIMENTAL
    payload: bytes = b""
    tags: tuple[Tag, ...] = ()

    def to_bytes(self) -> bytes:
        """The frame as it is on the wire."""
        # Kept by hand: functools.cached_property takes a lock before Python 3.12.
        known: bytes | None = self.__dict__.get("_bytes")
        if known is None:
            tags = b"".join([_TAG.pack(tag.tpid, tag.vid) for tag in self.tags])
            ethertype = _ETHERTYPE.pack(self.ethertype)
            known = _addresses(self.dst, self.src) + tags + ethertype + self.payload
            self.__dict__["_bytes"] = known
        return known

    def tagged(self, tag: Tag) -> Frame:
        """With `tag` as the new outermost one."""
        return Frame(self.dst, self.src, self.ethertype, self.payload, (tag, *self.tags))

    def untagged(self) -> Frame:
        """Without the outermost tag."""
        if not self.tags:
            return self
        return Frame(self.dst, self.src, self.ethertype, self.payload, self.tags[1:])


@lru_cache(maxsize=64)
def payload(kind: Kind, ident: int = 0) -> bytes:
    """The payload of one of our frames, padded to the shortest that Ethernet allows."""
    return _PAYLOAD.pack(MAGIC, kind, ident).ljust(_MIN_PAYLOAD, b"\0")


def ident_offset(frame: Frame) -> int:
    """Where in the bytes of `frame` its 32-bit ident lies."""
    start = 14 + 4 * len(frame.tags)
    if frame.ethertype == ETHERTYPE_IPV4:
        start += _IPV4.size + _UDP.size
    return start + IDENT_AT


def _ipv4_header(length: int, ttl: int, src: bytes, dst: bytes) -> bytes:
    """IPv4 header without options for a UDP datagram (RFC 791, 3.1)."""
    blank = _IPV4.pack(0x45, 0, length, 0, 0x4000, ttl, 17, 0, src, dst)
    total = sum(struct.unpack("!10H", blank))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return _IPV4.pack(0x45, 0, length, 0, 0x4000, ttl, 17, ~total & 0xFFFF, src, dst)


def _address(ip: str) -> bytes:
    return bytes(map(int, ip.split(".")))


def ipv4_payload(inner: bytes, *, src: str, dst: str) -> bytes:
    """`inner` in UDP (no checksum, so that the ident may change) in IPv4, TTL 64."""
    udp = _UDP.pack(_UDP_DISCARD, _UDP_DISCARD, _UDP.size + len(inner), 0) + inner
    return _ipv4_header(_IPV4.size + len(udp), 64, _address(src), _address(dst)) + udp


def ipv4_forwarded(packet: bytes) -> bytes:
    """`packet` as a router sends it on: TTL one less, checksum to match (RFC 1812, 5.3.1)."""
    fields = _IPV4.unpack_from(packet)
    return _ipv4_header(fields[2], fields[5] - 1, fields[8], fields[9]) + packet[_IPV4.size :]


def ipv4_ttl(packet: bytes) -> int:
    """Time to live of `packet`, in hops."""
    return packet[8]


def ipv4_destination(packet: bytes) -> str:
    """Destination address of `packet`, dotted."""
    return ".".join(map(str, packet[16:20]))
