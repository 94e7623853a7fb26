"""Frames laid out in memory once: slots of equal size, each with its number in it.

The number (32 bits, host order) says which slot a frame was sent from, so a receiver that has
the last one knows whether it has missed any. The stamp (64 bits) says when a frame was sent, in
ns of CLOCK_MONOTONIC; 0 when nobody wants to know.
"""

from __future__ import annotations

import mmap
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "ETHERTYPE",
    "FRAME_CHECK",
    "SOURCE_IP",
    "STAMP_AFTER_NUMBER",
    "TARGET_IP",
    "FrameSpec",
    "Pool",
]

ETHERTYPE = 0x88B5  # IEEE 802 local experimental: no stack does anything with it
FRAME_CHECK = 4  # bytes of the frame check sequence, which RFC 2544 counts and a tap does not see

_NUMBER_AT = 44  # in the frame: behind Ethernet, IPv4 and UDP
STAMP_AFTER_NUMBER = 4
_SHORTEST = 60
_LINE = 64  # bytes of a cache line
SOURCE_IP, TARGET_IP = "198.18.0.1", "198.19.0.1"  # RFC 2544, C.2.2
_IP_SOURCE, _IP_TARGET = socket.inet_aton(SOURCE_IP), socket.inet_aton(TARGET_IP)
_UDP = 17
_DISCARD = 9  # UDP port
_number = struct.Struct("=I")
_stamp = struct.Struct("=Q")


def _ipv4_udp(length: int, port: int) -> bytes:
    """Headers of `length` bytes in all: IPv4 with its checksum, UDP without one."""
    blank = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0x4000, 64, _UDP, 0)
    words = struct.unpack("!10H", blank + _IP_SOURCE + _IP_TARGET)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    header = blank[:10] + struct.pack("!H", ~total & 0xFFFF) + _IP_SOURCE + _IP_TARGET
    return header + struct.pack("!HHHH", port, _DISCARD, length - 20, 0)


@dataclass(frozen=True)
class FrameSpec:
    """Frames to be sent: addresses, and `length` bytes each, without the frame check sequence.

    `header` is what the descriptor wants before each (a virtio-net header; length not counted).
    Slots take turns with `sources` and `targets`. With `flows`, frames are UDP over IPv4 from so
    many ports, so that a multi-queue receiver spreads them; otherwise nobody's stack knows them.
    `body` is a whole frame to send as it is, numbers written into it.
    """

    targets: tuple[bytes, ...]
    sources: tuple[bytes, ...]
    length: int = _SHORTEST
    header: bytes = b""
    flows: int = 0
    body: bytes = b""

    def frame(self, slot: int) -> bytes:
        """The frame of a slot, header before it, number and stamp 0."""
        if self.body:
            return self.header + self.body
        target = self.targets[slot % len(self.targets)]
        start = target + self.sources[slot % len(self.sources)]
        if self.flows:
            port = 1024 + slot % self.flows
            start += b"\x08\x00" + _ipv4_udp(self.length - 14, port)
        else:
            start += ETHERTYPE.to_bytes(2, "big")
        return self.header + start.ljust(self.length, b"\0")

    @property
    def size(self) -> int:
        """Bytes of what is written to the descriptor for each, header included."""
        return len(self.header) + (len(self.body) or self.length)

    @property
    def number_at(self) -> int:
        """Offset of the number in what is written to the descriptor."""
        return len(self.header) + (_NUMBER_AT if not self.body else _NUMBER_AT + 12)


class Pool:
    """`slots` frames of one length in one buffer, each with its number at `number_at`."""

    def __init__(self, frames: Sequence[bytes], *, number_at: int) -> None:
        self.slots = len(frames)
        self.length = len(frames[0])
        self.stride = -(-self.length // _LINE) * _LINE
        self.number_at = number_at
        self.stamp_at = number_at + STAMP_AFTER_NUMBER
        # Pages of its own, not a bytearray: that begins 16 bytes into a cache line, and a frame of
        # 64 KiB that lies so is copied a fifth slower (copy_from_user, seen with two CPUs).
        size = max(self.slots * self.stride, 1)
        self.buffer = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for slot, frame in enumerate(frames):
            at = slot * self.stride
            self.buffer[at : at + len(frame)] = frame
            _number.pack_into(self.buffer, at + number_at, slot)

    @classmethod
    def of(cls, spec: FrameSpec, slots: int) -> Pool:
        """The frames of a spec."""
        return cls([spec.frame(slot) for slot in range(slots)], number_at=spec.number_at)

    def frame(self, slot: int) -> memoryview:
        """What is to be written for a slot."""
        at = slot * self.stride
        return memoryview(self.buffer)[at : at + self.length]

    def set_number(self, slot: int, number: int) -> None:
        """Write another number into a slot's frame."""
        _number.pack_into(self.buffer, slot * self.stride + self.number_at, number)

    def stamp(self, slot: int, nanoseconds: int) -> None:
        """Write a time into a slot's frame, 0 for none."""
        _stamp.pack_into(self.buffer, slot * self.stride + self.stamp_at, nanoseconds)
