"""Times what real guests take, and prints docs/guests.md's table of it.

    sudo .venv/bin/python benchmarks/guests.py [ROUNDS]

    libvirtd ── a [QEMU]--.
                          lower ----- switch ----- external
             ── b [QEMU]--'

The caches are warm: the image is made, and libvirt has asked QEMU what it can, before the first
round. Medians and ranges of all rounds; "others" is how many CPUs somebody else was using.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness import Guest, Mode, Stimulus, Switch, Topology
from harness.guests.accelerator import working_accelerator
from harness.guests.bed import GuestBed
from harness.guests.daemon import Libvirtd
from harness.guests.host import GuestHost, Wanted
from harness.guests.nic import DirectInterface
from harness.guests.tiny.image import image
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family
from harness.kernel.waiting import look_until
from harness.testbed.wiring import Wiring

ROUNDS = 7
MODES = (Mode.BRIDGE, Mode.VEPA, Mode.PRIVATE)
TCP_BYTES = 100_000
QUIET = 0.15  # of a CPU
SETTLED_WITHIN = 60.0


def topology(mode: Mode, *, hairpin: bool) -> Topology:
    """Two guests of that mode."""
    return Topology([Guest("a", mode), Guest("b", mode)], switch=Switch(hairpin=hairpin))


class Times:
    """What was measured, by what it is of, in seconds."""

    def __init__(self) -> None:
        self.of: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """The time of the block."""
        started = time.perf_counter()
        yield
        self.of.setdefault(what, []).append(time.perf_counter() - started)


def one_round(timed: Times) -> None:
    """A daemon by itself, then a testbed and the whole matrix on it."""
    with NetNS.create() as ns, Family() as family:
        with timed("libvirtd up, and answering"):
            libvirtd = Libvirtd(family, ns)
            connection = libvirtd.connect()
            connection.handle.getCapabilities()
        libvirtd.close()
    with Wiring(Topology()) as wiring:
        wiring.build()
        nics = [
            DirectInterface(source="lower", mode=MODES[0], model="virtio", target=name)
            for name in "ab"
        ]
        with (
            GuestHost(wiring.host, image()) as host,
            timed("two guests up, each agent answering"),
        ):
            host.start_all([Wanted(nic.target, (nic,)) for nic in nics])
    accelerator = working_accelerator(image())
    with timed("all of it: bridge, vepa, private × hairpin, from nothing to the last ping"):
        with timed("testbed with libvirtd and two guests up, heard and reached"):
            bed = GuestBed(topology(MODES[0], hairpin=False), image(), accelerator=accelerator)
        with bed, timed("matrix: frame, broadcast, ping, TCP in six networks"):
            for mode in MODES:
                for hairpin in (False, True):
                    bed.become(topology(mode, hairpin=hairpin))
                    for to in ("b", "broadcast"):
                        bed.check(Stimulus("a", to))
                    bed.ping("a", "b")
                    bed.transfer("a", "b", size=TCP_BYTES)


def busy() -> float:
    """Seconds of CPU time that the machine has spent on anything, so far."""
    with open("/proc/stat") as file:  # noqa: PTH123
        user, nice, system, _, _, interrupt, soft, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + interrupt + soft + steal) / os.sysconf("SC_CLK_TCK")


def others() -> float:
    """CPUs in use while we do nothing, over half a second."""
    before, started = busy(), time.perf_counter()
    look_until(time.perf_counter, lambda now: now - started > 0.5, within=1.0)
    return (busy() - before) / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    one_round(Times())  # fills the caches
    timed, strangers = Times(), []
    for _ in range(rounds):
        strangers.append(look_until(others, lambda used: used < QUIET, within=SETTLED_WITHIN))
        one_round(timed)
    print(f"Linux {platform.release()}, {os.cpu_count()} CPUs, {working_accelerator(image())}, ")
    print(f"{rounds} rounds, others: {max(strangers):.2f} CPUs at most before a round\n")
    print("| what | median | range |\n|---|---|---|")
    for what, seconds in timed.of.items():
        median = statistics.median(seconds)
        print(f"| {what} | {median:.2f} s | {min(seconds):.2f}–{max(seconds):.2f} s |")


if __name__ == "__main__":
    main()
