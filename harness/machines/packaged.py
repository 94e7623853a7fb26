"""Kernels out of package files that the user has: .deb and .rpm.

What a distribution splits belongs together: beside a package are looked for those that it depends
on. A file is given on purpose, so no signature is asked for; its own checksums have to fit.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UnfitError
from harness.machines.archive.deb import Package, read_deb, unpack_deb
from harness.machines.archive.rpm import read_rpm, unpack_rpm
from harness.machines.cache import cache_folder, explained, keep_folder, locked
from harness.machines.kept import ROOM, keep_kernel, load_kernel
from harness.machines.tree import Kernel

__all__ = ["package_kernel"]

# linux-image-unsigned-…: Ubuntu's, as it is built; linux-image-uc-…: for Ubuntu Core.
_OF_KERNEL = re.compile(r"linux-(image|modules|binary|base)-.*\d")


def package_kernel(path: Path, name: str) -> Kernel:
    """The kernel in a package file. Raises UnfitError, OSError when it cannot be read."""
    path = path.resolve()
    found = _debs(path) if path.suffix == ".deb" else _rpms(path)
    key = hashlib.sha256(" ".join(sorted(x.sha256 for _, x in found)).encode())
    folder = cache_folder("kernels") / "files"
    place = folder / key.hexdigest()[:16]

    def fill(into: Path) -> None:
        tree = into / "tree"
        tree.mkdir()
        for file, _ in found:
            (unpack_deb if file.suffix == ".deb" else unpack_rpm)(file, tree)
        try:
            keep_kernel(tree, [x for _, x in found], into)
        except UnfitError as error:
            cause = error.cause.replace(str(tree), path.name)
            raise UnfitError(cause, remedy=error.remedy) from error
        shutil.rmtree(tree)

    with explained(f"the kernel of {path.name}", folder, room=ROOM), locked(folder):
        if not place.is_dir():
            keep_folder(place, fill)
    return load_kernel(place, name)


def _debs(path: Path) -> Sequence[tuple[Path, Package]]:
    """The package and, of those beside it, what it depends on for its kernel."""
    first = read_deb(path)
    found = [(path, first)]
    release = re.sub(r"^linux-(image|binary)-(unsigned-)?", "", first.name)
    extra = f"linux-modules-extra-{release}"
    waiting = [x for x in (*first.depends, extra) if _OF_KERNEL.match(x)]
    while waiting:
        wanted = waiting.pop(0)
        if wanted in (x.name for _, x in found):
            continue
        beside = [(x, read_deb(x)) for x in sorted(path.parent.glob(f"{wanted}_*.deb"))]
        fitting = [x for x in beside if x[1].version == first.version] or beside
        if fitting:
            found.append(fitting[0])
            waiting += [x for x in fitting[0][1].depends if _OF_KERNEL.match(x)]
        elif wanted != extra:
            raise UnfitError(
                f"{path.name} depends on {wanted}, which does not lie beside it",
                remedy=f"put {wanted}_….deb into {path.parent}",
            )
    return found


def _rpms(path: Path) -> Sequence[tuple[Path, Package]]:
    """The package and, of those beside it, the modules of the same build."""
    first = read_rpm(path)
    found = [(path, first)]
    for file in sorted(path.parent.glob("kernel*modules*.rpm")):
        if file != path and first.version in file.name:
            other = read_rpm(file)
            if (other.version, other.architecture) == (first.version, first.architecture):
                found.append((file, other))
    return found
