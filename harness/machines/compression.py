"""What kernels, their modules and packages are packed with, unpacked.

Python unpacks gzip and xz itself, zstd from 3.14 on only: for that there is the zstd program, which
takes many files at once.
"""

from __future__ import annotations

import gzip
import lzma
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UnfitError
from harness.kernel.processes import run_here

__all__ = ["SUFFIXES", "unpacked", "unzstd"]

SUFFIXES = (".gz", ".xz", ".zst")
"""Of files that `unpacked` unpacks."""


def unpacked(paths: Sequence[Path]) -> tuple[bytes, ...]:
    """What is in these files, unpacked where their names' suffix says that they are packed.

    Raises UnfitError where one is damaged or zstd is missing, OSError.
    """
    packed = [x for x in paths if x.suffix == ".zst"]
    with tempfile.TemporaryDirectory(prefix="hairpin-") as scratch:
        if packed:
            _run_zstd(packed, Path(scratch))
        found = []
        for path in paths:
            if path.suffix == ".zst":
                found.append((Path(scratch) / path.stem).read_bytes())
            else:
                found.append(_unpacked(path))
        return tuple(found)


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    try:
        if path.suffix == ".xz":
            return lzma.decompress(data)
        if path.suffix == ".gz":
            return gzip.decompress(data)
    except (lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise _damaged(str(path), str(error)) from error
    return data


def unzstd(data: bytes) -> bytes:
    """One zstd frame, unpacked; what is behind it is left out. Raises UnfitError, OSError."""
    with tempfile.TemporaryDirectory(prefix="hairpin-") as scratch:
        packed = Path(scratch) / "packed.zst"
        packed.write_bytes(data)
        _run_zstd([packed], Path(scratch))
        return (Path(scratch) / "packed").read_bytes()


def _run_zstd(paths: Sequence[Path], into: Path) -> None:
    # Modules have names of their own, so that they may lie flat beside each other.
    options = ("--decompress", "--quiet", "--force", f"--output-dir-flat={into}", "--")
    done = run_here(("zstd", *options, *map(str, paths)), timeout=120)
    if not done.ok:
        said = done.stderr.strip().splitlines()
        raise _damaged(", ".join(x.name for x in paths), said[-1] if said else "")


def _damaged(name: str, said: str) -> UnfitError:
    return UnfitError(f"{name} is damaged: {said}", remedy="fetch or build it again")
