"""Kernels that unpack themselves, unpacked by us."""

import gzip
import lzma
import struct

import pytest

from harness.machines.bzimage import unpacked_kernel

NOTE = struct.pack("<III4s", 4, 8, 18, b"Xen\0")
# An ELF file as far as anybody looks: its beginning and the note with its PVH entry.
KERNEL = b"\x7fELF" + NOTE + b"abcabcabcabc" * 30 + bytes(300) + b"the end"


def length(rest):
    """How LZ4 goes on counting behind a 15."""
    return b"\xff" * (rest // 255) + bytes([rest % 255])


def lz4(data):
    """Two blocks: literals, copies that overlap what they make, literals."""
    first = KERNEL.index(b"abc") + 3
    repeated = 12 * 30 - 3
    zeros = first + repeated
    block = bytes([0xF0 | 15]) + length(first - 15) + data[:first]
    block += struct.pack("<H", 3) + length(repeated - 19)
    block += bytes([0x10 | 15]) + data[zeros : zeros + 1] + struct.pack("<H", 1) + length(299 - 19)
    rest = data[zeros + 300 :]
    block += bytes([len(rest) << 4]) + rest
    return b"\x02!L\x18" + struct.pack("<I", len(block)) + block + struct.pack("<I", len(data))


def bzimage(payload, sectors=3):
    """The header of an x86 kernel, and behind its real-mode code the payload."""
    head = bytearray((sectors + 1) * 512 + 100)
    head[0x1F1] = sectors
    head[0x202:0x206] = b"HdrS"
    head[0x248:0x250] = struct.pack("<II", 100, len(payload))
    return bytes(head) + payload + b"trailing"


@pytest.mark.parametrize(
    "pack",
    [lz4, lambda x: lzma.compress(x) + b"size", lambda x: gzip.compress(x) + b"size"],
    ids=["lz4", "xz", "gzip"],
)
def test_unpacked(pack):
    assert unpacked_kernel(bzimage(pack(KERNEL))) == KERNEL


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(gzip.compress(KERNEL), id="of-another-architecture"),
        pytest.param(bzimage(b"(\xb5/\xfd unknown"), id="unknown-format"),
        pytest.param(bzimage(lz4(KERNEL)[:40]), id="cut-short"),
        pytest.param(bzimage(gzip.compress(b"\x7fELF without the note")), id="no-pvh"),
        pytest.param(bzimage(b"\x02!L\x18" + b"\5\0\0\0\0\\9\0"), id="damaged"),
    ],
)
def test_left_as_it_is(data):
    """What QEMU could not boot, or we not unpack, boots as it did before."""
    assert unpacked_kernel(data) is data
