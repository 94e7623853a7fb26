"""What the file of a kernel says of itself: its architecture and, for x86, its release."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from harness.errors import UnfitError
from harness.machines.architecture import Architecture

__all__ = ["read_image"]

_HEAD = 1 << 16
_ELF_MACHINES = {62: Architecture.X86_64, 183: Architecture.AARCH64}
_X86_64_CODE = 1  # XLF_KERNEL_64 (Documentation/arch/x86/boot.rst)


def read_image(path: Path) -> tuple[Architecture, str]:
    """The architecture and the release, empty where the file does not say it.

    Raises UnfitError where it is no kernel that hairpin boots, OSError.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"\x1f\x8b"):  # arm64's Image.gz
        try:
            head = zlib.decompressobj(31).decompress(head, _HEAD)
        except zlib.error:
            head = b""
    if head[0x202:0x206] == b"HdrS" and len(head) > 0x238:
        (at,) = struct.unpack_from("<H", head, 0x20E)
        version = head[at + 0x200 : at + 0x300].split(b"\0")[0] if at else b""
        (flags,) = struct.unpack_from("<H", head, 0x236)
        if flags & _X86_64_CODE:
            return Architecture.X86_64, version.decode("ascii", "replace").partition(" ")[0]
    # Documentation/arch/arm64/booting.rst; the EFI zboot header of what unpacks itself.
    if head[56:60] == b"ARMd" or (head[:2] == b"MZ" and head[4:8] == b"zimg"):
        return Architecture.AARCH64, ""
    if head[:6] == b"\x7fELF\x02\x01" and len(head) > 20:
        (machine,) = struct.unpack_from("<H", head, 18)
        if machine in _ELF_MACHINES:
            return _ELF_MACHINES[machine], ""
    raise UnfitError(
        f"{path} is not the kernel of an architecture that hairpin boots",
        remedy=f"give a kernel for {' or '.join(Architecture)} (bzImage, Image or vmlinux)",
    )
