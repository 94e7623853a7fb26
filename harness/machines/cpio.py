"""The archive that an initramfs is: cpio's "newc" format, written the same every time.

The kernel reads several behind each other (Documentation/driver-api/early-userspace/
buffer-format.rst), so what is optional is an archive of its own.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

__all__ = ["File", "archive"]

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class File:
    """What a file of the archive holds, and whether it can be executed."""

    data: bytes
    executable: bool = False


def archive(files: Mapping[str, File], folders: tuple[str, ...] = ()) -> bytes:
    """The archive of `files`, by their paths from the root, and of all folders they lie in.

    Everything is root's, and of 1970.
    """
    needed = {PurePosixPath(x) for x in folders}
    needed.update(folder for path in files for folder in PurePosixPath(path).parents)
    needed.discard(PurePosixPath("."))
    out: list[bytes] = []
    number = 0
    for folder in sorted(needed):  # a folder sorts before what is in it
        number += 1
        out += _entry(str(folder), stat.S_IFDIR | 0o755, b"", number)
    for path, file in sorted(files.items()):
        number += 1
        mode = stat.S_IFREG | (0o755 if file.executable else 0o644)
        out += _entry(path, mode, file.data, number)
    out += _entry(_TRAILER, 0, b"", 0)
    return b"".join(out)


def _entry(name: str, mode: int, data: bytes, number: int) -> tuple[bytes, ...]:
    raw = name.encode() + b"\0"
    # ino, mode, uid, gid, nlink, mtime, size, device and special device, name, check
    numbers = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
    head = _MAGIC + b"".join(b"%08X" % x for x in numbers) + raw
    return head, _padding(head), data, _padding(data)


def _padding(data: bytes) -> bytes:
    return b"\0" * (-len(data) % 4)
