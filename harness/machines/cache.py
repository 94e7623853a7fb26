"""The user's cache folder: what takes long to find out, to fetch or to build is kept there.

What is a file or folder there is whole: it is made under another name and then renamed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UnfitError

__all__ = ["cache_folder", "explained", "keep", "keep_folder", "locked"]

_MAKING = "making-"


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
        try:
            half.write(data)
            half.flush()
            Path(half.name).replace(path)
        except BaseException:
            Path(half.name).unlink(missing_ok=True)
            raise


@contextmanager
def explained(what: str, folder: Path, *, room: int) -> Iterator[None]:
    """What the file system refuses becomes UnfitError: `what` cannot be made in `folder`, which
    takes `room` megabytes.
    """
    try:
        yield
    except OSError as error:
        remedy = "set XDG_CACHE_HOME to a folder that can be written"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = f"make {room} MB free there, or set XDG_CACHE_HOME"
        why = f"{what} cannot be made in {folder} ({error.strerror})"
        raise UnfitError(why, remedy=remedy) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among those who make something here; what others left half made is removed.

    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        for left in folder.glob(f"{_MAKING}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(fd)


def keep_folder(place: Path, fill: Callable[[Path], None]) -> None:
    """A folder that is there when it is whole; one that was there before is replaced.

    `fill` gets the empty folder to fill. Raises OSError, and what `fill` raises.
    """
    making = Path(tempfile.mkdtemp(prefix=_MAKING, dir=place.parent))
    try:
        fill(making)
        making.chmod(0o755)
        if place.exists():
            place.rename(making.with_name(f"{making.name}-old"))
        making.rename(place)
    finally:
        shutil.rmtree(making, ignore_errors=True)
        shutil.rmtree(making.with_name(f"{making.name}-old"), ignore_errors=True)
