"""A kernel that has become slower is told from a machine that is noisy.

a [tap] -- tc filters, none of which matches -- … -- b [tap]
"""

from __future__ import annotations

import shutil
import subprocess
from functools import partial

import pytest

from harness.bench.comparison import compare_runs
from harness.bench.contrast import Difference
from harness.bench.crew import Crew
from harness.bench.measurement import Test
from harness.bench.paths import PATHS
from harness.bench.plan import QUICK, Selection
from harness.bench.session import Session

pytestmark = [pytest.mark.root, pytest.mark.alone]

TOOLS = "/usr/sbin:/sbin:/usr/bin:/bin"
FILTERS = 60  # a third of the rate
ATTEMPTS = 3
PLAN = QUICK.only(
    Selection.of(tests=[Test.FORWARDING], paths=[PATHS[0].name], frames=["64"], rounds=15)
)


class Silent:
    """Nobody wants to know how far it has got."""

    def step(self, done, total, text):
        pass

    def rate(self, frames_per_second):
        pass


def filtered(path):
    """Have every frame of the sender's held against the filters."""
    link = path.a.link
    match = "protocol all u32 match u32 0xdeadbeef 0xffffffff at 20 flowid 1:1"
    commands = [f"qdisc add dev {link} clsact"]
    commands += [f"filter add dev {link} egress prio {n + 1} {match}" for n in range(FILTERS)]
    work = partial(
        subprocess.run,
        [shutil.which("tc", path=TOOLS), "-batch", "-"],
        input="\n".join(commands).encode(),
        capture_output=True,
    )
    done = path.a.ns.run(work)
    if done.returncode:
        pytest.skip(f"tc cannot do it here: {done.stderr.decode()}")


@pytest.mark.skipif(not shutil.which("tc", path=TOOLS), reason="tc is not installed")
def test_slowdown():
    """Once in three attempts: base and again are alike, base and filtered are not."""
    seen = []
    with Crew() as crew:

        def measure(**options):
            return Session(PLAN, crew, Silent(), **options).run(kernel="", machine="", command="")

        for _ in range(ATTEMPTS):
            base, again, slow = measure(), measure(), measure(opened=filtered)
            seen.append((compare_runs(base, again).verdict, compare_runs(base, slow).verdict))
            if seen[-1] == (Difference.NONE, Difference.SLOWER):
                return
    pytest.fail(f"base against again, and against what was slowed down: {seen}")
