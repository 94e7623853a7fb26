"""RPM packages as files: what they say of themselves, their checksums, and what is in them.

An .rpm is a lead, a header of signatures, a header of facts, and a packed archive of files. The
checksums of the latter two are checked here; bsdtar unpacks the files, as it does so for every
packing there is and lets none out of the folder that it is given.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from pathlib import Path

from harness.errors import UnfitError
from harness.kernel.processes import run_here
from harness.machines.archive.deb import Package, digest

__all__ = ["read_rpm", "unpack_rpm"]

_LEAD, _LEAD_MAGIC = 96, b"\xed\xab\xee\xdb"
_HEADER_MAGIC = b"\x8e\xad\xe8\x01"
_NAME, _VERSION, _RELEASE, _ARCH, _PAYLOAD_SHA256 = 1000, 1001, 1002, 1022, 5092
_HEADER_SHA256 = 273  # a tag of the header of signatures
_STRINGS = (6, 8, 9)  # RPM_STRING_TYPE, RPM_STRING_ARRAY_TYPE, RPM_I18NSTRING_TYPE


def read_rpm(path: Path) -> Package:
    """What a package file says of itself.

    Raises UnfitError where it is none or does not fit its checksums, OSError.
    """
    data = path.read_bytes()
    try:
        if not data.startswith(_LEAD_MAGIC):
            raise ValueError("its beginning is not that of one")
        signatures, end = _header(data, _LEAD)
        begin = -(-end // 8) * 8
        facts, end = _header(data, begin)
    except (ValueError, struct.error) as error:
        raise _damaged(path, str(error)) from error
    for what, told, part in (
        ("header", signatures.get(_HEADER_SHA256), data[begin:end]),
        ("content", facts.get(_PAYLOAD_SHA256), data[end:]),
    ):
        if told and hashlib.sha256(part).hexdigest() != told:
            raise _damaged(path, f"its {what} does not fit its checksum")
    version = f"{facts.get(_VERSION, '')}-{facts.get(_RELEASE, '')}"
    return Package(facts.get(_NAME, ""), version, facts.get(_ARCH, ""), digest(path))


def _header(data: bytes, at: int) -> tuple[dict[int, str], int]:
    """The first string of each tag that has one, and where the header ends."""
    if data[at : at + 4] != _HEADER_MAGIC:
        raise ValueError("a header is missing")
    count, size = struct.unpack_from(">II", data, at + 8)
    store = at + 16 + 16 * count
    if store + size > len(data):
        raise ValueError("it is cut short")
    found = {}
    for number in range(count):
        tag, kind, offset, _ = struct.unpack_from(">IIII", data, at + 16 + 16 * number)
        if kind in _STRINGS:
            begin = store + offset
            found[tag] = data[begin : data.index(b"\0", begin)].decode(errors="replace")
    return found, store + size


def unpack_rpm(path: Path, into: Path) -> None:
    """Unpack a package file. Raises UnfitError where it is not whole, OSError for a full disk."""
    command = ("bsdtar", "-x", "--no-same-owner", "-f", str(path), "-C", str(into))
    done = run_here(command, timeout=300, environment={"LC_ALL": "C.UTF-8"})
    if done.ok:
        return
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    lines = done.stderr.strip().splitlines()
    raise _damaged(path, lines[0].removeprefix("bsdtar: ") if lines else f"status {done.status}")


def _damaged(path: Path, why: str) -> UnfitError:
    return UnfitError(f"{path.name} is not a whole RPM package: {why}", remedy="fetch it again")
