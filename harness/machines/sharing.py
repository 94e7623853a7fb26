"""How many machines run at a time here, and how many CPUs each has."""

from __future__ import annotations

from pathlib import Path

from harness.kernel.memory import parse_meminfo

__all__ = ["room", "shared_out"]

_BESIDE = 256  # MiB: what QEMU and virtiofsd take besides a machine's memory
# Of a machine, when not asked for more: each worker has networks of its own to build.
_MOST_CPUS = 4


def room(memory: int) -> int:
    """Machines with that many mebibytes that this one has room for at a time: one at least."""
    free = parse_meminfo(Path("/proc/meminfo").read_text()).get("MemAvailable", 0) >> 20
    return max(1, free // (memory + _BESIDE))


def shared_out(
    here: int, kernels: int, cpus: int | None = None, jobs: int | None = None
) -> tuple[int, int]:
    """CPUs of each machine, and machines at a time: what was asked for, the rest by what is here.

    Several machines of one CPU each do more than one of several: nothing is done twice in them.
    """
    if cpus is None:
        cpus = min(_MOST_CPUS, max(1, here // min(kernels, jobs or here)))
    return cpus, min(kernels, jobs or max(1, here // cpus))
