"""The user's cache folder, in which what takes long to find out or to build is kept."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import UnfitError

__all__ = ["cache_folder"]


def cache_folder(name: str) -> Path:
    """Where the user's cache keeps things of the kind `name`; made when missing.

    Raises UnfitError when it cannot be made.
    """
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(base).expanduser() / "hairpin" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnfitError(
            f"the cache folder cannot be made: {error}",
            remedy="make room, or set XDG_CACHE_HOME to a folder that can be written to",
        ) from error
    return folder
