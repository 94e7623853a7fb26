"""The index of a kernel's modules, which modprobe reads: modules.dep and its like.

kmod's depmod makes it where there is one, else busybox's, which reads .ko, .ko.gz and .ko.xz.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from harness.errors import UnfitError
from harness.kernel.processes import find_program, run_here

__all__ = ["depmod"]


def depmod(base: Path, release: str) -> None:
    """Make the index of base/lib/modules/RELEASE, in it.

    Raises UnfitError where that cannot be made, OSError for a full disk.
    """
    modules = base / "lib/modules" / release
    try:
        find_program("depmod")
        command = ["depmod"]
    except UnfitError as error:
        if next(modules.glob("**/*.ko.zst"), None):
            raise UnfitError(
                f"{error.cause}, and busybox does not read the .ko.zst of {release}",
                remedy="apt install kmod",
            ) from error
        command = ["busybox", "depmod"]
    done = run_here(
        [*command, "-b", str(base), release], timeout=120, environment={"LC_ALL": "C.UTF-8"}
    )
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(modules))
    if not done.ok or not (modules / "modules.dep").is_file():
        lines = done.stderr.strip().splitlines()
        raise UnfitError(
            f"the modules of {release} cannot be indexed: {lines[-1] if lines else done.status}",
            remedy="fetch or build them again",
        )
