"""One machine of `hairpin vm`: what it is told to run, on what hardware, and where it all goes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import UnfitError
from harness.machines.accelerator import Accelerator, Choice
from harness.machines.architecture import Architecture
from harness.machines.emulator import find_emulator
from harness.machines.hardware import SRIOV, SRIOV_OUTSIDE, SRIOV_PF, Hardware, wired
from harness.machines.initramfs import Order
from harness.machines.kernel import Kernel
from harness.machines.machine import Limits, run_machine
from harness.machines.modules import missing_modules
from harness.machines.outcome import Report
from harness.machines.qemu import Sizes
from harness.report.machines import write_machine

__all__ = ["fetch_for_sriov", "run_one"]

_SRIOV_MODULES = ("igb", "igbvf", "virtio_net", "macvtap")
# What a command in a machine gets of our environment, besides what begins with HAIRPIN_ and LC_.
_KEPT = ("HOME", "LANG", "NO_COLOR", "FORCE_COLOR", "PYTHONPATH", "TZ", "VIRTUAL_ENV", "USER")
_SYSTEM_PATHS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def run_one(
    kernel: Kernel, place: Path, arguments: argparse.Namespace, stop: int, *, live: bool
) -> Report:
    """Boot `kernel` as the command line's `arguments` say, and keep what comes of it in `place`.

    `stop` ends it at once when it is readable (run_machine); `live` shows the output as it comes.
    Raises UnfitError, KernelError, KeyboardInterrupt.
    """
    command, hardware = _suite(kernel, arguments)
    with _kept(place), (place / "output.txt").open("wb", buffering=0) as file:
        report = run_machine(
            kernel,
            Order(arguments.inside or command, Path.cwd(), place, _environment(place)),
            say=_teller(file.write, place, live=live),
            sizes=Sizes(arguments.cpus, arguments.memory),
            hardware=hardware,
            limits=Limits(arguments.boot_timeout, arguments.timeout),
            stop=stop,
            accelerator=_asked(arguments.accelerator),
            kernel_arguments=arguments.append,
        )
        write_machine(report, kernel, place)
    return report


def fetch_for_sriov() -> None:
    """Have what the machine takes, and the suite in it, which has no network to fetch it by.

    Raises UnfitError where there is no QEMU with the NIC; without the rest some cases skip.
    """
    from harness.guests.fitness import need_everything
    from harness.guests.tiny.image import image

    emulator = find_emulator(Architecture(os.uname().machine), SRIOV.model)
    print(f"QEMU {emulator.version}{', fetched' * emulator.fetched}")
    with suppress(UnfitError):
        need_everything(("libvirtd", "qemu-system-x86_64"))
        image()


def _suite(kernel: Kernel, arguments: argparse.Namespace) -> tuple[tuple[str, ...], Hardware]:
    """The command that runs the suite, and the hardware that it takes."""
    hairpin = (sys.executable, "-P", "-m", "harness")
    if not arguments.sriov:
        return (*hairpin, "run", "-j", str(arguments.cpus)), wired(arguments.nics)
    if lacking := missing_modules(kernel, _SRIOV_MODULES):
        raise UnfitError(
            f"the kernel {kernel.release} has no {' and no '.join(lacking)}",
            remedy="take its full package, not that of its cloud flavour",
        )
    return (*hairpin, "sriov", SRIOV_PF, SRIOV_OUTSIDE), SRIOV


@contextmanager
def _kept(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnfitError(
            f"what comes back cannot be kept in {place} ({error.strerror})",
            remedy="make room there, or choose another folder with --output",
        ) from error


def _asked(word: str) -> Choice | None:
    if word == "auto":
        return None
    return Choice(Accelerator.KVM if word == "kvm" else Accelerator.TCG, "as asked")


def _teller(keep: Callable[[bytes], object], place: Path, *, live: bool) -> Callable[[bytes], None]:
    def tell(data: bytes) -> None:
        with _kept(place):  # here, as only we know what for it was
            keep(data)
        if live:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    return tell


def _environment(place: Path) -> dict[str, str]:
    """What the command gets: of ours what is true there, too."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith(("HAIRPIN_", "LC_"))
    }
    paths = [str(Path(sys.executable).parent), *os.environ.get("PATH", "").split(os.pathsep)]
    colour = {"FORCE_COLOR": "1"} if sys.stdout.isatty() and "NO_COLOR" not in kept else {}
    try:
        columns = {"COLUMNS": str(os.get_terminal_size(sys.stdout.fileno()).columns)}
    except (OSError, ValueError):
        columns = {}
    return {
        "HOME": "/root",
        **columns,
        **colour,
        **kept,
        "PATH": os.pathsep.join(dict.fromkeys(filter(None, [*paths, *_SYSTEM_PATHS]))),
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",  # it would be lost with the machine
        "HAIRPIN_FOLDER": str(place),
        "HAIRPIN_DMESG": "1",
    }
