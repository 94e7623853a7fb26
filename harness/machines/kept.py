"""Kernels out of packages, kept in the user's cache, each in a folder of its own.

    boot/vmlinuz-RELEASE  boot/config-RELEASE  lib/modules/RELEASE/  kernel.json

kernel.json has what it came in, with SHA-256 of each package, and that of the image, which is
checked at every use. The packages themselves are not kept.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import UnfitError
from harness.machines.archive.deb import Package, digest
from harness.machines.depmod import depmod
from harness.machines.tree import Kernel, read_tree

__all__ = ["ROOM", "Kept", "age", "keep_kernel", "kept_kernels", "load_kernel"]

ROOM = 800
"""Megabytes that a kernel takes while its packages are unpacked, at most."""
_FILE = "kernel.json"


@dataclass(frozen=True, slots=True)
class Kept:
    """A kernel in the cache.

    `size` is in octets on the disk, `fetched` when it was put there, `packages` the names,
    versions and SHA-256 of what it came in.
    """

    folder: Path
    release: str
    arch: str
    size: int
    fetched: datetime
    image_sha256: str
    packages: tuple[tuple[str, str, str], ...]


def keep_kernel(tree: Path, packages: Iterable[Package], into: Path) -> None:
    """Move a kernel out of a folder of unpacked packages; `into` is the folder that keeps it.

    Raises UnfitError where there is none in it, OSError.
    """
    found = read_tree(tree)
    modules = into / "lib/modules" / found.release
    (into / "boot").mkdir()
    modules.parent.mkdir(parents=True)
    image = into / f"boot/vmlinuz-{found.release}"
    shutil.copyfile(found.image, image)
    if found.config:
        shutil.copyfile(found.config, into / f"boot/config-{found.release}")
    for name, path in found.modules.items():
        place = modules / name
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    modules.mkdir(exist_ok=True)
    depmod(into, found.release)
    kept = Kept(
        into,
        found.release,
        found.arch,
        sum(x.lstat().st_blocks * 512 for x in into.rglob("*")),
        datetime.now(UTC),
        digest(image),
        tuple(sorted((x.name, x.version, x.sha256) for x in packages)),
    )
    facts = {**asdict(kept), "folder": "", "fetched": kept.fetched.isoformat(timespec="seconds")}
    (into / _FILE).write_text(json.dumps(facts, indent=2) + "\n")


def kept_kernels(folder: Path) -> tuple[Kept, ...]:
    """The kernels kept in the folders of `folder`, the oldest release first."""
    found = [_read(x.parent) for x in folder.glob(f"*/{_FILE}")]
    return tuple(sorted(found, key=lambda x: age(x.release)))


def _read(folder: Path) -> Kept:
    try:
        facts = json.loads((folder / _FILE).read_text())
        packages = tuple((name, version, sha256) for name, version, sha256 in facts["packages"])
        fetched = datetime.fromisoformat(facts["fetched"])
        return Kept(**{**facts, "folder": folder, "packages": packages, "fetched": fetched})
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{_FILE}: {error}") from error


def load_kernel(folder: Path, name: str, *, note: str = "") -> Kernel:
    """A kernel that is kept. Raises UnfitError where it is not what was put there, OSError."""
    kept = _read(folder)
    image = folder / f"boot/vmlinuz-{kept.release}"
    modules = folder / "lib/modules" / kept.release
    config = folder / f"boot/config-{kept.release}"
    if not image.is_file() or digest(image) != kept.image_sha256:
        raise _damaged(folder, f"{image.name} does not fit its checksum")
    if not (modules / "modules.dep").is_file():
        raise _damaged(folder, "its modules are gone")
    return Kernel(
        name,
        kept.release,
        image,
        modules,
        config if config.is_file() else None,
        kept.arch,
        tuple((name, version) for name, version, _ in kept.packages),
        note,
    )


def _damaged(folder: Path, why: str) -> UnfitError:
    return UnfitError(
        f"the kernel in {folder} is damaged: {why}",
        remedy="remove that folder, and it is fetched or unpacked again",
    )


def age(release: str) -> list[tuple[int, int, str]]:
    """What to sort releases by: numbers count as such."""
    parts = re.findall(r"\d+|[^\d]+", release)
    return [(1, int(x), "") if x.isdigit() else (0, 0, x) for x in parts]
