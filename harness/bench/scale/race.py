"""Guests up: our batches against `ip -batch`, turn by turn, the same links each time."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass

from harness.bench.measurement import Measurement
from harness.bench.scale.budget import (
    Progress,
    ScaleBudget,
    counted,
    crowd,
    figure,
    room_for,
    timed,
)
from harness.bench.scale.canary import Canary
from harness.errors import UnfitError
from harness.kernel.limits import allow_descriptors
from harness.kernel.processes import Family, find_program
from harness.resource import Resource
from harness.testbed.wiring import Wiring
from harness.topology import Topology

__all__ = ["Taken", "batch_text", "create", "create_by_ip", "races"]

_EACH = "ms/guest"
_LIVE = 1000  # guests that may be there at once
_DESCRIPTORS = 32  # of a network
_IP_WITHIN = 120.0  # seconds


def batch_text(topology: Topology, wiring: Wiring) -> str:
    """What `ip -batch` must read to make the same macvtaps as `Wiring.add_guests`."""
    return "".join(
        f"link add name {g.name} index {wiring.index[g.name]} link {g.lower} "
        f"address {g.mac} up type macvtap mode {g.mode}\n"
        for g in topology.guests
    )


@dataclass(frozen=True)
class Taken:
    """Seconds on the clock, and of CPU time: our thread's, or the program's."""

    wall: float
    cpu: float


def create_by_ip(family: Family, wiring: Wiring) -> Taken:
    """Let `ip -batch` make the guests, process and all. Raises CommandError."""
    fd = os.memfd_create("batch", os.MFD_CLOEXEC)
    try:
        os.write(fd, batch_text(wiring.topology, wiring).encode())
        command = ["ip", "-batch", f"/proc/{os.getpid()}/fd/{fd}"]
        cpu = _cpu_of_children()
        wall = timed(lambda: family.run(wiring.host, command, timeout=_IP_WITHIN).checked())
        return Taken(wall, _cpu_of_children() - cpu)
    finally:
        os.close(fd)


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def create(wiring: Wiring) -> Taken:
    """Make the guests ourselves. Raises KernelError."""
    cpu = time.thread_time()
    wall = timed(lambda: wiring.add_guests(wiring.topology.guests))
    return Taken(wall, time.thread_time() - cpu)


class _Places(Resource):
    """Networks waiting for their guests. Use it in a `with` statement.

    While the kernel removes one namespace it is slower at filling the next: so small crowds stay,
    and go all together, and none begins before the last has gone.
    """

    def __init__(self) -> None:
        self._guests = 0
        self._live = ExitStack()
        self._watching: list[Canary] = []

    def take(self, topology: Topology) -> Wiring:
        """A network without its guests. Raises KernelError, UnfitError."""
        allow_descriptors(_DESCRIPTORS)
        guests = len(topology.guests)
        if self._guests and self._guests + guests > _LIVE:
            self.clear()
        self._guests += guests
        wiring = self._live.enter_context(Wiring(topology))
        wiring.build_network()
        self._watching.append(Canary(wiring.host))
        return wiring

    def clear(self) -> None:
        """Remove all there are, and return once they have gone. Raises KernelError."""
        self._guests = 0
        self._live.close()
        for canary in self._watching:
            canary.wait()
        self.close()

    def close(self) -> None:
        """Remove all there are; idempotent."""
        self._live.close()
        while self._watching:
            self._watching.pop().close()


def races(
    budget: ScaleBudget, progress: Progress, missing: MutableMapping[str, str]
) -> Iterator[Measurement]:
    """Time for each guest to be up, and of `ip -batch`: process and all, as a user starts it."""
    try:
        find_program("ip")
        rival = True
    except UnfitError as error:
        missing["ip -batch"] = str(error)
        rival = False
    with Family() as family, _Places() as places:
        for guests in budget.guests:
            mine: list[Taken] = []
            theirs: list[Taken] = []
            for at in range(budget.races):
                said = f"{counted(guests, 'guest')} up, {at + 1} of {budget.races}"
                with room_for(guests):
                    progress(said)
                    mine.append(create(places.take(crowd(guests))))
                    if rival:
                        progress(f"{said}, ip -batch")
                        theirs.append(create_by_ip(family, places.take(crowd(guests))))
            yield figure("guests up", guests, "guest", _EACH, _each(mine, guests))
            if rival:
                yield from _compared(guests, mine, theirs)
        places.clear()


def _each(taken: list[Taken], guests: int) -> list[float]:
    return [1e3 * x.wall / guests for x in taken]


def _compared(guests: int, mine: list[Taken], theirs: list[Taken]) -> Iterator[Measurement]:
    pairs = list(zip(mine, theirs, strict=True))
    yield figure("guests up, ip -batch", guests, "guest", _EACH, _each(theirs, guests))
    note = "round by round; ip's own start is included"
    of_ip = [a.wall / b.wall for a, b in pairs]
    cpu_of_ip = [a.cpu / b.cpu for a, b in pairs]
    yield figure("guests up, of ip -batch", guests, "guest", "×", of_ip, note=note)
    note = f"{note}; says what a busy machine hides"
    yield figure("guests up, CPU time of ip -batch's", guests, "guest", "×", cpu_of_ip, note=note)
