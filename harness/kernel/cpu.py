"""What the calling thread has cost: CPU time by user and system, and instructions where told."""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.kernel.syscalls import open_instruction_counter
from harness.resource import Resource

__all__ = ["CpuMeter", "CpuUse", "two_cores"]

_TOPOLOGY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class CpuUse:
    """CPU time in ns, and instructions (None where the machine does not count them)."""

    user: int
    system: int
    instructions: int | None = None

    def __add__(self, other: CpuUse) -> CpuUse:
        both = None
        if self.instructions is not None and other.instructions is not None:
            both = self.instructions + other.instructions
        return CpuUse(self.user + other.user, self.system + other.system, both)


class CpuMeter(Resource):
    """Counts what the thread that makes it uses from then on."""

    def __init__(self) -> None:
        try:
            self._counter = open_instruction_counter()
        except OSError:
            self._counter = -1
        self._before = self._now()

    def _now(self) -> tuple[int, int, int]:
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        instructions = 0
        if self._counter >= 0:
            (instructions,) = struct.unpack("=Q", os.read(self._counter, 8))
        return round(usage.ru_utime * 1e9), round(usage.ru_stime * 1e9), instructions

    def used(self) -> CpuUse:
        """What has been used since it was made."""
        user, system, instructions = (
            now - before for now, before in zip(self._now(), self._before, strict=True)
        )
        return CpuUse(user, system, instructions if self._counter >= 0 else None)

    def close(self) -> None:
        """Give the counter back; idempotent."""
        if self._counter >= 0:
            os.close(self._counter)
            self._counter = -1


def two_cores(cpus: Iterable[int], *, topology: Path = _TOPOLOGY) -> tuple[int, int]:
    """Two of these CPUs: cores of their own if may be, not two threads of one, in one package.

    The same twice where there is only one. `topology` is sysfs' folder of CPUs.
    """

    def place(cpu: int) -> tuple[str, str]:
        folder = topology / f"cpu{cpu}" / "topology"
        try:
            package = (folder / "physical_package_id").read_text()
            return package.strip(), (folder / "core_id").read_text().strip()
        except OSError:  # not told: a core of its own
            return "", str(cpu)

    first, *others = sorted(cpus)
    package, core = place(first)

    def distance(cpu: int) -> tuple[bool, bool]:
        there, other = place(cpu)
        return (there, other) == (package, core), there != package

    return first, min(others, key=distance, default=first)
