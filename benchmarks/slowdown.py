"""Whether a slowdown is told from noise: the same benchmark thrice, the third time with a fault.

    sudo .venv/bin/python benchmarks/slowdown.py [--filters N]

The fault is a chain of tc filters on the sender's link of the first path, none of which matches. It
is switched on and off during a run of its own first, to know how much slower it makes that path.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from functools import partial

from harness.bench.comparison import compare_runs
from harness.bench.crew import Crew
from harness.bench.ends import Path
from harness.bench.measurement import Run, Test
from harness.bench.paths import PATHS, open_path
from harness.bench.plan import QUICK, Selection
from harness.bench.session import Session
from harness.bench.subjects import Forwarding
from harness.kernel.features import probe
from harness.report.benchcompared import print_bench_comparison
from harness.report.benchprogress import BenchProgress
from harness.report.terminal import make_console

ENOUGH = 20  # filters: some 15 % of the rate of frames of 64 bytes


def tc(path: Path, *commands: str) -> None:
    """Run tc commands where the sender's link is."""
    assert path.a.ns
    program = shutil.which("tc", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        sys.exit("tc is missing: apt install iproute2")
    batch = "\n".join(commands).encode()
    done = path.a.ns.run(
        partial(subprocess.run, [program, "-batch", "-"], input=batch, capture_output=True)
    )
    if done.returncode:
        sys.exit(done.stderr.decode())


def slow_down(path: Path, *, filters: int) -> None:
    """Have every frame that the sender sends held against so many filters."""
    match = "protocol all u32 match u32 0xdeadbeef 0xffffffff at 20 flowid 1:1"
    add = [f"filter add dev {path.a.link} egress prio {n + 1} {match}" for n in range(filters)]
    tc(path, f"qdisc add dev {path.a.link} clsact", *add)


def how_much(crew: Crew, filters: int) -> float:
    """Share of the rate that is left with the filters, fault on and off in turn."""
    shares = []
    for _ in range(7):
        ratios = []
        for fault in (False, True):
            with open_path(PATHS[0]) as path:
                if fault:
                    slow_down(path, filters=filters)
                subject = Forwarding(path, "64", seconds=0.1)
                subject.sample(crew)
                measured = subject.measurement()
                ratios.append(measured.value / measured.references[0])
        shares.append(ratios[1] / ratios[0])
    return sorted(shares)[len(shares) // 2]


def main() -> None:
    """Measure thrice, compare twice."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--filters", type=int, default=ENOUGH)
    arguments = parser.parse_args()
    features, progress = probe(), BenchProgress()
    plan = QUICK.only(Selection.of(tests=[Test.FORWARDING]))

    def fault(path: Path) -> None:
        if path.name == PATHS[0].name:
            slow_down(path, filters=arguments.filters)

    with Crew() as crew:
        share = how_much(crew, arguments.filters)
        print(f"{arguments.filters} filters leave {share:.1%} of the rate of {PATHS[0].name}, 64")

        def measure(opened: object = None) -> Run:
            session = Session(plan, crew, progress, *([opened] if opened else []))
            run = session.run(kernel=features.kernel, machine=features.machine, command="")
            progress.done()
            return run

        base, again, slower = measure(), measure(), measure(fault)
    console = make_console()
    for what, run in (("the same again", again), ("with the fault", slower)):
        console.rule(what)
        print_bench_comparison(compare_runs(base, run), console)


if __name__ == "__main__":
    main()
