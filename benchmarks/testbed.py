"""Times what hairpin itself costs, and prints docs/performance.md's table.

    .venv/bin/python benchmarks/testbed.py

Every figure is taken several times; the table has the median, and the range it lies in.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from harness import BROADCAST, Guest, Mode, Stimulus, Switch, Testbed, Topology
from harness.kernel.features import Backend, probe
from harness.kernel.privileges import ensure_namespaces
from harness.kernel.stock import Stock

FOUR_GUESTS = Topology([Guest(name, Mode.VEPA) for name in "abcd"], switch=Switch(hairpin=True))
TWO_GUESTS = Topology([Guest("a"), Guest("b")])


def rate(work: Callable[[], object], *, times: int) -> float:
    """How often a second `work` is done, over `times` calls."""
    started = time.perf_counter()
    for _ in range(times):
        work()
    return times / (time.perf_counter() - started)


def verdicts_per_second(backend: Backend, stimulus: Stimulus, *, times: int) -> list[float]:
    """Verdicts with four guests: sent, every observer read to its sentinel, compared."""
    with Testbed(FOUR_GUESTS, backend=backend) as bed:

        def verdict() -> None:
            if not bed.agrees(stimulus):
                raise SystemExit(f"{stimulus}: a verdict differs; figures would mean nothing")

        rate(verdict, times=times // 10)
        return [rate(verdict, times=times) for _ in range(9)]


def milliseconds_up(backend: Backend) -> tuple[list[float], list[float]]:
    """Two guests, switch and external host: up and ready; and down again.

    All are up before the first goes down: the kernel makes no namespace while it removes others.
    """
    up, down, beds = [], [], []
    with Stock() as stock:
        for _ in range(31):
            started = time.perf_counter()
            beds.append(Testbed(TWO_GUESTS, backend=backend, stock=stock))
            up.append((time.perf_counter() - started) * 1e3)
        for bed in reversed(beds):  # the first has pinned this thread: it goes last
            started = time.perf_counter()
            bed.close()
            down.append((time.perf_counter() - started) * 1e3)
    return up[1:], down  # the first one imports what the others find


def seconds_of_run() -> list[float]:
    """The whole of `hairpin run`, as a process."""
    taken = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            command = [sys.executable, "-m", "harness", "run", "--output", folder]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            taken.append(time.perf_counter() - started)
    return taken


def row(what: str, wanted: str, figures: list[float], unit: str) -> None:
    """One line of the table."""
    middle = statistics.median(figures)
    digits = 0 if middle >= 100 else 1
    print(
        f"| {what} | {wanted} | {middle:,.{digits}f} {unit} "
        f"| {min(figures):,.{digits}f} – {max(figures):,.{digits}f} |",
        flush=True,
    )


def main() -> None:
    """Measure everything, print the table."""
    ensure_namespaces()
    features = probe()
    backend = features.backend
    print(
        f"Linux {features.kernel}, {features.machine}, Python {platform.python_version()}, "
        f"backend {backend}\n\n| what | wanted | median | range |\n|---|---|---|---|"
    )
    unicast = verdicts_per_second(backend, Stimulus("a", "b"), times=10_000)
    row("verdicts, unicast, four guests", "≥ 30,000 /s", unicast, "/s")
    broadcast = verdicts_per_second(backend, Stimulus("a", BROADCAST), times=1_000)
    row("verdicts, broadcast, four guests", "", broadcast, "/s")
    up, down = milliseconds_up(backend)
    row("testbed up: two guests, switch, external", "≤ 15 ms", up, "ms")
    row("testbed down", "", down, "ms")
    row("`hairpin run`, whole", "≤ 10 s", seconds_of_run(), "s")


if __name__ == "__main__":
    main()
