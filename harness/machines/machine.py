"""A kernel booted with the files of this host, and one command run in it.

    we ─┬─ QEMU ── serial port ─────────► console, in memory
        │      ├── port hairpin.output ─► what the command writes, up to a word that ends it
        │      └── port hairpin.status ─► "up 2.31", then "ended 0"; or "unfit" and why
        └─ virtiofsd, one for the root and one for the results

All are a Family, so they end when we do, however that is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import select
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir

from harness.errors import UnfitError
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family, Process
from harness.machines.accelerator import Accelerator, Choice, choose_accelerator
from harness.machines.architecture import Architecture
from harness.machines.bzimage import unpacked_kernel
from harness.machines.cache import cache_folder, explained, keep
from harness.machines.emulator import find_emulator
from harness.machines.hardware import PLAIN, Hardware
from harness.machines.initramfs import UP_MARK, Order, Share, initramfs, shares_of
from harness.machines.kernel import Kernel
from harness.machines.oops import Kind, troubles_in
from harness.machines.outcome import Ended, Lost, Outcome, Report, TimedOut
from harness.machines.qemu import (
    Ports,
    Sizes,
    find_virtiofsd,
    ninep_arguments,
    qemu_arguments,
    serve_folder,
    virtiofs_arguments,
)

__all__ = ["Limits", "run_machine"]

_AT_ONCE = 1 << 16
_OUTPUT_WITHIN = 5.0  # seconds, for the rest of the output once the command has ended
_UNPACKED = 100  # megabytes, about, of a kernel
_KVM_UP_WITHIN = 15.0  # seconds; a KVM that works needs two


@dataclass(frozen=True)
class Limits:
    """Seconds: until a machine is up, and from then on until its command has ended."""

    boot: float = 60.0
    command: float = 600.0


def run_machine(
    kernel: Kernel,
    order: Order,
    *,
    say: Callable[[bytes], object],
    sizes: Sizes | None = None,
    hardware: Hardware = PLAIN,
    limits: Limits | None = None,
    stop: int = -1,
    accelerator: Choice | None = None,
    kernel_arguments: str = "",
) -> Report:
    """Boot `kernel` and do what the `order` says; what its command writes goes to `say`.

    `hardware` is what is plugged into the machine besides what it takes itself. KVM is used where
    it works, unless an `accelerator` is given. Where the kernel can share files in two ways, the
    second is tried when the first does not work. `stop` is a descriptor that is readable when the
    machine is to be ended at once: raises KeyboardInterrupt then. Raises UnfitError where a machine
    cannot be made of this kernel, or here, KernelError.
    """
    sizes, limits = sizes or Sizes(), limits or Limits()
    started = time.monotonic()
    try:
        image = _bootable(kernel)
        emulator = find_emulator(Architecture(kernel.arch), hardware.model).command
        boot = _Boot(
            kernel, image, order, sizes, hardware, limits, say, stop, kernel_arguments, emulator
        )
        choice = accelerator or choose_accelerator(
            kernel.arch, lambda: boot.comes_up(Accelerator.KVM, within=_KVM_UP_WITHIN)
        )
        shares = _usable(kernel)
        for share in shares:
            attempt = boot.attempt(choice.accelerator, share)
            kvm = choice.accelerator is Accelerator.KVM
            if kvm and not accelerator and not attempt.up and isinstance(attempt.outcome, Lost):
                choice = Choice(Accelerator.TCG, f"with KVM it {attempt.outcome.reason}")
                attempt = boot.attempt(choice.accelerator, share)
            if not attempt.unfit:
                break
    except OSError as error:
        raise _explained(error) from error
    return Report(
        outcome=attempt.outcome,
        accelerator=choice.accelerator.qemu,
        reason=choice.reason,
        boot=attempt.boot,
        seconds=time.monotonic() - started,
        console=attempt.console,
        heard=UP_MARK in attempt.console,
        troubles=troubles_in(attempt.console[attempt.up_at :]),
        early=troubles_in(attempt.console[: attempt.up_at]),
    )


def _explained(error: OSError) -> UnfitError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = error.filename or gettempdir()
        return UnfitError(f"there is no room left ({where})", remedy="make some free there")
    return UnfitError(f"a machine cannot be made ({error})", remedy="see to it, then try again")


def _usable(kernel: Kernel) -> tuple[Share, ...]:
    shares = shares_of(kernel)
    found = tuple(x for x in shares if x is not Share.VIRTIOFS or find_virtiofsd())
    if not found:
        raise UnfitError(
            f"the kernel {kernel.release} shares files over virtiofs only, and there is no "
            "virtiofsd here",
            remedy="apt install virtiofsd (on Debian 12: qemu-system-common)",
        )
    return found


def _bootable(kernel: Kernel) -> Path:
    """The kernel's image as it boots fastest: one that need not unpack itself, from the cache."""
    image = kernel.image.resolve()
    # Before Linux 5.0 (7733607fb3f0, "xen/pvh: Split CONFIG_XEN_PVH into CONFIG_PVH and
    # CONFIG_XEN_PVH") the entry is Xen's alone, and elsewhere hangs without a word.
    if not kernel.config or "\nCONFIG_PVH=y\n" not in kernel.config.read_text():
        return image
    # One for each place, however often a kernel is built there; its date says of which image.
    date = image.stat().st_mtime_ns
    key = hashlib.sha256(str(image).encode()).hexdigest()[:24]
    place = cache_folder("vmlinux") / f"{kernel.release}-{key}"
    if not place.exists() or place.stat().st_mtime_ns != date:
        data = image.read_bytes()
        plain = unpacked_kernel(data)
        if plain is data:
            return image
        with explained(f"the kernel {kernel.release}, unpacked,", place.parent, room=_UNPACKED):
            keep(place, plain)
            os.utime(place, ns=(date, date))
    return place


# ---------------------------------------------------------------------- one boot


@dataclass
class _Attempt:
    """What came of one boot."""

    outcome: Outcome = field(default_factory=lambda: Lost("was not started"))
    boot: float | None = None
    console: str = ""
    up_at: int = 0  # where in the console it was up
    unfit: bool = False

    @property
    def up(self) -> bool:
        return self.boot is not None


@dataclass
class _Boot:
    """All that is the same in each boot of a kernel."""

    kernel: Kernel
    image: Path
    order: Order
    sizes: Sizes
    hardware: Hardware
    limits: Limits
    say: Callable[[bytes], object]
    stop: int
    kernel_arguments: str
    emulator: tuple[str, ...]

    def comes_up(self, accelerator: Accelerator, *, within: float) -> bool:
        probe = _Boot(**{**vars(self), "limits": Limits(within, 0.0), "say": lambda _: None})
        return probe.attempt(accelerator, _usable(self.kernel)[0]).up

    def attempt(self, accelerator: Accelerator, share: Share) -> _Attempt:
        data = initramfs(self.kernel, share, self.order)
        with NetNS.create() as ns, Family() as family, Ports() as ports, ExitStack() as sockets:
            archive = ports.initramfs(data)
            descriptors = [archive, *ports.descriptors]
            shares: list[str] = []
            for tag, folder, writable in (
                ("root", Path("/"), False),
                ("output", self.order.results, True),
            ):
                if share is Share.NINEP:
                    shares += ninep_arguments(tag, folder, writable=writable)
                    continue
                _, client = serve_folder(family, ns, folder, writable=writable)
                descriptors.append(sockets.enter_context(client).fileno())
                shares += virtiofs_arguments(tag, descriptors[-1])
            arguments = qemu_arguments(
                emulator=self.emulator,
                architecture=self.kernel.arch,
                image=self.image,
                initramfs=archive,
                accelerator=accelerator,
                sizes=self.sizes,
                ports=ports,
                shares=shares,
                hardware=self.hardware,
                kernel_arguments=self.kernel_arguments,
            )
            qemu = family.spawn(ns, arguments, descriptors=descriptors)
            ports.given()
            sockets.close()
            return _Watch(self, qemu, ports).until_the_end()


class _Watch:
    """Follows one machine by its ports."""

    def __init__(self, boot: _Boot, qemu: Process, ports: Ports) -> None:
        self._boot = boot
        self._qemu = qemu
        self._ports = ports
        self._started = time.monotonic()
        self._end = b"\0" + boot.order.end.encode()
        self._held = b""
        self._output_ended = False
        self._words = b""
        self._attempt = _Attempt()
        self._status: int | None = None

    def until_the_end(self) -> _Attempt:
        limits = self._boot.limits
        self._attempt.outcome = self._watch(self._started + limits.boot)
        self._boot.say(self._held)
        self._attempt.console = _text(self._ports.console)
        if not self._attempt.up:
            self._attempt.up_at = len(self._attempt.console)
        return self._attempt

    def _watch(self, until: float) -> Outcome:
        poll = select.poll()
        for fd in (self._ports.output, self._ports.status, self._boot.stop):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        while True:
            events = dict(poll.poll(max(0.0, until - time.monotonic()) * 1000))
            if self._boot.stop in events:
                raise KeyboardInterrupt
            if self._ports.output in events and not self._read_output():
                poll.unregister(self._ports.output)
            if self._ports.status in events:
                data = self._read(self._ports.status)
                if data == b"":
                    return self._gone()
                for line in self._lines(data or b""):
                    if outcome := self._told(*line):
                        return outcome
                    if line[0] == "up":
                        until = time.monotonic() + self._boot.limits.command
                    if line[0] == "ended":
                        until = time.monotonic() + _OUTPUT_WITHIN
            if self._status is not None and (self._output_ended or not events):
                return Ended(self._status)
            if not events and time.monotonic() >= until:
                return self._late()

    def _lines(self, data: bytes) -> Iterable[tuple[str, str]]:
        self._words += data
        *lines, self._words = self._words.split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            yield word, rest

    def _told(self, word: str, rest: str) -> Outcome | None:
        if word == "up":
            self._attempt.boot = time.monotonic() - self._started
            self._attempt.up_at = len(_text(self._ports.console))
        elif word == "ended":
            self._status = int(rest)
        elif word == "unfit":
            self._attempt.unfit = True
            return Lost(f"cannot be set up: {rest}")
        return None

    def _read(self, fd: int) -> bytes | None:
        try:
            return os.read(fd, _AT_ONCE)
        except BlockingIOError:
            return None

    def _read_output(self) -> bool:
        """Pass on what is there, up to what ends it; whether there may be more."""
        data = self._read(self._ports.output)
        if data is None:
            return True
        self._held += data
        before, found, _ = self._held.partition(self._end)
        if found:
            self._output_ended = True
            self._held = b""
        else:
            at = before.rfind(b"\0")
            keep_from = at if at >= 0 and self._end.startswith(before[at:]) else len(before)
            before, self._held = before[:keep_from], before[keep_from:]
        if before:
            self._boot.say(before)
        return bool(data) and not self._output_ended

    def _gone(self) -> Lost:
        """QEMU ended before the command did."""
        if panicked := self._panicked():
            return panicked
        finished = self._qemu.wait(_OUTPUT_WITHIN)
        said = finished.stderr.strip().splitlines()
        if finished.status:
            return Lost(f"ended with QEMU, status {finished.status}: {' '.join(said[-1:])}")
        if self._attempt.up:
            return Lost("was switched off or reset before its command had ended")
        return Lost(f"was switched off or reset before it was up{self._silence()}")

    def _late(self) -> Outcome:
        # One that was told not to reboot (panic=0) stays as it is.
        if panicked := self._panicked():
            return panicked
        if self._attempt.up:
            return TimedOut(self._boot.limits.command)
        return Lost(f"did not come up within {self._boot.limits.boot:g} s{self._silence()}")

    def _panicked(self) -> Lost | None:
        for trouble in troubles_in(_text(self._ports.console)):
            if trouble.kind is Kind.PANIC:
                return Lost(f"panicked: {trouble.says}")
        return None

    def _silence(self) -> str:
        return "" if _text(self._ports.console).strip() else ", and its console is silent"


def _text(fd: int) -> str:
    return os.pread(fd, os.fstat(fd).st_size, 0).decode(errors="replace").replace("\r\n", "\n")
