"""Whether KVM works here: found out by running a guest, not by looking for its node.

/dev/kvm can be there and still not run a stock kernel (nested, filtered by a hypervisor). The
answer is kept in the user's cache for this kernel and this QEMU.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from harness.errors import HairpinError
from harness.guests.tiny.client import Agent
from harness.guests.tiny.image import Image
from harness.guests.tiny.spec import Accelerator, qemu_arguments
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family, find_program
from harness.kernel.sandbox import Sandbox
from harness.machines.cache import cache_folder, keep

__all__ = ["working_accelerator"]

_KVM = Path("/dev/kvm")
_UP_WITHIN = 4.0  # seconds; with KVM that works it is one


def working_accelerator(image: Image) -> Accelerator:
    """KVM where a guest comes up with it, else TCG. Raises UnfitError where there is no QEMU."""
    if image.architecture != platform.machine() or not os.access(_KVM, os.R_OK | os.W_OK):
        return Accelerator.TCG
    qemu = Path(find_program(f"qemu-system-{image.architecture}"))
    found = cache_folder("kvm") / f"{platform.release()}-{qemu.stat().st_mtime_ns}"
    if not found.exists():
        works = _comes_up(image, Accelerator.KVM, within=_UP_WITHIN)
        keep(found, (Accelerator.KVM if works else Accelerator.TCG).encode())
    return Accelerator(found.read_text())


def _comes_up(image: Image, accelerator: Accelerator, *, within: float) -> bool:
    arguments = qemu_arguments(
        image,
        accelerator=accelerator,
        agent_socket=Path("/run/agent"),
        console_log=Path("/run/console"),
    )
    with (
        NetNS.create() as ns,
        Family() as family,
        Sandbox(ns, hostname="probe", devices=("kvm",)) as sandbox,
    ):
        try:
            family.spawn(ns, arguments, sandbox=sandbox)
            Agent.connect(sandbox.path("/run/agent"), within=within).close()
        except HairpinError:  # whatever it is: it is not a guest that runs
            return False
    return True
