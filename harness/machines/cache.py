"""The user's cache folder: what takes long to find out or to build is kept there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.errors import UnfitError

__all__ = ["cache_folder", "keep"]


def cache_folder(name: str) -> Path:
    """Where the user's cache keeps things of the kind `name`; made when missing.

    Raises UnfitError when it cannot be made.
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    # A relative one is to be ignored (XDG Base Directory Specification).
    base = Path(home) if home.startswith("/") else Path.home() / ".cache"
    folder = base / "hairpin" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnfitError(
            f"the cache folder cannot be made: {error}",
            remedy="make room, or set XDG_CACHE_HOME to a folder that can be written to",
        ) from error
    return folder


def keep(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, whoever else does, or is killed. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".half-", delete=False) as half:
        half.write(data)
    Path(half.name).replace(path)
