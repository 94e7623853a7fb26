"""A kernel by whatever it is called: a name of the catalogue, a folder, a package file."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UnfitError, UsageError
from harness.machines.archive.distributions import Distribution, find_offer
from harness.machines.named import Cached, Listed, catalogue, named_kernel
from harness.machines.packaged import package_kernel
from harness.machines.tree import Kernel, folder_kernel

__all__ = ["Cached", "Kernel", "Listed", "catalogue", "find_kernel"]


def find_kernel(word: str, *, fresh: bool = False) -> Kernel:
    """The kernel that `word` means.

    It is a name of the catalogue (``debian:bookworm``), with ``=6.1.0-47`` behind it the newest
    release that begins so; a folder, an unpacked package or a build tree; a .deb or .rpm file.
    What is fetched is kept in the user's cache, and not fetched again unless `fresh`.

    Raises UsageError where it means nothing, UnfitError where the kernel cannot be had or made
    ready here.
    """
    if word.partition(":")[0] in list(Distribution):
        return named_kernel(word, fresh=fresh)
    path = Path(word)
    try:
        if path.is_dir():
            return folder_kernel(path, word)
        if path.is_file() and path.suffix in (".deb", ".rpm"):
            return package_kernel(path, word)
    except OSError as error:
        raise UnfitError(
            f"{word} cannot be read ({error.strerror})", remedy="see to its rights and its disk"
        ) from error
    if path.is_file():
        raise UsageError(
            f"{word} is neither a .deb nor an .rpm file; give the folder in which a kernel lies "
            "with its modules"
        )
    if "/" in word or path.suffix in (".deb", ".rpm"):
        raise UsageError(f"there is no {word}")
    find_offer(word)  # says which names there are
    raise UsageError(f"there is no kernel {word}")
