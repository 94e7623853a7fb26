"""The parts of a tiny guest: what is taken out of the distribution's packages.

kernel            the kernel's image
modules/*.ko      in the order of MODULES, those that are not built in
busybox  python   programs
library/          python's standard library, as far as the package has it
programs/         iperf3, where it is asked for
lib/              the libraries they name; interpreter is the one that ELF calls so
parts.json        the packages and their versions, the interpreter's path
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import UnfitError
from harness.machines.architecture import Architecture
from harness.machines.archive.apt import Apt
from harness.machines.archive.deb import read_deb, unpack_deb
from harness.machines.bzimage import unpacked_kernel
from harness.machines.compression import unpacked
from harness.machines.elf import needs

__all__ = ["MODULES", "Parts", "gather", "load_parts"]

MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_mmio",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_console",
)
"""Kernel modules, each behind those it needs. What a kernel has built in, or not at all, is
passed over."""
_NEEDED_MODULES = ("virtio_net", "virtio_console", "virtio_pci")
_FOLLOW = re.compile(r"lib|zlib|python3\.|linux-(image|modules|binary)-\d")
_FILE = "parts.json"


def _kernels(architecture: Architecture) -> tuple[str, ...]:
    """Packages that bring a small kernel, the best first: Debian's and Ubuntu's."""
    names = f"linux-image-cloud-{architecture.debian}", f"linux-image-{architecture.debian}"
    return (*names, "linux-image-virtual", "linux-image-generic")


@dataclass(frozen=True)
class Parts:
    """A folder of parts, and whose they are: `packages` are names and versions."""

    folder: Path
    packages: tuple[tuple[str, str], ...]
    modules: tuple[str, ...]
    interpreter: str
    library: str
    """Where the standard library lies in the guest: usr/lib/python3.11."""


def gather(architecture: Architecture, into: Path, *, iperf3: bool) -> None:
    """Fetch the packages and take the parts out of them; `into` is an empty folder.

    Raises UnfitError where there is no apt, no network, or a package lacks what is taken.
    """
    apt = Apt(into / "apt", architecture.debian)
    apt.update()
    wanted = [apt.first(_kernels(architecture)), "python3-minimal", "busybox-static"]
    wanted += ["iperf3"] if iperf3 else []
    names = apt.closure(wanted, follow=_FOLLOW)
    tree = into / "tree"
    tree.mkdir()
    debs = apt.download(names, into / "debs")
    for deb in debs:
        unpack_deb(deb, tree)
    versions = sorted((x.name, x.version) for x in map(read_deb, debs))
    taken = _Taking(tree, into)
    modules = taken.modules()
    taken.program("busybox", "busybox")
    taken.program("python", "python3.[0-9]*[0-9]")
    if iperf3:
        taken.program("programs/iperf3", "iperf3")
    library = taken.library()
    taken.libraries()
    parts = Parts(into, tuple(versions), modules, taken.interpreter, library)
    text = json.dumps({**asdict(parts), "folder": ""}, indent=2)
    (into / _FILE).write_text(text + "\n")
    for folder in ("apt", "tree", "debs"):
        shutil.rmtree(into / folder)


def load_parts(folder: Path) -> Parts | None:
    """The parts in a folder; None where there are none."""
    try:
        found = json.loads((folder / _FILE).read_text())
    except FileNotFoundError:
        return None
    packages = tuple((name, version) for name, version in found["packages"])
    modules = tuple(found["modules"])
    return Parts(folder, packages, modules, found["interpreter"], found["library"])


class _Taking:
    """Takes parts out of a tree of unpacked packages."""

    def __init__(self, tree: Path, into: Path) -> None:
        self._tree = tree
        self._into = into
        self._programs: list[Path] = []
        self.interpreter = ""

    def _find(self, what: str, patterns: Iterable[str]) -> Path:
        for pattern in patterns:
            for path in sorted(self._tree.glob(pattern)):
                # An absolute link would lead into the machine's own files.
                if path.is_file() and path.resolve().is_relative_to(self._tree.resolve()):
                    return path
        raise UnfitError(
            f"the distribution's packages hold no {what} for the tiny guest",
            remedy="make it on Debian 12 or newer, or Ubuntu 24.04 or newer",
        )

    def _copy(self, source: Path, name: str) -> Path:
        target = self._into / name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, target)
        return target

    def modules(self) -> tuple[str, ...]:
        """The kernel and its modules; which of them there are."""
        kernel = self._find("kernel", ("boot/vmlinu[xz]-*",)).read_bytes()
        (self._into / "kernel").write_bytes(unpacked_kernel(kernel))
        (self._into / "modules").mkdir()
        built_in = "".join(x.read_text() for x in self._tree.glob("**/modules.builtin"))
        found = []
        for name in MODULES:
            paths = sorted(self._tree.glob(f"**/kernel/**/{name}.ko*"))
            if not paths:
                if name in _NEEDED_MODULES and f"/{name}.ko" not in built_in:
                    self._find(f"kernel module {name}", ())
                continue
            (self._into / "modules" / f"{name}.ko").write_bytes(unpacked(paths[:1])[0])
            found.append(name)
        return tuple(found)

    def program(self, name: str, pattern: str) -> None:
        """A program, under another name."""
        found = self._find(pattern, (f"bin/{pattern}", f"usr/bin/{pattern}"))
        self._programs.append(self._copy(found, name))

    def library(self) -> str:
        """Python's modules; where they lie."""
        source = self._find("standard library", ("usr/lib/python3.*/os.py",)).parent
        shutil.copytree(
            source, self._into / "library", ignore=shutil.ignore_patterns("lib-dynload")
        )
        return str(source.relative_to(self._tree))

    def libraries(self) -> None:
        """What the programs name, and what that names."""
        waiting = list(self._programs)
        done = set()
        while waiting:
            needed = needs(waiting.pop().read_bytes())
            if needed.interpreter:
                self.interpreter = needed.interpreter.removeprefix("/")
                name = self.interpreter.rpartition("/")[2]
                self._copy(self._library(name), "interpreter")
                done.add(name)
            for name in needed.libraries:
                if name not in done:
                    done.add(name)
                    waiting.append(self._copy(self._library(name), f"lib/{name}"))

    def _library(self, name: str) -> Path:
        places = ("lib", "usr/lib", "lib64", "usr/lib64")
        patterns = (f"{x}/{y}{name}" for x in places for y in ("*-linux-gnu/", ""))
        return self._find(f"library {name}", patterns)
