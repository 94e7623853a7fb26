"""A kernel that need not unpack itself.

What a distribution ships for x86 unpacks itself at every boot, which under TCG takes 0.4 s, and
8 s after a reboot, as each write to a page that held code makes QEMU drop what it translated of
it (tb_invalidate_phys_page_fast). The ELF file within is booted at its PVH entry
(load_elfboot, hw/i386/x86.c). For aarch64 QEMU unpacks the kernel by itself.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable

from harness.errors import UnfitError
from harness.machines.compression import unzstd

__all__ = ["unpacked_kernel"]

_BOOT_SIGNATURE, _SIGNATURE_AT = b"HdrS", 0x202
_SETUP_SECTORS_AT, _PAYLOAD_AT, _SECTOR = 0x1F1, 0x248, 512
_PVH_NOTE = struct.pack("<III4s", 4, 8, 18, b"Xen\0")  # XEN_ELFNOTE_PHYS32_ENTRY
_PVH_NOTE_32 = struct.pack("<III4s", 4, 4, 18, b"Xen\0")
_LZ4_CHUNK = 8 << 20  # what one block of the legacy format holds (lz4 -l)


def unpacked_kernel(data: bytes) -> bytes:
    """The ELF file in an x86 bzImage; `data` itself where there is none that QEMU could boot."""
    if data[_SIGNATURE_AT : _SIGNATURE_AT + 4] != _BOOT_SIGNATURE:
        return data
    # Documentation/arch/x86/boot.rst: payload_offset counts from the protected-mode code.
    offset, length = struct.unpack_from("<II", data, _PAYLOAD_AT)
    start = ((data[_SETUP_SECTORS_AT] or 4) + 1) * _SECTOR + offset
    payload = data[start : start + length]
    for magic, unpack in _FORMATS.items():
        if payload.startswith(magic):
            try:
                found = unpack(payload)
            except (ValueError, IndexError, lzma.LZMAError, zlib.error, UnfitError):
                return data
            bootable = _PVH_NOTE in found or _PVH_NOTE_32 in found
            return found if found.startswith(b"\x7fELF") and bootable else data
    return data


def _xz(data: bytes) -> bytes:
    return lzma.LZMADecompressor().decompress(data)


def _gzip(data: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(data)


def _zstd(data: bytes) -> bytes:
    return unzstd(data[:-4])  # behind it is the size of what is in it (scripts/Makefile.lib)


def _lz4(data: bytes) -> bytes:
    """lz4's legacy format: blocks behind their lengths; the size of the whole ends it."""
    out = []
    at = 4
    while at + 8 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        out.append(_lz4_block(data[at + 4 : at + 4 + size]))
        at += 4 + size
    return b"".join(out)


def _lz4_block(data: bytes) -> bytes:
    """lz4_Block_format.md: literals, then a copy of what came `offset` bytes earlier."""
    out = bytearray()
    at, end = 0, len(data)
    while at < end:
        token = data[at]
        at += 1
        size = token >> 4
        if size == 15:
            while (more := data[at]) == 255:
                size += 255
                at += 1
            size += more
            at += 1
        out += data[at : at + size]
        at += size
        if at >= end:
            break
        offset = data[at] | data[at + 1] << 8
        at += 2
        size = (token & 15) + 4
        if size == 19:
            while (more := data[at]) == 255:
                size += 255
                at += 1
            size += more
            at += 1
        begin = len(out) - offset
        if not 0 < offset <= len(out):
            raise ValueError("a copy of what is not there")
        piece = out[begin : begin + size]
        # It may overlap what it makes: then it repeats.
        out += piece if offset >= size else (piece * (size // offset + 1))[:size]
        if len(out) > _LZ4_CHUNK:
            raise ValueError("a block that is too long")
    return bytes(out)


_FORMATS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x02!L\x18": _lz4,
    b"\xfd7zXZ\0": _xz,
    b"\x1f\x8b\x08": _gzip,
    b"(\xb5/\xfd": _zstd,
}
