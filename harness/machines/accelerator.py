"""Whether KVM works here: found out by running a guest, not by looking for its node.

/dev/kvm can be there and still not run a stock kernel (nested, filtered by a hypervisor). The
answer is kept in the user's cache for this kernel and this QEMU.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.kernel.processes import find_program
from harness.machines.cache import cache_folder, keep

__all__ = ["Accelerator", "Choice", "choose_accelerator"]

_KVM = Path("/dev/kvm")


class Accelerator(StrEnum):
    """What runs the guest's code: libvirt's word for it."""

    TCG = "qemu"
    KVM = "kvm"

    @property
    def qemu(self) -> str:
        """QEMU's own word, for -accel."""
        return "tcg" if self is Accelerator.TCG else "kvm"


@dataclass(frozen=True)
class Choice:
    """What runs a guest, and why that."""

    accelerator: Accelerator
    reason: str


def choose_accelerator(architecture: str, comes_up: Callable[[], bool]) -> Choice:
    """KVM where a guest `comes_up` with it, else TCG; a guest is started once only.

    Raises UnfitError where there is no QEMU.
    """
    qemu = Path(find_program(f"qemu-system-{architecture}"))
    if architecture != platform.machine():
        return Choice(Accelerator.TCG, f"this machine is no {architecture}")
    if not os.access(_KVM, os.R_OK | os.W_OK):
        why = "cannot be opened" if _KVM.exists() else "is not there"
        return Choice(Accelerator.TCG, f"{_KVM} {why}")
    found = cache_folder("kvm") / f"{platform.release()}-{qemu.stat().st_mtime_ns}"
    if not found.exists():
        keep(found, (Accelerator.KVM if comes_up() else Accelerator.TCG).encode())
    if Accelerator(found.read_text()) is Accelerator.KVM:
        return Choice(Accelerator.KVM, "a guest comes up with it")
    return Choice(Accelerator.TCG, f"no guest comes up with {_KVM}")
