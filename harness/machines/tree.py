"""A kernel in a folder: an unpacked package, or the tree in which it was built.

    boot/vmlinuz-RELEASE  lib/modules/RELEASE/          packages, until Linux 7.1 in Debian
    usr/lib/modules/RELEASE/vmlinuz                     packages, from then on, and Fedora's
    arch/x86/boot/bzImage  modules.order  drivers/…     a build tree

What the folder lacks of modprobe's index is made in the user's cache, where links lead to its
modules: nothing is written into a folder that is not ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnfitError, UsageError
from harness.machines.cache import cache_folder, explained, keep_folder, locked
from harness.machines.depmod import depmod
from harness.machines.imagefile import read_image

__all__ = ["Kernel", "Tree", "folder_kernel", "read_tree"]

_PACKAGED = ("boot/vmlinuz-*", "boot/Image-*", "lib/modules/*/vmlinuz", "usr/lib/modules/*/vmlinuz")
_BUILT = ("arch/x86/boot/bzImage", "arch/arm64/boot/Image", "arch/arm64/boot/Image.gz", "vmlinux")
_INDEXES = ("modules.order", "modules.builtin", "modules.builtin.modinfo")
_ROOM = 50  # megabytes that an index and links take


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that can be booted.

    `name` is what it was asked for by (``debian:bookworm``, or a path), `release` what uname says
    in it, `modules` a folder lib/modules/RELEASE with modprobe's index in it (its modules may be
    links to absolute paths), `config` its configuration, `arch` uname's word. `packages` are the
    names and versions it came in; `note` is what should be known of it, such as that the archive
    no longer has it.
    """

    name: str
    release: str
    image: Path
    modules: Path
    config: Path | None
    arch: str
    packages: tuple[tuple[str, str], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """What lies where in a folder; `modules` are files by their paths below lib/modules/RELEASE.

    `indexed` is the folder of modules where it has modprobe's index already.
    """

    release: str
    arch: str
    image: Path
    config: Path | None
    modules: Mapping[str, Path]
    indexed: Path | None = None


def folder_kernel(folder: Path, name: str) -> Kernel:
    """The kernel in a folder. Raises UnfitError, and UsageError where there are several."""
    folder = folder.resolve()
    tree = read_tree(folder)
    modules = tree.indexed or _indexed(tree)
    return Kernel(name, tree.release, tree.image, modules, tree.config, tree.arch)


def read_tree(folder: Path) -> Tree:
    """What lies where in a folder. Raises UnfitError, and UsageError where there are several."""
    packaged = [x for pattern in _PACKAGED for x in sorted(folder.glob(pattern)) if x.is_file()]
    if packaged:
        return _packaged(folder, packaged)
    built = next((folder / x for x in _BUILT if (folder / x).is_file()), None)
    if built:
        return _built(folder, built)
    raise UnfitError(
        f"{folder} holds no kernel",
        remedy="give an unpacked package (boot/vmlinuz-… or lib/modules/…/vmlinuz) or a tree in "
        "which a kernel was built (arch/x86/boot/bzImage)",
    )


# ---------------------------------------------------------------------- unpacked packages


def _packaged(folder: Path, images: list[Path]) -> Tree:
    named: dict[str, Path] = {}
    for image in images:
        in_modules = image.name == "vmlinuz"
        release = image.parent.name if in_modules else image.name.partition("-")[2]
        named.setdefault(release, image)
    if len(named) > 1:
        raise UsageError(
            f"{folder} holds several kernels ({', '.join(named)}); unpack each into a folder of "
            "its own"
        )
    ((release, image),) = named.items()
    arch = _checked(image, release)
    modules = _modules_folder(folder, release)
    configs = [folder / f"boot/config-{release}", *([modules / "config"] if modules else [])]
    config = next((x for x in configs if x.is_file()), None)
    files = _files(modules) if modules else {}
    indexed = modules if modules and (modules / "modules.dep").is_file() else None
    return Tree(release, str(arch), image, config, files, indexed)


def _checked(image: Path, release: str) -> str:
    """The architecture. Raises UnfitError when the image is of another release."""
    arch, own = read_image(image)
    if own and own != release:
        raise UnfitError(
            f"{image} is release {own}, but lies where {release} should",
            remedy="put the image and the modules of one build together",
        )
    return arch


def _modules_folder(folder: Path, release: str) -> Path | None:
    """The folder of this release's modules; None where there are no modules at all."""
    others: list[str] = []
    for place in (folder / "lib/modules", folder / "usr/lib/modules"):
        if (place / release / "kernel").is_dir() or (place / release / "modules.dep").is_file():
            return place / release
        if place.is_dir():
            others += sorted(x.name for x in place.iterdir() if (x / "kernel").is_dir())
    if others:
        raise UnfitError(
            f"{folder} has the kernel {release} and the modules of {', '.join(others)}",
            remedy="put the image and the modules of one build together",
        )
    return None


def _files(modules: Path) -> dict[str, Path]:
    """What depmod reads and modprobe loads, by path."""
    found = [x for x in modules.rglob("*.ko*") if x.is_file()]
    found += [modules / x for x in _INDEXES if (modules / x).is_file()]
    return {str(x.relative_to(modules)): x for x in found}


# ---------------------------------------------------------------------- build trees


def _built(folder: Path, image: Path) -> Tree:
    arch, release = read_image(image)
    said = folder / "include/config/kernel.release"
    if said.is_file():
        release = _told(image, release, said.read_text().strip())
    if not release:
        raise UnfitError(
            f"nothing in {folder} says which release {image.name} is",
            remedy="build it again, so that include/config/kernel.release is there",
        )
    config = folder / ".config"
    installed = _modules_folder(folder, release)
    indexed = installed if installed and (installed / "modules.dep").is_file() else None
    files = _files(installed) if installed else _ordered(folder)
    return Tree(release, str(arch), image, config if config.is_file() else None, files, indexed)


def _told(image: Path, own: str, told: str) -> str:
    if own and own != told:
        raise UnfitError(
            f"{image} is release {own}, but the tree was last configured as {told}",
            remedy="build it again (make), or check out what it was built of",
        )
    return told


def _ordered(folder: Path) -> dict[str, Path]:
    """The modules that a build tree's modules.order names."""
    order = folder / "modules.order"
    files = {x: folder / x for x in _INDEXES if (folder / x).is_file()}
    lines = order.read_text().split() if order.is_file() else []
    for line in lines:
        # "kernel/" stood before each until 5.2, and .o has stood for .ko since 6.3.
        path = line.removeprefix("kernel/").removesuffix(".o").removesuffix(".ko") + ".ko"
        files[f"kernel/{path}"] = folder / path
        if not (folder / path).is_file():
            raise UnfitError(
                f"{order} names {path}, which is not there", remedy="build it: make modules"
            )
    return files


# ---------------------------------------------------------------------- modprobe's index


def _indexed(tree: Tree) -> Path:
    """A folder of links to the modules, with the index beside them, in the user's cache."""
    key = hashlib.sha256(tree.release.encode())
    for name, path in sorted(tree.modules.items()):
        stat = path.stat()
        key.update(repr((name, str(path), stat.st_size, stat.st_mtime_ns)).encode())
    folder = cache_folder("kernels") / "links"
    place = folder / key.hexdigest()[:16]
    modules = Path("lib/modules") / tree.release

    def fill(into: Path) -> None:
        (into / modules).mkdir(parents=True)
        for name, path in tree.modules.items():
            link = into / modules / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
        depmod(into, tree.release)

    what = f"the index of {tree.release}'s modules"
    with explained(what, folder, room=_ROOM), locked(folder):
        if not place.is_dir():
            keep_folder(place, fill)
    return place / modules
