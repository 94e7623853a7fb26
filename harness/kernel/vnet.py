"""The virtio-net header: what stands before each frame on a tap that carries offloads.

It says what is still to be done for the frame behind it: a checksum to fill in, a large frame
to cut into segments (struct virtio_net_hdr, include/uapi/linux/virtio_net.h). Longer headers
(12 bytes: num_buffers, for mergeable buffers) begin with the same ten.
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

__all__ = ["DATA_VALID", "GSO_ECN", "NEEDS_CSUM", "Gso", "VnetHeader"]

NEEDS_CSUM = 1
"""The checksum from csum_start on belongs at csum_start + csum_offset (CHECKSUM_PARTIAL)."""
DATA_VALID = 2
"""The checksum has been verified (CHECKSUM_UNNECESSARY)."""
GSO_ECN = 0x80
"""Added to a TCP type: the first segment alone bears CWR."""

_FORMAT = "BBHHHH"
_SIZE = struct.calcsize("=" + _FORMAT)


class Gso(IntEnum):
    """VIRTIO_NET_HDR_GSO_*: what kind of large frame it is."""

    NONE = 0
    TCPV4 = 1
    UDP = 3  # IP fragments (UFO)
    TCPV6 = 4
    UDP_L4 = 5  # datagrams (USO)


@dataclass(frozen=True)
class VnetHeader:
    """One header; lengths and offsets in bytes from the start of the frame.

    `gso_size` is the payload of each segment; `hdr_len` a hint as to how much stands before it.
    """

    flags: int = 0
    gso_type: int = Gso.NONE
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0

    def pack(self, size: int = _SIZE, *, big_endian: bool = sys.byteorder == "big") -> bytes:
        """The header in `size` bytes, zeros behind the first ten.

        A tap speaks the machine's own byte order until TUNSETVNETLE or TUNSETVNETBE.
        """
        order = ">" if big_endian else "<"
        fields = (self.flags, self.gso_type, self.hdr_len, self.gso_size)
        packed = struct.pack(order + _FORMAT, *fields, self.csum_start, self.csum_offset)
        return packed.ljust(size, b"\0")

    @classmethod
    def unpack(cls, data: bytes, *, big_endian: bool = sys.byteorder == "big") -> Self:
        """The header that `data` begins with. Raises struct.error when it is too short."""
        return cls(*struct.unpack_from((">" if big_endian else "<") + _FORMAT, data))
