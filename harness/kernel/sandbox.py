"""A place with files of its own: mount, UTS and IPC namespaces, gone with the process.

    the machine's files, but for     private, in memory
    .---------------------------.    .-------------------------------------------.
    | /usr, /home, …             | +  | /dev, /run, /sys of this network namespace |
    '---------------------------'    | and the folders asked for                  |
                                     '-------------------------------------------'

What is written there is in no folder of the machine, so nothing is left whoever is killed. The
mount namespace is held by a descriptor; `Sandbox.path` reaches into it from outside.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from harness.errors import KernelError
from harness.kernel.netns import NetNS, on_thread
from harness.kernel.syscalls import (
    CLONE_FS,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUTS,
    bind_mount,
    keep_mounts_private,
    mount,
    move_mount,
    setns,
    unshare,
)
from harness.resource import Resource

__all__ = ["Sandbox"]

T = TypeVar("T")

_KINDS = {"mnt": CLONE_NEWNS, "uts": CLONE_NEWUTS, "ipc": CLONE_NEWIPC}
_NODES = ("null", "zero", "full", "random", "urandom", "tty", "net/tun", "vhost-net")
_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}


class Sandbox(Resource):
    """The machine's files, of which `folders` are empty and private. Use it in a `with` statement.

    /dev has the usual nodes, `devices` (names under /dev) where the machine has them, and nothing
    else; /run is empty, /sys shows the network namespace `ns`, `hostname` is the name of the host.
    /proc is still that of the machine: `harness.kernel.processes` has the PID namespace. Raises
    KernelError.
    """

    def __init__(
        self, ns: NetNS, *, hostname: str, folders: Iterable[str] = (), devices: Iterable[str] = ()
    ) -> None:
        private = tuple(folders)
        nodes = (*_NODES, *devices)

        def make() -> tuple[int, dict[str, int]]:
            setns(ns.fd, CLONE_NEWNET)
            unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC)
            keep_mounts_private()
            socket.sethostname(hostname)
            _furnish(private, nodes)
            flags = os.O_RDONLY | os.O_CLOEXEC
            held = {x: os.open(f"/proc/thread-self/ns/{x}", flags) for x in _KINDS}
            return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), held

        try:
            self._root, self._held = on_thread(make).result()
        except OSError as error:
            raise KernelError("make a sandbox", error.errno or 0, str(error)) from error

    def enter(self) -> None:
        """Move the calling thread in, for good. Raises OSError."""
        unshare(CLONE_FS)  # what setns(2) demands of a thread for a mount namespace
        for kind, fd in self._held.items():
            setns(fd, _KINDS[kind])

    def run(self, work: Callable[[], T]) -> T:
        """`work()` on a thread that is inside."""

        def inside() -> T:
            self.enter()
            return work()

        return on_thread(inside).result()

    def path(self, inside: str) -> Path:
        """The file `inside` as every process of the machine can reach it, while we live."""
        return Path(f"/proc/{os.getpid()}/fd/{self._root}{inside}")

    def close(self) -> None:
        """Let go of it: what no process uses any more is gone. Idempotent."""
        while self._held:
            os.close(self._held.popitem()[1])
        if self._root >= 0:
            os.close(self._root)
            self._root = -1


def _make_place(folder: Path) -> None:
    """A folder that the machine has not: beside all that its parent holds, which stays as it is."""
    parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        mount("tmpfs", str(folder.parent), options="mode=755")
        for entry in os.scandir(parent):
            place = folder.parent / entry.name
            if entry.is_symlink():
                place.symlink_to(os.readlink(entry.name, dir_fd=parent))
                continue
            if entry.is_dir(follow_symlinks=False):
                place.mkdir()
            else:
                place.touch()
            bind_mount(f"/proc/thread-self/fd/{parent}/{entry.name}", str(place))
    finally:
        os.close(parent)
    folder.mkdir()


def _furnish(folders: Iterable[str], nodes: Iterable[str]) -> None:
    """What is private, mounted on the calling thread's view of the files."""
    for folder in ("/run", *folders):
        if not Path(folder).is_dir():
            _make_place(Path(folder))
        mount("tmpfs", folder, options="mode=755")
    try:
        mount("sysfs", "/sys")
    except OSError as error:
        if error.errno != errno.EBUSY:  # which it is where it shows this namespace already
            raise
    new = Path("/run/dev")  # made aside, while the machine's is still to be seen
    new.mkdir()
    mount("tmpfs", str(new), options="mode=755")
    for name in ("net", "pts", "shm"):
        (new / name).mkdir()
    for name in nodes:
        node = Path("/dev", name)
        if node.exists():
            found = node.stat()
            os.mknod(new / name, stat.S_IFMT(found.st_mode), found.st_rdev)
            (new / name).chmod(0o666)
    for name, target in _LINKS.items():
        (new / name).symlink_to(target)
    mount("devpts", str(new / "pts"), options="newinstance,mode=620,ptmxmode=0666")
    mount("tmpfs", str(new / "shm"), options="mode=1777")
    move_mount(str(new), "/dev")
    new.rmdir()
