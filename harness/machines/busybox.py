"""A busybox that runs without libraries: this machine's, or that of the package busybox-static.

~/.cache/hairpin/busybox/x86_64
"""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

from harness.errors import UnfitError
from harness.kernel.processes import find_program
from harness.machines.architecture import Architecture
from harness.machines.archive.apt import Apt
from harness.machines.archive.deb import unpack_deb
from harness.machines.cache import cache_folder, explained, keep, locked
from harness.machines.elf import needs

__all__ = ["busybox"]

_PACKAGE = "busybox-static"
_ROOM = 100  # megabytes: apt's lists
_ELF = b"\x7fELF"


def busybox() -> bytes:
    """The program. Raises UnfitError where there is none, and none can be fetched."""
    try:
        found = Path(find_program("busybox")).read_bytes()
    except (UnfitError, OSError):
        found = b""
    if _stands_alone(found):
        return found
    architecture = Architecture(platform.machine())
    folder = cache_folder("busybox")
    kept = folder / architecture
    if not kept.exists():
        try:
            with explained("busybox", folder, room=_ROOM), locked(folder):
                if not kept.exists():
                    keep(kept, _fetched(architecture, folder))
        except UnfitError as error:
            raise UnfitError(
                f"there is no busybox here that runs without libraries, and {error.cause}",
                remedy=f"apt install {_PACKAGE}",
            ) from error
    return kept.read_bytes()


def _stands_alone(data: bytes) -> bool:
    if not data.startswith(_ELF):  # a script, say
        return False
    found = needs(data)
    return not found.interpreter and not found.libraries


def _fetched(architecture: Architecture, folder: Path) -> bytes:
    with tempfile.TemporaryDirectory(prefix="making-", dir=folder) as scratch:
        apt = Apt(Path(scratch) / "apt", architecture.debian)
        apt.update()
        tree = Path(scratch) / "tree"
        tree.mkdir()
        for deb in apt.download((_PACKAGE,), Path(scratch) / "debs"):
            unpack_deb(deb, tree)
        for place in ("bin/busybox", "usr/bin/busybox"):
            if (tree / place).is_file():
                return (tree / place).read_bytes()
    raise UnfitError(f"{_PACKAGE} has no busybox in it", remedy="install it by hand")
