"""The initramfs of a machine: busybox, the modules that share files, and what is to be run.

host's root ──virtiofs or 9p──► /lower (read-only) ─┐
/upper (tmpfs) ─────┴─ overlay ──► switch_root, the command
folder for results ──the same──► under the name that it has on the host
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from harness.errors import UnfitError
from harness.kernel.processes import find_program
from harness.machines.compression import unpacked
from harness.machines.cpio import File, archive
from harness.machines.kernel import Kernel

__all__ = ["Order", "Share", "busybox", "initramfs", "modules_for", "shares_of"]

_OWN = Path(__file__).parent
_FOLDERS = ("dev", "proc", "sys", "lower", "upper", "root", "modules")
_ELF = b"\x7fELF"
_DYNAMIC = b"/ld-"  # in the path of an interpreter: /lib64/ld-linux-x86-64.so.2


class Share(StrEnum):
    """How a machine gets at the host's files: mount's word for it."""

    VIRTIOFS = "virtiofs"
    NINEP = "9p"


_ALWAYS = ("virtio_pci", "virtio_console", "overlay")
_SHARING = {Share.VIRTIOFS: ("virtiofs",), Share.NINEP: ("9pnet_virtio", "9p")}
_OPTIONS = {  # where modules.builtin does not tell, the configuration does
    "virtio_pci": "VIRTIO_PCI",
    "virtio_console": "VIRTIO_CONSOLE",
    "overlay": "OVERLAY_FS",
    "virtiofs": "VIRTIO_FS",
    "9pnet_virtio": "NET_9P_VIRTIO",
    "9p": "9P_FS",
}


@dataclass(frozen=True)
class Order:
    """What a machine is to run, where, and with what around it.

    `environment` is all that the command gets, `folder` is where it works, `results` the folder
    of the host that it can write into. `end` is what its output ends with: nobody else says that.
    """

    command: tuple[str, ...]
    folder: Path
    results: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    end: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def script(self) -> str:
        """What the machine's second stage reads."""
        exports = (f"    export {x}={shlex.quote(y)}" for x, y in self.environment.items())
        return "\n".join(
            (
                f"end={self.end}",
                f"output={shlex.quote(str(self.results))}",
                "main() {",
                "    for name in $(env | /run/hairpin/busybox cut -d= -f1); do unset $name; done",
                *exports,
                f"    cd {shlex.quote(str(self.folder))} || exit 127",
                f"    exec {shlex.join(self.command)}",
                "}\n",
            )
        )


# ---------------------------------------------------------------------- modules


def _plain_name(path: str) -> str:
    return re.sub(r"\.ko(\.\w+)?$", "", PurePosixPath(path).name).replace("-", "_")


def _dependencies(kernel: Kernel) -> dict[str, tuple[str, ...]]:
    """Each module's name: its file, and those it needs, the last to be loaded first."""
    found = {}
    path = kernel.modules / "modules.dep"
    for line in path.read_text().splitlines() if path.exists() else ():
        name, _, needs = line.partition(":")
        found[_plain_name(name)] = (name, *needs.split())
    return found


def _built_in(kernel: Kernel) -> set[str]:
    path = kernel.modules / "modules.builtin"
    found = {_plain_name(x) for x in path.read_text().split()} if path.exists() else set()
    if kernel.config and kernel.config.exists():
        text = kernel.config.read_text()
        found |= {x for x, y in _OPTIONS.items() if f"\nCONFIG_{y}=y\n" in text}
    return found


def _missing(kernel: Kernel, names: Sequence[str]) -> list[str]:
    there = _dependencies(kernel).keys() | _built_in(kernel)
    return [x for x in names if x not in there]


def shares_of(kernel: Kernel) -> tuple[Share, ...]:
    """The ways in which this kernel can get at the host's files, the faster first.

    Raises UnfitError where there is none, or where it lacks what every machine takes.
    """
    release = kernel.release
    if lacking := _missing(kernel, _ALWAYS):
        raise UnfitError(
            f"the kernel {release} has no {' and no '.join(lacking)}, which the machine takes",
            remedy="take its full package, or build it with "
            + ", ".join(f"CONFIG_{_OPTIONS[x]}" for x in lacking),
        )
    found = tuple(x for x in Share if not _missing(kernel, _SHARING[x]))
    if not found:
        raise UnfitError(
            f"the kernel {release} has neither virtiofs nor 9p over virtio, so it cannot see the "
            "host's files",
            remedy="take its full package, or build it with CONFIG_VIRTIO_FS",
        )
    return found


def modules_for(kernel: Kernel, share: Share) -> tuple[Path, ...]:
    """The files of the modules to load, each behind those it needs; built-in ones are left out."""
    dependencies = _dependencies(kernel)
    order: dict[str, None] = {}
    for name in (*_ALWAYS, *_SHARING[share]):
        own, *needs = dependencies.get(name, ("",))
        order.update(dict.fromkeys((*reversed(needs), own) if own else ()))
    return tuple(kernel.modules / x for x in order)


# ---------------------------------------------------------------------- the archive


def busybox() -> bytes:
    """The host's busybox. Raises UnfitError where there is none that runs without libraries."""
    path = Path(find_program("busybox"))
    data = path.read_bytes()
    if not data.startswith(_ELF) or _DYNAMIC in data[:4096]:
        raise UnfitError(
            f"{path} needs libraries, which a machine does not have when it starts",
            remedy="apt install busybox-static",
        )
    return data


def initramfs(kernel: Kernel, share: Share, order: Order) -> bytes:
    """The archive that `kernel` starts with. Raises UnfitError where a part of it is missing."""
    modules = modules_for(kernel, share)
    names = [f"{_plain_name(str(x))}.ko" for x in modules]
    settings = {
        "share": share,
        "output": str(order.results),
        "modules": str(kernel.modules.resolve()) if kernel.modules.is_dir() else "",
    }
    text = "".join(f"{x}={shlex.quote(y)}\n" for x, y in settings.items())
    files = {
        "init": File((_OWN / "init.sh").read_bytes(), executable=True),
        "stage2.sh": File((_OWN / "stage2.sh").read_bytes()),
        "bin/busybox": File(busybox(), executable=True),
        "settings": File(text.encode()),
        "command": File(order.script.encode()),
        "modules/order": File("\n".join(names).encode()),
    }
    for name, data in zip(names, unpacked(modules), strict=True):
        files[f"modules/{name}"] = File(data)
    return archive(files, _FOLDERS)
