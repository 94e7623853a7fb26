"""Whether this machine has what real guests take."""

from __future__ import annotations

import os
from collections.abc import Sequence

from harness.errors import UnfitError
from harness.kernel.processes import find_program

__all__ = ["GUEST_PROGRAMS", "need_everything"]

GUEST_PROGRAMS = ("libvirtd", "qemu-system-x86_64", "ping")


def need_everything(programs: Sequence[str] = GUEST_PROGRAMS) -> None:
    """Say all that is missing at once, rather than one thing after another."""
    if os.geteuid() != 0:
        raise UnfitError("real guests take root (libvirtd, taps)", remedy="run it with sudo")
    missing = []
    for program in programs:
        try:
            find_program(program)
        except UnfitError as error:
            missing.append(error)
    if missing:
        packages = " ".join(error.remedy.removeprefix("apt install ") for error in missing)
        causes = ", ".join(error.cause for error in missing)
        raise UnfitError(causes, remedy=f"apt install --no-install-recommends {packages}")
    import harness.guests.daemon  # noqa: F401  (raises UnfitError without libvirt-python)
