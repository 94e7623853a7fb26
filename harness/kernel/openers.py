"""Who holds a tap open: every process with a descriptor of its character device.

Each descriptor is a queue of its own, and the kernel spreads flows over the queues
(tap_get_queue, drivers/net/tap.c): a second one takes frames away from the first.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from harness.kernel.netns import NetNS
from harness.kernel.syscalls import descriptor_of

__all__ = ["Opener", "read_openers", "tap_device"]


_TUNGETIFF = 0x800454D2
_IFREQ_SIZE = 40


@dataclass(frozen=True)
class Opener:
    """One descriptor of the character device with the number `device`."""

    device: int
    pid: int
    fd: int
    process: str


def tap_device(ns: NetNS, name: str) -> int | None:
    """Device number of the macvtap `name` in `ns`; None when there is none, or no sysfs."""
    try:
        folder = os.open(f"class/net/{name}/macvtap", os.O_RDONLY | os.O_DIRECTORY, dir_fd=ns.sysfs)
        try:
            (node,) = os.listdir(folder)  # noqa: PTH208  (a path cannot be a descriptor)
            fd = os.open(f"{node}/dev", os.O_RDONLY, dir_fd=folder)
            try:
                major, minor = os.read(fd, 32).split(b":")
            finally:
                os.close(fd)
        finally:
            os.close(folder)
    except OSError:
        return None
    return os.makedev(int(major), int(minor))


def read_openers(devices: Collection[int]) -> list[Opener]:
    """Every live descriptor of one of `devices`, in every process that may be looked into."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            for fd in os.listdir(folder / "fd"):  # noqa: PTH208  (thousands: no path for each)
                device = _character_device(f"{folder}/fd/{fd}")
                if device in devices and _alive(int(folder.name), int(fd)):
                    process = (folder / "comm").read_text().strip()
                    found.append(Opener(device, int(folder.name), int(fd), process))
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
    return found


def _character_device(descriptor: str) -> int:
    """Number of the character device that is open there; 0 when it is anything else."""
    try:
        # Sockets, pipes and the like are most, and are told apart by their names.
        if not os.readlink(descriptor).startswith("/"):  # noqa: PTH115  (no path for each)
            return 0
        status = os.stat(descriptor)  # noqa: PTH116  (no path for each)
    except OSError:  # closed meanwhile
        return 0
    return status.st_rdev if stat.S_ISCHR(status.st_mode) else 0


def _alive(pid: int, fd: int) -> bool:
    """Whether the descriptor still is a tap's: the number of one that has gone is given again.

    One that may not be looked at, or not in this kernel, counts as alive.
    """
    try:
        ours = descriptor_of(pid, fd)
    except OSError as error:
        return error.errno in (errno.EPERM, errno.ENOSYS)
    try:
        fcntl.ioctl(ours, _TUNGETIFF, bytes(_IFREQ_SIZE))
    except OSError as error:
        return error.errno != errno.ENOLINK
    finally:
        os.close(ours)
    return True
