"""Killed at any moment, hairpin leaves nothing behind.

The whole machine is compared before and after: links, named namespaces, device nodes, mounts,
processes of ours, network namespaces that processes hold.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MARK = "HAIRPIN_CRASH_TEST"


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _machine():
    """What a leak would show in."""
    links = Path("/proc/net/dev").read_text()
    return {
        "links": sorted(line.split(":")[0].strip() for line in links.splitlines()[2:]),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "named namespaces": sorted(p.name for p in Path("/run/netns").glob("*")),
        "tap nodes": sorted(str(p) for p in Path("/dev").glob("tap*")),
    }


def _ours():
    """Processes that bear our mark in their environment, but for this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) != os.getpid() and MARK.encode() in _read(folder / "environ"):
            found.append(folder.name)
    return found


def _becomes(expected, look, seconds=15):
    """What `look` sees in the end: `expected`, or what is left after so many seconds.

    Killed processes are reaped by whoever is init here, and namespaces are removed by a worker
    of the kernel (cleanup_net), with the device nodes of their links: both take a moment.
    """
    deadline = time.monotonic() + seconds
    while (seen := look()) != expected and time.monotonic() < deadline:
        os.sched_yield()
    return seen


@pytest.mark.parametrize(
    "signum", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name
)
def test_killed_at_random_moments(tmp_path, signum):
    """Twelve runs each, ended somewhere between start and finish."""
    before = _machine()
    choose = random.Random(signum)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    for attempt in range(12):
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", "run", "-k", "test_guest_to_guest or test_broadcast"],
            cwd=tmp_path,
            env=os.environ | {MARK: str(attempt), "TMPDIR": str(temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            # The moment is the test's subject, not a wait for something.
            process.wait(timeout=choose.uniform(0.05, 1.6))
        except subprocess.TimeoutExpired:
            process.send_signal(signum)
        status = process.wait(timeout=20)
        assert status in (0, -signum, 128 + signum, 130, 143), f"attempt {attempt}: exit {status}"
        assert _becomes([], _ours) == [], f"attempt {attempt}: processes left"
        assert _becomes(before, _machine) == before, f"attempt {attempt}"
    assert list(temporary.iterdir()) == []
    assert {p.name for p in tmp_path.iterdir()} <= {".hairpin", "tmp"}


def test_testbed_leaves_no_descriptor():
    """Twenty testbeds up and down: as many descriptors and threads as before."""
    script = """
import os, threading
from harness import Guest, Mode, Router, Stimulus, Testbed, Topology
from harness.kernel.features import probe
from harness.kernel.privileges import ensure_namespaces
ensure_namespaces()
backend = probe().backend
guests = [Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE, groups=("03:68:70:00:00:01",))]
topology = Topology(guests, router=Router())
counts = []
for _ in range(20):
    with Testbed(topology, backend=backend) as bed:
        bed.check(Stimulus("a", "b"))
    descriptors = len(os.listdir("/proc/self/fd"))
    counts.append((descriptors, threading.active_count(), len(os.sched_getaffinity(0))))
assert len(set(counts)) == 1, counts
assert counts[0][1] == 1, counts
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
