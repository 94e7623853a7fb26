"""Whether the tiny guest runs with KVM here."""

from __future__ import annotations

from pathlib import Path

from harness.errors import HairpinError
from harness.guests.tiny.client import Agent
from harness.guests.tiny.image import Image
from harness.guests.tiny.spec import qemu_arguments
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family
from harness.kernel.sandbox import Sandbox
from harness.machines.accelerator import Accelerator, choose_accelerator

__all__ = ["working_accelerator"]

_UP_WITHIN = 4.0  # seconds; with KVM that works it is one


def working_accelerator(image: Image) -> Accelerator:
    """KVM where a guest comes up with it, else TCG. Raises UnfitError where there is no QEMU."""
    return choose_accelerator(
        image.architecture, lambda: _comes_up(image, Accelerator.KVM, within=_UP_WITHIN)
    ).accelerator


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
