"""Large frames, and to the byte what is left of each when the kernel cuts it up.

A guest hands its tap one large frame and a virtio-net header that says how to cut it. Whoever
cannot take it gets segments, whose headers and checksums the kernel makes
(inet_gso_segment, tcp_gso_segment, __udp_gso_segment, udp6_ufo_fragment). Here they are made
by hand, so that what arrives can be compared byte by byte.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache, cached_property

from harness.frames import Tag
from harness.kernel.vnet import DATA_VALID, GSO_ECN, NEEDS_CSUM, Gso, VnetHeader

__all__ = ["Arrival", "LargeFrame", "arrival", "differences", "finished", "ones_sum"]

_IPV4_SOURCE, _IPV4_TARGET = (ipaddress.ip_address(f"10.0.0.{n}").packed for n in (1, 2))
_IPV6_SOURCE, _IPV6_TARGET = (ipaddress.ip_address(f"fd00::{n}").packed for n in (1, 2))
_IDENT = 0x1234
_DONT_FRAGMENT, _MORE_FRAGMENTS = 0x4000, 0x2000
_FIN, _PUSH, _ACK, _ECE, _CWR = 0x01, 0x08, 0x10, 0x40, 0x80
_SEQUENCE = 0xFFFFFC00  # wraps within the frame
_PORTS = (40000, 9)
_FRAGMENT = 44  # IPv6 next header


class _Protocol(IntEnum):
    TCP = 6
    UDP = 17


Arrival = tuple[VnetHeader, bytes]
"""A frame with its checksum finished, and the header it came with (hdr_len, a hint, set to 0)."""


def ones_sum(data: bytes | bytearray) -> int:
    """One's complement sum of 16-bit words (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@dataclass(frozen=True)
class LargeFrame:
    """One frame to be cut into segments of `segment` bytes payload, checksum left to others.

    `gso` Gso.NONE is a frame of ordinary size whose checksum alone is left open; `tcp` is then
    what it carries, and follows from `gso` otherwise.
    """

    dst: str
    src: str
    gso: Gso = Gso.NONE
    ipv6: bool = False
    tcp: bool = False
    ecn: bool = False
    tag: Tag | None = None
    length: int = 3500
    segment: int = 1000

    @property
    def _protocol(self) -> _Protocol:
        tcp = self.tcp or self.gso in (Gso.TCPV4, Gso.TCPV6)
        return _Protocol.TCP if tcp else _Protocol.UDP

    @property
    def _at(self) -> int:
        """Offset of the TCP or UDP header."""
        return 14 + 4 * bool(self.tag) + (40 if self.ipv6 else 20)

    @property
    def _csum_offset(self) -> int:
        return 16 if self._protocol is _Protocol.TCP else 6

    @cached_property
    def payload(self) -> bytes:
        """What the segments put together must give: no two of them alike."""
        blocks = (_block(i * 13 & 0xFF) for i in range(self.length // 256 + 1))
        return b"".join(blocks)[: self.length]

    @property
    def header(self) -> VnetHeader:
        """The virtio-net header that asks for what the frame needs."""
        own = 20 if self._protocol is _Protocol.TCP else 8
        return VnetHeader(
            flags=NEEDS_CSUM,
            gso_type=self.gso | GSO_ECN * self.ecn,
            hdr_len=self._at + own if self.gso else 0,
            gso_size=self.segment if self.gso else 0,
            csum_start=self._at,
            csum_offset=self._csum_offset,
        )

    @cached_property
    def frame(self) -> bytes:
        """The frame, with the sum of the pseudo header where its checksum belongs."""
        segment = self._transport(self.payload, 0, last=True, first=True)
        at = self._csum_offset
        partial = struct.pack("!H", ones_sum(self._pseudo(len(segment))))
        return self._packet(segment[:at] + partial + segment[at + 2 :])

    @cached_property
    def segments(self) -> tuple[bytes, ...]:
        """What the frame is cut into, checksums complete."""
        if self.gso is Gso.UDP:
            return tuple(self._fragments(0))
        size = self.segment if self.gso else self.length
        return tuple(
            self._packet(
                self._checked(
                    self._transport(
                        self.payload[at : at + size],
                        at,
                        first=at == 0,
                        last=at + size >= self.length,
                    )
                ),
                number=number,
            )
            for number, at in enumerate(range(0, self.length, size))
        )

    def segments_like(self, seen: Sequence[bytes]) -> tuple[bytes, ...]:
        """`segments`, with the ident of IPv6 fragments, which is random, taken from the first."""
        if self.gso is Gso.UDP and self.ipv6 and seen:
            ident = int.from_bytes(seen[0][self._at + 4 : self._at + 8], "big")
            return tuple(self._fragments(ident))
        return self.segments

    def whole(self) -> list[Arrival]:
        """What a receiver gets that takes it as it is."""
        return [(replace(self.header, hdr_len=0), finished(self.frame, self.header))]

    def cut(self, seen: Sequence[bytes], *, checksums_open: bool) -> list[Arrival]:
        """What a receiver gets that does not; `checksums_open`: it finishes those itself."""
        header = VnetHeader()
        if checksums_open and self.gso is not Gso.UDP:  # a fragment has no checksum of its own
            at, offset = self._at, self._csum_offset
            header = VnetHeader(flags=NEEDS_CSUM, csum_start=at, csum_offset=offset)
        return [(header, frame) for frame in self.segments_like(seen)]

    # ------------------------------------------------------------------ making it

    def _pseudo(self, length: int) -> bytes:
        if self.ipv6:
            return _IPV6_SOURCE + _IPV6_TARGET + struct.pack("!IHH", length, 0, self._protocol)
        return _IPV4_SOURCE + _IPV4_TARGET + struct.pack("!HH", self._protocol, length)

    def _checked(self, segment: bytes) -> bytes:
        checksum = ~ones_sum(self._pseudo(len(segment)) + segment) & 0xFFFF
        if not checksum and self._protocol is _Protocol.UDP:
            checksum = 0xFFFF  # CSUM_MANGLED_0: none at all would be 0
        at = self._csum_offset
        return segment[:at] + struct.pack("!H", checksum) + segment[at + 2 :]

    def _transport(self, payload: bytes, at: int, *, first: bool, last: bool) -> bytes:
        """TCP or UDP with checksum 0, `at` bytes into the stream."""
        if self._protocol is _Protocol.UDP:
            return struct.pack("!HHHH", *_PORTS, 8 + len(payload), 0) + payload
        flags = _ACK | (_PUSH | _FIN) * last | _ECE * self.ecn | _CWR * (self.ecn and first)
        sequence = (_SEQUENCE + at) & 0xFFFFFFFF
        return struct.pack("!HHIIBBHHH", *_PORTS, sequence, 7, 0x50, flags, 512, 0, 0) + payload

    def _packet(self, content: bytes, *, number: int = 0, fragment: int | None = None) -> bytes:
        """`content` behind Ethernet, tag and IP; `fragment` is IPv4's offset and flag."""
        ethernet = bytes.fromhex((self.dst + self.src).replace(":", ""))
        if self.tag:
            ethernet += struct.pack("!HH", self.tag.tpid, self.tag.vid)
        if self.ipv6:
            following = self._protocol if fragment is None else _FRAGMENT
            ip = struct.pack("!IHBB", 0x60000000, len(content), following, 64)
            return ethernet + b"\x86\xdd" + ip + _IPV6_SOURCE + _IPV6_TARGET + content
        flags = fragment
        if flags is None:
            flags = 0 if self.gso is Gso.UDP else _DONT_FRAGMENT
        fields = (0x45, 0, 20 + len(content), _IDENT + number, flags, 64, self._protocol)
        addresses = _IPV4_SOURCE + _IPV4_TARGET
        blank = struct.pack("!BBHHHBBH", *fields, 0) + addresses
        ip = struct.pack("!BBHHHBBH", *fields, ~ones_sum(blank) & 0xFFFF) + addresses
        return ethernet + b"\x08\x00" + ip + content

    def _fragments(self, ident: int) -> list[bytes]:
        datagram = self._checked(self._transport(self.payload, 0, first=True, last=True))
        packets = []
        for at in range(0, len(datagram), self.segment):
            content = datagram[at : at + self.segment]
            more = at + self.segment < len(datagram)
            if self.ipv6:
                head = struct.pack("!BBHI", self._protocol, 0, at | more, ident)
                packets.append(self._packet(head + content, fragment=at))
            else:
                packets.append(self._packet(content, fragment=at // 8 | _MORE_FRAGMENTS * more))
        return packets


# ---------------------------------------------------------------------- comparing


def finished(frame: bytes, header: VnetHeader) -> bytes:
    """The frame with the checksum that its header asks for (skb_checksum_help)."""
    if not header.flags & NEEDS_CSUM:
        return frame
    start = header.csum_start
    at = start + header.csum_offset
    checksum = ~ones_sum(frame[start:]) & 0xFFFF or 0xFFFF
    return frame[:at] + struct.pack("!H", checksum) + frame[at + 2 :]


def arrival(data: bytes, header_size: int) -> Arrival:
    """What was read from a tap or socket whose headers have `header_size` bytes, 0 for none.

    That the kernel has verified a checksum already (DATA_VALID) is not kept: it may or not.
    """
    frame = data[header_size:]
    header = VnetHeader.unpack(data) if header_size else VnetHeader()
    header_seen = replace(header, hdr_len=0, flags=header.flags & ~DATA_VALID)
    return header_seen, finished(frame, header)


def differences(seen: Sequence[Arrival], expected: Sequence[Arrival]) -> list[str]:
    """What is wrong with `seen`, in words; nothing when it is as expected to the byte."""
    found = []
    if len(seen) != len(expected):
        sizes = ", ".join(str(len(frame)) for _, frame in seen)
        found.append(f"{len(seen)} frames ({sizes} bytes) instead of {len(expected)}")
    for number, ((header, frame), (right_header, right)) in enumerate(
        zip(seen, expected, strict=False)
    ):
        if header != right_header:
            found.append(f"frame {number}: {header} instead of {right_header}")
        if len(frame) != len(right):
            found.append(f"frame {number}: {len(frame)} bytes instead of {len(right)}")
        if frame != right and (at := _first_difference(frame, right)) is not None:
            found.append(
                f"frame {number}, from byte {at}: {frame[at : at + 8].hex()} "
                f"instead of {right[at : at + 8].hex()}"
            )
    return found


def _first_difference(a: bytes, b: bytes) -> int | None:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)


@cache
def _block(add: int) -> bytes:
    return bytes((i * 7 + add) & 0xFF for i in range(256))
