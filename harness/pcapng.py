"""A pcapng file, as Wireshark reads it: named interfaces, comments, directions.

    section header      what the file is about
    interface …         one each, those included on which nothing was seen
    enhanced packet …   the frames, in the order given

Written here, and not by scapy: its writer (2.8) makes an interface when a packet names one, so
that a silent observer would be missing, and cannot comment on interfaces or on the file.
The format is that of draft-ietf-opsawg-pcapng; numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Captured", "Interface", "packet_block", "pcapng"]

_SECTION, _INTERFACE, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_UNKNOWN_LENGTH = -1  # of the section
_LINKTYPE_ETHERNET = 1

_END_OF_OPTIONS, _COMMENT = 0, 1
_SECTION_OS, _SECTION_APPLICATION = 3, 4
_INTERFACE_NAME, _INTERFACE_DESCRIPTION, _INTERFACE_RESOLUTION = 2, 3, 9
_PACKET_FLAGS = 2
_NANOSECONDS = b"\x09"  # 10 to the minus ninth
_INBOUND, _OUTBOUND = 1, 2
_LONGEST = 0xFFFF

_Options = Iterable[tuple[int, str | bytes]]


@dataclass(frozen=True)
class Interface:
    """Where frames were seen; `comment` is for what concerns all of them, or their absence."""

    name: str
    description: str = ""
    comment: str = ""


@dataclass(frozen=True)
class Captured:
    """A whole Ethernet frame without FCS, at so many `nanoseconds` since the epoch.

    `interface` counts from 0; `outbound` is seen from there.
    """

    interface: int
    nanoseconds: int
    frame: bytes
    comment: str
    outbound: bool = False


def pcapng(
    interfaces: Sequence[Interface],
    frames: Iterable[Captured],
    *,
    comment: str = "",
    system: str = "",
    application: str = "",
) -> bytes:
    """The whole file. Empty texts are left out."""
    head = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, _UNKNOWN_LENGTH)
    blocks = [
        _block(
            _SECTION,
            head,
            [(_COMMENT, comment), (_SECTION_OS, system), (_SECTION_APPLICATION, application)],
        )
    ]
    for interface in interfaces:
        blocks.append(
            _block(
                _INTERFACE,
                struct.pack("<HHI", _LINKTYPE_ETHERNET, 0, 0),
                [
                    (_COMMENT, interface.comment),
                    (_INTERFACE_NAME, interface.name),
                    (_INTERFACE_DESCRIPTION, interface.description),
                    (_INTERFACE_RESOLUTION, _NANOSECONDS),
                ],
            )
        )
    blocks += [packet_block(captured) for captured in frames]
    return b"".join(blocks)


def packet_block(captured: Captured) -> bytes:
    """A frame to be put behind what `pcapng` gives, for a file that grows."""
    high, low = divmod(captured.nanoseconds, 1 << 32)
    length = len(captured.frame)
    head = struct.pack("<IIIII", captured.interface, high, low, length, length)
    flags = struct.pack("<I", _OUTBOUND if captured.outbound else _INBOUND)
    return _block(
        _ENHANCED_PACKET,
        head + _padded(captured.frame),
        [(_COMMENT, captured.comment), (_PACKET_FLAGS, flags)],
    )


def _block(kind: int, body: bytes, options: _Options) -> bytes:
    content = body + _encoded(options)
    length = struct.pack("<I", len(content) + 12)
    return struct.pack("<I", kind) + length + content + length


def _encoded(options: _Options) -> bytes:
    encoded = b""
    for code, value in options:
        data = _fitting(value) if isinstance(value, str) else value
        if data:
            encoded += struct.pack("<HH", code, len(data)) + _padded(data)
    return encoded + struct.pack("<HH", _END_OF_OPTIONS, 0) if encoded else b""


def _fitting(text: str) -> bytes:
    """As UTF-8, cut between characters where an option has no room for more."""
    return text.encode()[:_LONGEST].decode(errors="ignore").encode()


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
