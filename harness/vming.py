"""`hairpin vm`: a command, `hairpin run` unless another is given, under other kernels.

.hairpin/20260102T030405-123/debian-bookworm/   results.json, junit.xml, evidence, …
machine.json  output.txt  console.txt
debian-trixie/     …
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HairpinError, KernelError, UnfitError, UsageError

if TYPE_CHECKING:  # what a command needs is loaded when it runs
    from harness.machines.hardware import Nic
    from harness.machines.kernel import Kernel
    from harness.machines.outcome import Report
    from harness.report.machines import MachineRow

__all__ = ["EXIT_LOST", "EXIT_TIMED_OUT", "add_vm", "exit_status", "run_vm", "split_command"]

EXIT_TIMED_OUT = 124
"""The command was not done in time: what timeout(1) gives."""
EXIT_LOST = 125
"""The machine did not come up, or went before its command had ended."""
_DIFFERS, _UNFIT = 1, 3
# What neither the command line nor a file of kernels says. Files that are written live in the
# memory; the emulated virtual functions do not come up where it goes beyond 2 GiB.
_USUAL = {"timeout": 900, "boot_timeout": 90, "memory": 1024}
_SRIOV_MEMORY = 2048


def split_command(words: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """What hairpin is told, and what is behind `--`, which for `hairpin vm` is a command."""
    told = list(words)
    if told[:1] == ["vm"] and "--" in told:
        at = told.index("--")
        return told[:at], tuple(told[at + 1 :])
    return told, ()


def add_vm(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command, for the command line."""
    vm = commands.add_parser(
        "vm",
        help="the same under other kernels, in QEMU",
        usage="hairpin vm [options] [--matrix FILE] [KERNEL...] [-- COMMAND...]",
        description="Boot each kernel in QEMU with this machine's files, beneath an overlay, and "
        "run hairpin run in it, or COMMAND. Its status and what it reports come back. KVM is used "
        "where it really works.",
        epilog="Exit status: that of the command, of several the highest; 124 when one was not "
        "done in time, 125 when a machine was lost; 1 also when a kernel complained in its log.",
    )
    vm.add_argument(
        "kernels",
        nargs="*",
        metavar="KERNEL",
        help="a name (debian:bookworm), an unpacked package or build tree, a .deb or .rpm file",
    )
    vm.add_argument(
        "--matrix",
        type=Path,
        metavar="FILE",
        help="the kernels that the file names, in one matrix at the end: TOML, docs/vm.md",
    )
    vm.add_argument("--list", action="store_true", help="the names there are, and what is cached")
    vm.add_argument("--fresh", action="store_true", help="ask the archives again")
    vm.add_argument("-j", "--jobs", type=_number, metavar="N", help="machines at a time")
    vm.add_argument("--timeout", type=_number, metavar="S", help="seconds for the command (900)")
    vm.add_argument("--boot-timeout", type=_number, metavar="S", help="seconds until it is up (90)")
    vm.add_argument(
        "--memory", type=_number, metavar="MIB", help=f"(1024; {_SRIOV_MEMORY} for --sriov)"
    )
    vm.add_argument(
        "--cpus",
        type=_number,
        metavar="N",
        help="of each machine (a share of those here, 4 at most)",
    )
    plugged = vm.add_mutually_exclusive_group()
    plugged.add_argument(
        "--nics",
        type=_nics,
        default=(),
        metavar="MODEL,...",
        help="network interfaces on one wire, which the cases of real NICs take: e1000e,virtio-net",
    )
    plugged.add_argument(
        "--sriov",
        action="store_true",
        help="with a NIC that has virtual functions; hairpin sriov is run, unless COMMAND is given",
    )
    vm.add_argument(
        "--accelerator",
        choices=("auto", "kvm", "tcg"),
        default="auto",
        help="auto: KVM where a machine comes up with it, else TCG",
    )
    vm.add_argument("--append", default="", metavar="ARGS", help="more for the kernel's own line")
    vm.add_argument("--output", type=Path, default=Path(".hairpin"), metavar="DIR")


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is none; allowed: 1 and more")
    return int(text)


def _nics(text: str) -> tuple[Nic, ...]:
    from harness.machines.hardware import Nic

    try:
        return tuple(Nic(word) for word in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; allowed: {', '.join(Nic)}") from None


def run_vm(arguments: argparse.Namespace) -> int:
    """Run the command under each kernel; the exit status.

    Raises UsageError for a kernel that there is not, UnfitError when this machine cannot.
    """
    from harness.ahead import compile_ahead
    from harness.kernel.privileges import ensure_namespaces
    from harness.kernel.processes import find_program
    from harness.machines.busybox import busybox
    from harness.report.machines import print_machine
    from harness.suite import hand_over, run_folder
    from harness.vmone import fetch_for_sriov

    if arguments.list:
        return _list()
    _settle(arguments)
    if not arguments.kernels:
        raise UsageError("under which kernel? hairpin vm --list shows the names there are")
    busybox()
    find_program(f"qemu-system-{os.uname().machine}")
    found = _find(arguments.kernels, fresh=arguments.fresh)
    if arguments.sriov:
        fetch_for_sriov()
    ensure_namespaces()  # before there are threads
    compile_ahead(suite="run" in (arguments.inside or ("run",)))
    folder = run_folder(arguments.output).resolve()
    jobs = _share_out(arguments, len(found))
    try:
        kernels, rows = _places(found, folder)
        for row in map(_leave, _run_all(kernels, arguments, jobs)):
            print_machine(row, quiet=jobs == 1)
            rows.append(row)
        if arguments.matrix:
            _print_matrix(folder)
    finally:
        hand_over(arguments.output)
    print(f"Reports: {folder}")
    return exit_status((row.report, row.error) for row in rows)


def _settle(arguments: argparse.Namespace) -> None:
    """What the command line does not say: as the file says, else as usual. Raises UsageError."""
    from harness.machines.kernelsfile import KernelsFile, load_kernels

    file = load_kernels(arguments.matrix) if arguments.matrix else KernelsFile(kernels=())
    arguments.kernels = [*dict.fromkeys([*file.kernels, *arguments.kernels])]
    arguments.inside = arguments.inside or file.command
    usual = _USUAL | ({"memory": _SRIOV_MEMORY} if arguments.sriov else {})
    for name in ("jobs", "cpus", *usual):
        if getattr(arguments, name) is None:
            setattr(arguments, name, getattr(file, name) or usual.get(name))


def _share_out(arguments: argparse.Namespace, kernels: int) -> int:
    """Set the CPUs of each machine; how many of them at a time."""
    from harness.machines.sharing import room, shared_out

    here = len(os.sched_getaffinity(0))
    arguments.cpus, jobs = shared_out(here, kernels, arguments.cpus, arguments.jobs)
    return jobs if arguments.jobs else min(jobs, room(arguments.memory))


def _places(
    found: Mapping[str, Kernel | HairpinError], folder: Path
) -> tuple[dict[Path, Kernel], list[MachineRow]]:
    """A folder for each kernel, and what came of those that are not to be had."""
    from harness.report.machines import MachineRow, write_outcome

    kernels: dict[Path, Kernel] = {}
    rows = []
    for (word, kernel), name in zip(found.items(), _names(found), strict=True):
        place = folder / name
        place.mkdir()  # one without results is a column as well
        if isinstance(kernel, HairpinError):
            rows.append(MachineRow(word, "", place, None, kernel))
            write_outcome(rows[-1])
        else:
            kernels[place] = kernel
    return kernels, rows


def _leave(row: MachineRow) -> MachineRow:
    """Say in its folder how it ended; where there is no room for that, it ended so."""
    from harness.report.machines import write_outcome

    try:
        write_outcome(row)
    except UsageError as error:
        if row.error is None:
            unfit = UnfitError(str(error), remedy="make room there, or give another --output")
            return replace(row, report=None, error=unfit)
    return row


def _print_matrix(folder: Path) -> None:
    """The runs in `folder` in one matrix, which is kept there as well."""
    from harness.report import make_console
    from harness.report.across import MATRIX_FILE, arrange, collect, print_across, save_across

    try:
        matrix = arrange(collect([folder]))
    except UsageError as error:
        print(f"hairpin: there is no matrix: {error}", file=sys.stderr)
        return
    print_across(matrix, make_console())
    save_across(matrix, folder / MATRIX_FILE)
    print(f"The whole of it: {folder / MATRIX_FILE}")


def _find(words: Sequence[str], *, fresh: bool) -> dict[str, Kernel | HairpinError]:
    """The kernels that the words mean; of one that is not to be had, why. Raises UsageError."""
    from harness.machines.kernel import find_kernel

    found: dict[str, Kernel | HairpinError] = {}
    for word in words:
        try:
            kernel = find_kernel(word, fresh=fresh)
            found[word] = kernel
            if kernel.note:
                print(f"{word}: {kernel.note}")
        except UnfitError as error:  # the other kernels are run all the same
            found[word] = error
            print(f"{word}: not booted: {error}", file=sys.stderr)
    return found


def _run_all(
    kernels: Mapping[Path, Kernel], arguments: argparse.Namespace, jobs: int
) -> Iterator[MachineRow]:
    """Each, with the folder that it has, as it ends. Whatever interrupts ends them all."""
    from harness.report.machines import MachineRow
    from harness.vmone import run_one

    pending: dict[Future[Report], tuple[Kernel, Path]] = {}
    stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            for place, kernel in kernels.items():
                future = pool.submit(run_one, kernel, place, arguments, stop, live=jobs == 1)
                pending[future] = kernel, place
            try:
                for future in as_completed(pending):
                    kernel, place = pending[future]
                    yield MachineRow(kernel.name, kernel.release, place, *_came_to(future))
            except BaseException:
                os.eventfd_write(stop, 1)
                for future in pending:
                    future.cancel()
                raise
    finally:
        os.close(stop)


def _list() -> int:
    from harness.machines.kernel import catalogue

    for listed in catalogue():
        cached = ", ".join(
            f"{x.release} ({x.size >> 20} MiB{'' if x.current else ', gone from the archive'})"
            for x in listed.cached
        )
        print(f"{listed.name:32} {cached}".rstrip())
    return 0


def exit_status(results: Iterable[tuple[Report | None, HairpinError | None]]) -> int:
    """The exit status that says the worst of what came of the machines."""
    from harness.machines.outcome import Ended, TimedOut

    worst = (0, 0)
    for report, error in results:
        if report is None:
            found = (0, 2 if isinstance(error, UsageError) else _UNFIT)
        elif isinstance(report.outcome, Ended):
            complained = _DIFFERS if report.troubles else 0 if report.heard else _UNFIT
            found = (0, report.outcome.status or complained)
        elif isinstance(report.outcome, TimedOut):
            found = (1, EXIT_TIMED_OUT)
        else:
            found = (2, EXIT_LOST)
        worst = max(worst, found)
    return worst[1]


def _came_to(future: Future[Report]) -> tuple[Report | None, HairpinError | None]:
    try:
        return future.result(), None
    except (UnfitError, UsageError, KernelError) as error:  # others of the matrix go on
        return None, error


def _names(found: Mapping[str, Kernel | HairpinError]) -> list[str]:
    """A folder's name for each: that of the catalogue, else the release, or the path's end."""
    names: list[str] = []
    for word, kernel in found.items():
        name = free = word.replace(":", "-")
        if "/" in word or Path(word).exists():
            name = free = Path(word).name if isinstance(kernel, HairpinError) else kernel.release
        number = 2
        while free in names:
            free = f"{name}-{number}"
            number += 1
        names.append(free)
    return names
