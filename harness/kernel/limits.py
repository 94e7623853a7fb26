"""How many descriptors this process may have open (RLIMIT_NOFILE)."""

from __future__ import annotations

import os
import resource

from harness.errors import UnfitError

__all__ = ["allow_descriptors"]

_SPARE = 64  # for what is opened and closed meanwhile


def allow_descriptors(count: int) -> None:
    """Make room for `count` more descriptors, by raising the soft limit to the hard one if need be.

    Raises UnfitError when the hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited:
        return
    needed = len(os.listdir("/proc/self/fd")) + count + _SPARE  # noqa: PTH208  (names alone)
    if needed <= soft:
        return
    if hard != unlimited and needed > hard:
        raise UnfitError(
            f"{needed:,} files must be open at once, and this process may open {hard:,}",
            remedy=f"raise the hard limit: ulimit -Hn {needed} as root (systemd: LimitNOFILE=)",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
