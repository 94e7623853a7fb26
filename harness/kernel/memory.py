"""Memory that the kernel has given away: what its objects take, not what it keeps at hand."""

from __future__ import annotations

import select
import time
from pathlib import Path

__all__ = ["kernel_memory", "parse_meminfo", "parse_slabinfo", "settled_kernel_memory"]

_BETWEEN = 0.02  # seconds between two looks
_LOOKS = 2  # that must be alike


def parse_slabinfo(text: str) -> int:
    """Bytes of the objects in use, of /proc/slabinfo (slab_show, mm/slab_common.c).

    Each line has: name, objects in use, objects there are, size of one, …
    """
    rows = [line.split() for line in text.splitlines()[2:]]
    return sum(int(row[1]) * int(row[3]) for row in rows)


def parse_meminfo(text: str) -> dict[str, int]:
    """Each line of /proc/meminfo, in bytes."""
    rows = [line.split() for line in text.splitlines()]
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3}


def kernel_memory() -> int:
    """Bytes in slab objects and per-CPU variables at this moment.

    As root they are counted object by object. Otherwise they are counted by pages, of which the
    kernel keeps some for objects to come: what follows a removal seems cheaper than it is.
    """
    pages = parse_meminfo(Path("/proc/meminfo").read_text())
    try:
        objects = parse_slabinfo(Path("/proc/slabinfo").read_text())
    except OSError:
        objects = pages.get("Slab", 0)
    return objects + pages.get("Percpu", 0)


def settled_kernel_memory(*, still: int, within: float = 2.0) -> int:
    """`kernel_memory` once it moves by no more than `still` bytes: RCU frees with a delay.

    On a machine where it never stands still, what it is after `within` seconds.
    """
    give_up = time.monotonic() + within
    before, alike = kernel_memory(), 0
    while True:
        select.select([], [], [], _BETWEEN)
        now = kernel_memory()
        alike = alike + 1 if abs(now - before) <= still else 0
        if alike == _LOOKS or time.monotonic() > give_up:
            return now
        before = now
