"""How much is measured, and what the parts have in common."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from harness.bench.measurement import Better, Limit, Measurement, Test
from harness.errors import KernelError, UnfitError
from harness.kernel.features import Backend, probe
from harness.parts import Guest, Mode, Switch
from harness.topology import Topology

__all__ = [
    "FULL",
    "QUICK",
    "Progress",
    "ScaleBudget",
    "counted",
    "crowd",
    "figure",
    "need_taps",
    "room_for",
    "timed",
]

Progress = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class ScaleBudget:
    """What is measured, and how often.

    `guests`, `lives`, `addresses` (two or more) and `groups` are the sizes that things grow to:
    `races` rounds are run with so many `guests` against `ip -batch`, `rounds` of everything else,
    `weighings` of their memory; with so many guests as `lives` says a testbed is made, proved and
    removed. `broadcasts` are timed in each round; `flood` frames are sent in one go to overrun the
    broadcast queue, none when it is 0. `seconds` is how long a forwarding rate is measured for
    each sample.
    """

    guests: tuple[int, ...]
    lives: tuple[int, ...]
    addresses: tuple[int, ...]
    groups: tuple[int, ...]
    races: int
    rounds: int
    weighings: int
    broadcasts: int
    flood: int
    seconds: float


QUICK = ScaleBudget(
    guests=(1, 10, 100),
    lives=(100,),
    addresses=(2, 256, 4096),
    groups=(1, 256),
    races=3,
    rounds=2,
    weighings=1,
    broadcasts=20,
    flood=0,
    seconds=0.04,
)
FULL = ScaleBudget(
    guests=(1, 10, 100, 1000),
    lives=(1, 10, 100, 1000),
    addresses=(2, 16, 256, 1024, 4096, 16384),
    groups=(1, 16, 256, 1024),
    races=9,
    rounds=6,
    weighings=5,
    broadcasts=100,
    flood=2048,
    seconds=0.25,
)

_REMEDIES = {
    errno.ENOMEM: "measure fewer guests, or give the machine more memory",
    errno.EMFILE: "raise the limit of open files: ulimit -n",
    errno.ENFILE: "raise the machine's limit of open files: sysctl -w fs.file-max=…",
}


def crowd(guests: int) -> Topology:
    """So many guests in bridge mode on one lower device, behind a switch that does not reflect."""
    return Topology([Guest(f"g{i}", Mode.BRIDGE) for i in range(guests)], switch=Switch())


def counted(number: int, what: str) -> str:
    """``1,000 guests``, ``1 guest``."""
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{number:,} {what if number == 1 else plural}"


def figure(
    path: str,
    number: int,
    what: str,
    unit: str,
    samples: Sequence[float],
    *,
    test: Test = Test.SCALE,
    better: Better = Better.LOWER,
    frame: str = "",
    limited_by: Limit | None = None,
    note: str = "",
) -> Measurement:
    """A measurement at so many of `what` (guest, group): its variant, and the point of its curve.

    Less is better, unless it says otherwise.
    """
    return Measurement(
        test,
        path,
        frame,
        unit,
        tuple(samples),
        variant=counted(number, what),
        better=better,
        limited_by=limited_by,
        curve=((float(number), median(samples)),),
        note=note,
    )


@contextmanager
def room_for(guests: int) -> Iterator[None]:
    """What the machine runs out of is no fault of the kernel: raises UnfitError for it."""
    try:
        yield
    except KernelError as error:
        if error.errno not in _REMEDIES:
            raise
        raise UnfitError(
            f"{counted(guests, 'guest')} do not fit this machine ({error})",
            remedy=_REMEDIES[error.errno],
        ) from error


def need_taps() -> None:
    """Raises UnfitError where tap descriptors cannot be opened."""
    features = probe()
    if features.backend is not Backend.TAP:
        raise UnfitError(features.backend_reason, remedy="run as root (sudo)")


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
