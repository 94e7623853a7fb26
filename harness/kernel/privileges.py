"""Becoming able to make namespaces: as root at once, otherwise in a user namespace."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

from harness.errors import UnfitError
from harness.kernel.syscalls import CLONE_NEWUSER, unshare

__all__ = ["ensure_namespaces"]

_CAP_NET_ADMIN = 12
_CAP_SYS_ADMIN = 21
_SYSCTLS = (
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user.max_user_namespaces", "0", "65536"),
)


def _has(capability: int) -> bool:
    for line in Path("/proc/thread-self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> capability & 1)
    return False


def ensure_namespaces() -> None:
    """Make this process able to create network namespaces, entering a user namespace if needed.

    Call it before threads start: unshare(2) refuses CLONE_NEWUSER to a process with several.
    Raises UnfitError when the system forbids user namespaces.
    """
    if _has(_CAP_SYS_ADMIN) and _has(_CAP_NET_ADMIN):
        return
    uid, gid = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as error:
        raise UnfitError(
            "without root a user namespace is needed, and the kernel refuses one "
            f"({error.strerror})",
            remedy=_remedy(error.errno or 0),
        ) from error
    if not (_has(_CAP_SYS_ADMIN) and _has(_CAP_NET_ADMIN)):
        raise UnfitError(
            "the user namespace came without capabilities (a security module took them)",
            remedy=_remedy(errno.EPERM),
        )


def _remedy(number: int) -> str:
    if number == errno.EINVAL and threading.active_count() > 1:
        return "start it from a process without threads, or as root: sudo hairpin run"
    for name, bad, good in _SYSCTLS:
        path = Path("/proc/sys", *name.split("."))
        try:
            if path.read_text().strip() == bad:
                return f"run as root (sudo), or allow it: sysctl -w {name}={good}"
        except OSError:
            continue
    return "run as root (sudo)"
