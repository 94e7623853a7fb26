"""A kernel to boot, and where its modules are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError

__all__ = ["Kernel", "find_kernel"]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel's image and the folder lib/modules/RELEASE that goes with it."""

    name: str
    release: str
    image: Path
    modules: Path
    config: Path | None
    arch: str


def find_kernel(word: str) -> Kernel:
    """The kernel of an unpacked package, a folder. Raises UsageError where there is none."""
    tree = Path(word).absolute()
    images = sorted(tree.glob("boot/vmlinuz-*"))
    if not images:
        raise UsageError(f"{word} holds no kernel")
    release = images[0].name.removeprefix("vmlinuz-")
    config = tree / f"boot/config-{release}"
    modules = tree / "lib/modules" / release
    return Kernel(word, release, images[0], modules, config, "x86_64")
