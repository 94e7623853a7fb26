"""A kernel's modules: which files a module takes, in the order in which they are loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.errors import UnfitError
from harness.machines.compression import SUFFIXES, unpacked
from harness.machines.tree import Kernel

__all__ = ["missing_modules", "module_files"]


def module_files(kernel: Kernel, names: Iterable[str]) -> list[tuple[str, bytes]]:
    """These modules and what they depend on: names (``virtio_pci``) and what is to be loaded.

    Each stands behind those it needs, softly (modprobe.d(5)) as well. What is built in is left out.
    Raises UnfitError where the kernel has no such module, or it is damaged.
    """
    wanted = [_plain(x) for x in names]
    index = _Index(kernel.modules)
    missing = [x for x in wanted if not index.has(x)]
    if missing:
        raise UnfitError(
            f"{kernel.name} ({kernel.release}) has no module {', '.join(missing)}",
            remedy="use a kernel that has it; a cloud flavour lacks what the full one has",
        )
    paths: list[Path] = []
    for name in wanted:
        index.gather(name, paths, ())
    found = list(zip(map(_name, paths), unpacked(paths), strict=True))
    for (name, data), path in zip(found, paths, strict=True):
        if not data.startswith(b"\x7fELF"):
            raise UnfitError(
                f"the module {name} of {kernel.release} is damaged ({path})",
                remedy="fetch or build the kernel again",
            )
    return found


def missing_modules(kernel: Kernel, names: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that the kernel has neither as a module nor built in."""
    index = _Index(kernel.modules)
    return tuple(x for x in names if not index.has(_plain(x)))


class _Index:
    """modules.dep, modules.builtin and modules.softdep of a folder."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Path] = {}
        self._needs: dict[str, tuple[str, ...]] = {}
        self._before: dict[str, tuple[str, ...]] = {}
        for line in _lines(folder / "modules.dep"):
            path, _, needs = line.partition(":")
            self._files[_name(Path(path))] = folder / path
            # depmod has what is loaded first at the end.
            self._needs[_name(Path(path))] = tuple(_name(Path(x)) for x in needs.split()[::-1])
        self._built_in = {_name(Path(x)) for x in _lines(folder / "modules.builtin")}
        for line in _lines(folder / "modules.softdep"):
            words = line.split()
            if words[:1] == ["softdep"] and "pre:" in words:
                before = words[words.index("pre:") + 1 :]
                end = before.index("post:") if "post:" in before else len(before)
                self._before[_plain(words[1])] = tuple(map(_plain, before[:end]))

    def has(self, name: str) -> bool:
        return name in self._files or name in self._built_in

    def gather(self, name: str, paths: list[Path], above: tuple[str, ...]) -> None:
        """Put into `paths` what is not there yet; `above` are those that wait for this one."""
        path = self._files.get(name)
        if path is None or path in paths or name in above:  # soft dependencies can go in circles
            return
        for need in (*self._before.get(name, ()), *self._needs[name]):
            self.gather(need, paths, (*above, name))
        paths.append(path)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []


def _name(path: Path) -> str:
    name = path.name
    for suffix in (*SUFFIXES, ".ko"):
        name = name.removesuffix(suffix)
    return _plain(name)


def _plain(name: str) -> str:
    """Modules' names have _ where their files may have -."""
    return name.replace("-", "_")
