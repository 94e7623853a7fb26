"""What a figure was limited by, from where the CPU time went."""

from __future__ import annotations

from harness.bench.measurement import Limit
from harness.kernel.cpu import CpuUse

__all__ = ["by_cpu_time"]

_OWN = 0.35  # of the CPU time outside of the kernel: more, and the sender is the limit


def by_cpu_time(use: CpuUse) -> Limit:
    """The sender's own work, or the kernel's, where nothing was lost."""
    own = use.user / max(1, use.user + use.system)
    return Limit.SENDER if own > _OWN else Limit.KERNEL
