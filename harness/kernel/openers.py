"""Who holds a tap open: every process with a descriptor of its character device.

Each descriptor is a queue of its own, and the kernel spreads flows over the queues
(tap_get_queue, drivers/net/tap.c): a second one takes frames away from the first.

A device number is given again as soon as its link goes, or moves to another namespace
(macvtap_device_event, drivers/net/macvtap.c), while descriptors opened before live on: dead, or
readers of another link. Such a descriptor is older than the link that has the number now.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from harness.kernel.netns import NetNS
from harness.kernel.taps import device_number

__all__ = ["Opener", "opened_at", "read_openers", "tap_device"]


@dataclass(frozen=True)
class Opener:
    """One descriptor of the character device with the number `device`.

    `since` is when the node that was opened came to be, in ns since the epoch; 0 for a node that
    still stands in /dev, which goes with its device and so is no older.
    """

    device: int
    pid: int
    fd: int
    process: str
    since: int


def opened_at(fd: int) -> int:
    """When the node behind a descriptor of ours came to be, in ns since the epoch."""
    return os.fstat(fd).st_ctime_ns


def tap_device(ns: NetNS, name: str) -> int | None:
    """Device number of the macvtap `name` in `ns`; None when there is none, or no sysfs."""
    try:
        return device_number(ns, name)
    except OSError:
        return None


def read_openers(devices: Collection[int]) -> list[Opener]:
    """Every descriptor of one of `devices`, in every process that may be looked into."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            for fd in os.listdir(folder / "fd"):  # noqa: PTH208  (thousands: no path for each)
                device, since = _character_device(f"{folder}/fd/{fd}")
                if device in devices:
                    process = (folder / "comm").read_text().strip()
                    found.append(Opener(device, int(folder.name), int(fd), process, since))
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
    return found


def _character_device(descriptor: str) -> tuple[int, int]:
    """Number of the character device that is open there and since when; 0 for anything else."""
    try:
        # Sockets, pipes and the like are most, and are told apart by their names.
        name = os.readlink(descriptor)  # noqa: PTH115  (no path for each)
        if not name.startswith("/"):
            return 0, 0
        status = os.stat(descriptor)  # noqa: PTH116  (no path for each)
    except OSError:  # closed meanwhile
        return 0, 0
    if not stat.S_ISCHR(status.st_mode):
        return 0, 0
    stands = name.startswith("/dev/") and not name.endswith(" (deleted)")
    return status.st_rdev, 0 if stands else status.st_ctime_ns
