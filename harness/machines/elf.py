"""What a program takes besides itself: its interpreter and the libraries it names."""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["Needs", "needs"]

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB = 1, 5


@dataclass(frozen=True)
class Needs:
    """The path of the interpreter ("" for a library, or what is static) and names of libraries."""

    interpreter: str
    libraries: tuple[str, ...]


def needs(data: bytes) -> Needs:
    """Of a 64-bit little-endian ELF file. Raises ValueError for anything else."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    try:
        return _needs(data)
    except (struct.error, IndexError) as error:
        raise ValueError(f"a damaged ELF file: {error}") from error


def _needs(data: bytes) -> Needs:
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    interpreter, loads, dynamic = "", [], (0, 0)
    for at in range(table, table + size * count, size):
        (kind,) = struct.unpack_from("<I", data, at)
        offset, address, _, length = struct.unpack_from("<4Q", data, at + 8)
        if kind == _PT_INTERP:
            interpreter = _string(data, offset)
        elif kind == _PT_LOAD:
            loads.append((address, offset, length))
        elif kind == _PT_DYNAMIC:
            dynamic = (offset, length)
    pairs = [struct.unpack_from("<QQ", data, dynamic[0] + i) for i in range(0, dynamic[1], 16)]
    strings = next((value for tag, value in pairs if tag == _DT_STRTAB), 0)
    for address, offset, length in loads:
        if address <= strings < address + length:
            strings += offset - address
            break
    names = tuple(_string(data, strings + value) for tag, value in pairs if tag == _DT_NEEDED)
    return Needs(interpreter, names)


def _string(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()
