"""How QEMU and virtiofsd are started for a machine: their arguments, and the ends of its ports.

Nothing has a name: what QEMU writes goes to memory and pipes, what it reads comes from there,
and virtiofsd's socket is an abstract one in a network namespace that ends with us.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnfitError
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family, Process
from harness.machines.accelerator import Accelerator
from harness.machines.hardware import PLAIN, Hardware

__all__ = [
    "Ports",
    "Sizes",
    "find_virtiofsd",
    "ninep_arguments",
    "qemu_arguments",
    "serve_folder",
    "virtiofs_arguments",
]

# Where distributions put what is no command of a user: Debian 12 (QEMU's own), all others.
_VIRTIOFSD = ("/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd")
# No search for hardware that is not there, no self-tests, no waiting for RCU, entropy from the
# CPU; after a panic it reboots, which ends QEMU. Level 5: warnings and worse are for the console.
_KERNEL = (
    "console=ttyS0 8250.nr_uarts=1 loglevel=5 panic=-1 nokaslr mitigations=off cryptomgr.notests "
    "random.trust_cpu=on rcupdate.rcu_expedited=1 net.ifnames=0 tsc=reliable no_timer_check"
)

# TCG has five levels of page tables, which old kernels do not know of. And it says that it stores
# strings fast (ERMS, FSRM), while it stores them a byte at a time: a kernel that believes it takes
# 20 times as long to clear a page (clear_page_erms).
_CPU = "max,la57=off,erms=off,fsrm=off"


@dataclass(frozen=True)
class Sizes:
    """Of a machine: CPUs, and mebibytes of memory."""

    cpus: int = 1
    memory: int = 1024


def find_virtiofsd() -> str:
    """Path of virtiofsd, "" where there is none."""
    return next((x for x in _VIRTIOFSD if os.access(x, os.X_OK)), "")


def serve_folder(
    family: Family, ns: NetNS, folder: Path, *, writable: bool
) -> tuple[Process, socket.socket]:
    """A virtiofsd that serves `folder` to whoever has the other end of the socket.

    Raises KernelError, UnfitError where there is no virtiofsd.
    """
    program = find_virtiofsd()
    if not program:
        raise UnfitError("there is no virtiofsd here", remedy="apt install virtiofsd")
    cache = "auto" if writable else "always"

    def connected() -> tuple[socket.socket, socket.socket]:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind("")  # a free abstract address (unix_autobind), of this namespace
        listener.listen(1)
        client.connect(listener.getsockname())
        return listener, client

    listener, client = ns.run(connected)
    # By its descriptor: options are split at commas, which a path may have.
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with listener, ExitStack() as undo:
        undo.callback(os.close, place)
        # The words of the old one in C, which the one in Rust takes as well. Its other kind of
        # sandbox makes namespaces, which a container may forbid.
        process = family.spawn(
            ns,
            [
                *(program, f"--fd={listener.fileno()}"),
                *("-o", f"source=/proc/self/fd/{place}/.,cache={cache},sandbox=chroot"),
            ],
            descriptors=[listener.fileno(), place],
        )
    return process, client


class Ports(ExitStack):
    """Our ends of what a machine writes, and QEMU's, which are closed once it has them."""

    def __init__(self) -> None:
        super().__init__()
        self.console = self._memory("console")
        self.output, self._output = self._pipe()
        self.status, self._status = self._pipe()
        self._given = [self._output, self._status]

    def _memory(self, name: str, data: bytes = b"") -> int:
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
        self.callback(os.close, fd)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        return fd

    def _pipe(self) -> tuple[int, int]:
        ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(theirs, True)
        self.callback(os.close, ours)
        return ours, theirs

    def initramfs(self, data: bytes) -> int:
        """A descriptor from which that can be read."""
        return self._memory("initramfs", data)

    @property
    def arguments(self) -> list[str]:
        """What QEMU is told of them."""
        said = ["-serial", "chardev:console", *_file("console", self.console)]
        said += ["-device", "virtio-serial-pci"]
        for name, fd in ("output", self._output), ("status", self._status):
            said += _file(name, fd)
            said += ["-device", f"virtserialport,chardev={name},name=hairpin.{name}"]
        return said

    @property
    def descriptors(self) -> list[int]:
        """Those that QEMU is given."""
        return [self.console, *self._given]

    def given(self) -> None:
        """QEMU has its ends: when it goes, ours say so."""
        while self._given:
            os.close(self._given.pop())

    def close(self) -> None:
        """Close all; idempotent."""
        self.given()
        super().close()


def _file(name: str, fd: int) -> list[str]:
    return ["-chardev", f"file,id={name},path=/proc/self/fd/{fd}"]


def qemu_arguments(
    *,
    emulator: Sequence[str],
    architecture: str,
    image: Path,
    initramfs: int,
    accelerator: Accelerator,
    sizes: Sizes,
    ports: Ports,
    shares: Sequence[str],
    hardware: Hardware = PLAIN,
    kernel_arguments: str = "",
) -> list[str]:
    """The command that boots `image`; `initramfs` is a descriptor, `shares` are arguments.

    `emulator` is how QEMU is started.

    Raises UnfitError for an architecture of which machines are not made.
    """
    if architecture != "x86_64" or platform.machine() != architecture:
        raise UnfitError(
            f"a kernel for {architecture} cannot run this machine's programs",
            remedy=f"take one for {platform.machine()}; machines are made for x86_64 only",
        )
    kvm = accelerator is Accelerator.KVM
    size = f"{sizes.memory}M"
    return [
        *emulator,
        *("-accel", accelerator.qemu, "-machine", f"{hardware.board},memory-backend=memory"),
        *("-cpu", "host" if kvm else _CPU, "-smp", str(sizes.cpus), "-m", size),
        *("-object", f"memory-backend-memfd,id=memory,size={size},share=on"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-kernel", str(image), "-initrd", f"/proc/self/fd/{initramfs}"),
        *("-append", f"{_KERNEL} {kernel_arguments}".strip()),
        *ports.arguments,
        *shares,
        *hardware.devices,
    ]


def virtiofs_arguments(tag: str, fd: int) -> list[str]:
    """The share `tag`, of the virtiofsd at the other end of a socket."""
    return [
        *("-chardev", f"socket,id=share-{tag},fd={fd}"),
        *("-device", f"vhost-user-fs-pci,chardev=share-{tag},tag={tag}"),
    ]


def ninep_arguments(tag: str, folder: Path, *, writable: bool) -> list[str]:
    """The share `tag`, of QEMU itself."""
    path = str(folder).replace(",", ",,")  # how QEMU's options say a comma
    how = "" if writable else ",readonly=on,multidevs=remap"
    return [
        *("-fsdev", f"local,id={tag},path={path},security_model=none{how}"),
        *("-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
    ]
