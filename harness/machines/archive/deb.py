"""Debian packages as files: what they say of themselves, and what is in them."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnfitError
from harness.kernel.processes import Finished, run_here
from harness.machines.architecture import Architecture

__all__ = ["Package", "digest", "read_deb", "unpack_deb"]

_ENVIRONMENT: Mapping[str, str] = {"LC_ALL": "C.UTF-8"}
_FIELDS = ("Package", "Version", "Architecture", "Depends", "Pre-Depends")
_ARCHITECTURES: Mapping[str, str] = {x.debian: x for x in Architecture}


@dataclass(frozen=True, slots=True)
class Package:
    """What a package says of itself; `architecture` is uname's word, `sha256` that of its file.

    `depends` are names, the first choice of each, without versions.
    """

    name: str
    version: str
    architecture: str
    sha256: str
    depends: tuple[str, ...] = ()


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_deb(path: Path) -> Package:
    """What a package file says of itself. Raises UnfitError where it is none, OSError."""
    sha256 = digest(path)  # says what is wrong with a file that cannot be read
    said = _dpkg_deb(path, "--field", str(path), *_FIELDS).stdout
    fields = dict(re.findall(r"^([\w-]+): (.*)$", said, re.MULTILINE))
    depends = f"{fields.get('Pre-Depends', '')},{fields.get('Depends', '')}".split(",")
    names = tuple(x.split("|")[0].split()[0].split(":")[0] for x in depends if x.strip())
    architecture = fields.get("Architecture", "")
    return Package(
        fields.get("Package", ""),
        fields.get("Version", ""),
        _ARCHITECTURES.get(architecture, architecture),
        sha256,
        names,
    )


def unpack_deb(path: Path, into: Path) -> None:
    """Unpack a package file. Raises UnfitError where it is not whole, OSError for a full disk."""
    _dpkg_deb(path, "--extract", str(path), str(into), timeout=300)


def _dpkg_deb(path: Path, *arguments: str, timeout: float = 60) -> Finished:
    done = run_here(("dpkg-deb", *arguments), timeout=timeout, environment=_ENVIRONMENT)
    if done.ok:
        return done
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    lines = [x.removeprefix("dpkg-deb: error: ") for x in done.stderr.strip().splitlines()]
    said = lines[-1] if lines else f"exit status {done.status}"
    if "unknown compression" in done.stderr:
        raise UnfitError(
            f"this machine's dpkg cannot unpack {path.name}: {said}",
            remedy="have dpkg 1.21.18 or newer (Debian 12, Ubuntu 22.04)",
        )
    raise UnfitError(
        f"{path.name} is not a whole Debian package: {said}", remedy="fetch or build it again"
    )
