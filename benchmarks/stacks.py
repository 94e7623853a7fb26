"""Times iperf3 TCP through macvtap, and prints docs/performance.md's table of it.

    sudo .venv/bin/python benchmarks/stacks.py

    a [stack] = pump = [tap]--.
                              lower [stack] ----- switch ----- external [stack]
    b [stack] = pump = [tap]--'

All ways are taken in turn, several times over, so that what else the machine does meanwhile
falls on all of them; the table has the median, the range, and how many CPUs were busy with
something else than the way in question. "No pump" is the host's own stack, over the same wire.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from harness import Guest, Lower, Mode, Switch, Topology
from harness.kernel.features import probe
from harness.kernel.privileges import ensure_namespaces
from harness.kernel.processes import find_program
from harness.kernel.procnet import listening
from harness.testbed.stacks import Stacks

ROUNDS = 7
SECONDS = 2
PORT = 5201
BIGGEST = 65521  # bytes: the largest MTU of a tun device (tun_net_initialize)


@dataclass
class Way:
    """From one station to another on one topology, and what was measured so far."""

    what: str
    wanted: str
    mode: Mode
    sender: str
    to: str
    mtu: int = BIGGEST
    hairpin: bool = False
    rates: list[float] = field(default_factory=list)
    strangers: list[float] = field(default_factory=list)

    @property
    def topology(self) -> Topology:
        """Two guests of that mode."""
        guests = [Guest("a", self.mode), Guest("b", self.mode)]
        switch = Switch(hairpin=self.hairpin)
        return Topology(guests, lowers=[Lower(mtu=self.mtu)], switch=switch)


WAYS = [
    Way("no pump: host → external", "", Mode.BRIDGE, "lower", "external"),
    Way("guest → external", "≥ 20 Gb/s", Mode.BRIDGE, "a", "external"),
    Way("external → guest", "≥ 20 Gb/s", Mode.BRIDGE, "external", "a"),
    Way("guest → guest, bridge", "≥ 20 Gb/s", Mode.BRIDGE, "a", "b"),
    Way("guest → guest, vepa, hairpin", "", Mode.VEPA, "a", "b", hairpin=True),
    Way("no pump: host → external, MTU 1500", "", Mode.BRIDGE, "lower", "external", mtu=1500),
    Way("guest → external, MTU 1500", "", Mode.BRIDGE, "a", "external", mtu=1500),
    Way("guest → guest, bridge, MTU 1500", "", Mode.BRIDGE, "a", "b", mtu=1500),
]


def busy_seconds() -> float:
    """CPU seconds that this machine has worked since it started."""
    ticks = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def family_seconds() -> float:
    """CPU seconds of our children and theirs, as far as they live."""
    total = 0.0
    here = Path("/proc/self/ns/pid_for_children").stat().st_ino
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "ns/pid").stat().st_ino != here:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return total


def measure(way: Way, net: Stacks) -> None:
    """One run of iperf3 along the way."""
    ns = net.namespace(way.to)
    with net.spawn(way.to, ["iperf3", "-s", f"-p{PORT}"], ready=listening(ns, PORT)):
        started, busy, ours = time.perf_counter(), busy_seconds(), family_seconds()
        client = net.run(
            way.sender,
            ["iperf3", "-c", net.topology.ips[way.to], f"-p{PORT}", f"-t{SECONDS}", "-J"],
            timeout=SECONDS + 20,
        ).checked()
        elapsed = time.perf_counter() - started
        busy, ours = busy_seconds() - busy, family_seconds() - ours
    end = json.loads(client.stdout)["end"]
    ours += end["cpu_utilization_percent"]["host_total"] / 100 * SECONDS  # the client is gone
    way.rates.append(end["sum_received"]["bits_per_second"] / 1e9)
    way.strangers.append(max(0.0, busy - ours) / elapsed)


def main() -> None:
    """Measure every way in turn, print the table."""
    find_program("iperf3")
    ensure_namespaces()
    features = probe()
    print(
        f"Linux {features.kernel}, {features.machine}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}, backend {features.backend}\n"
    )
    with ExitStack() as up:
        nets = {}
        for way in WAYS:
            if way.topology not in nets:
                net = Stacks(way.topology, backend=features.backend)
                nets[way.topology] = up.enter_context(net)
        for _ in range(ROUNDS):
            for way in WAYS:
                measure(way, nets[way.topology])
    print("| iperf3 TCP | wanted | median | range | CPUs busy elsewhere |\n|---|---|---|---|---|")
    for way in WAYS:
        print(
            f"| {way.what} | {way.wanted} | {statistics.median(way.rates):.1f} Gb/s "
            f"| {min(way.rates):.1f} – {max(way.rates):.1f} "
            f"| {statistics.median(way.strangers):.1f} |"
        )


if __name__ == "__main__":
    main()
