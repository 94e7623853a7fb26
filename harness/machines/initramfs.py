"""The initramfs of a machine: busybox, the modules that share files, and what is to be run.

host's root ──virtiofs or 9p──► /lower (read-only) ─┐
/upper (tmpfs) ─────┴─ overlay ──► switch_root, the command
folder for results ──the same──► under the name that it has on the host
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from harness.errors import UnfitError
from harness.machines.busybox import busybox
from harness.machines.cpio import File, archive
from harness.machines.kernel import Kernel
from harness.machines.modules import missing_modules, module_files

__all__ = ["UP_MARK", "Order", "Share", "initramfs", "shares_of"]

UP_MARK = "hairpin: the machine is up"
"""What the kernel logs then, as a warning: where it is not to be read, no warning is."""

_OWN = Path(__file__).parent
_FOLDERS = ("dev", "proc", "sys", "lower", "upper", "root", "modules")


class Share(StrEnum):
    """How a machine gets at the host's files: mount's word for it."""

    VIRTIOFS = "virtiofs"
    NINEP = "9p"


_ALWAYS = ("virtio_pci", "virtio_console", "overlay")
_SHARING = {Share.VIRTIOFS: ("virtiofs",), Share.NINEP: ("9pnet_virtio", "9p")}
_OPTIONS = {
    "virtio_pci": "VIRTIO_PCI",
    "virtio_console": "VIRTIO_CONSOLE",
    "overlay": "OVERLAY_FS",
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
        # By its path, and so what it starts: busybox's shell takes its own tools first.
        given = [f"{name}={value}" for name, value in self.environment.items()]
        return "\n".join(
            (
                f"end={self.end}",
                f"output={shlex.quote(str(self.results))}",
                "main() {",
                f"    cd {shlex.quote(str(self.folder))} || exit 127",
                f"    exec {shlex.join(('/usr/bin/env', '-i', *given, *self.command))}",
                "}\n",
            )
        )


def shares_of(kernel: Kernel) -> tuple[Share, ...]:
    """The ways in which this kernel can get at the host's files, the faster first.

    Raises UnfitError where there is none, or where it lacks what every machine takes.
    """
    release = kernel.release
    if lacking := missing_modules(kernel, _ALWAYS):
        raise UnfitError(
            f"the kernel {release} has no {' and no '.join(lacking)}, which the machine takes",
            remedy="take its full package, or build it with "
            + " and ".join(f"CONFIG_{_OPTIONS[x]}" for x in lacking),
        )
    found = tuple(x for x in Share if not missing_modules(kernel, _SHARING[x]))
    if not found:
        raise UnfitError(
            f"the kernel {release} has neither virtiofs nor 9p over virtio, so it cannot see the "
            "host's files",
            remedy="take its full package, or build it with CONFIG_VIRTIO_FS",
        )
    return found


# ---------------------------------------------------------------------- the archive


def initramfs(kernel: Kernel, share: Share, order: Order) -> bytes:
    """The archive that `kernel` starts with. Raises UnfitError where a part of it is missing."""
    modules = module_files(kernel, (*_ALWAYS, *_SHARING[share]))
    settings = {
        "share": share,
        "output": str(order.results),
        "modules": str(kernel.modules.resolve()) if kernel.modules.is_dir() else "",
        "mark": UP_MARK,
    }
    text = "".join(f"{x}={shlex.quote(y)}\n" for x, y in settings.items())
    files = {
        "init": File((_OWN / "init.sh").read_bytes(), executable=True),
        "stage2.sh": File((_OWN / "stage2.sh").read_bytes()),
        "bin/busybox": File(busybox(), executable=True),
        "settings": File(text.encode()),
        "command": File(order.script.encode()),
        "modules/order": File("\n".join(f"{name}.ko" for name, _ in modules).encode()),
    }
    for name, data in modules:
        files[f"modules/{name}.ko"] = File(data)
    return archive(files, _FOLDERS)
