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

from harness.errors import UnfitError
from harness.kernel.processes import find_program

pytestmark = pytest.mark.alone

MARK = "HAIRPIN_CRASH_TEST"
GUESTS_NEED = (b"libvirtd", b"qemu-system", b"lldpad")


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _machine():
    """What a leak would show in."""
    links = Path("/proc/net/dev").read_text()
    return {
        "links": {line.split(":")[0].strip() for line in links.splitlines()[2:]},
        "mounts": set(Path("/proc/self/mountinfo").read_text().splitlines()),
        "named namespaces": {p.name for p in Path("/run/netns").glob("*")},
        "tap nodes": {str(p) for p in Path("/dev").glob("tap*")},
        "sockets": {str(p) for p in Path("/run").rglob("*") if p.is_socket()},
        "places": {str(p) for x in ("/var/tmp", "/var/lib") for p in Path(x).glob("*")},
    }


def _added(before):
    """What there is more than before; what others had left and is gone now is not ours."""
    now = _machine()
    return {what: now[what] - before[what] for what in now if now[what] - before[what]}


def _ours(names=(), others=()):
    """Processes that bear our mark in their environment, or one of these names; not `others`.

    Who has ended, and waits for whoever is init here to notice, is no more.
    """
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) in (os.getpid(), *others) or b"\nState:\tZ" in _read(folder / "status"):
            continue
        name = _read(folder / "comm").strip()
        if MARK.encode() in _read(folder / "environ") or name.startswith(tuple(names)):
            found.append((int(folder.name), name))
    return found


def _need_guests(programs):
    """Skips where there are none, as root only."""
    if os.geteuid():
        pytest.skip("real guests take root")
    try:
        for program in ("libvirtd", "qemu-system-x86_64", *programs):
            find_program(program)
        from harness.guests.daemon import Libvirtd  # noqa: F401
        from harness.guests.tiny.image import image

        image()
    except UnfitError as error:
        pytest.skip(str(error))


def _becomes(expected, look, seconds=15):
    """What `look` sees in the end: `expected`, or what is left after so many seconds.

    Killed processes are reaped by whoever is init here, and namespaces are removed by a worker
    of the kernel (cleanup_net), with the device nodes of their links: both take a moment.
    """
    deadline = time.monotonic() + seconds
    while (seen := look()) != expected and time.monotonic() < deadline:
        os.sched_yield()
    return seen


RUN = ["run", "-k", "test_guest_to_guest or test_broadcast"]
GUESTS = ["guests", "-k", "test_matrix or test_domains"]
STATIONS = ["vsi", "test", "-k", "test_exchange or test_traffic"]


@pytest.mark.parametrize(
    "signum", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name
)
@pytest.mark.parametrize(
    ("command", "attempts", "longest"),
    [(RUN, 12, 1.6), (GUESTS, 8, 6.0), (STATIONS, 4, 6.0)],
    ids=["run", "guests", "vsi"],
)
def test_killed_at_random_moments(tmp_path, command, attempts, longest, signum):
    """Several runs each, ended somewhere between start and finish."""
    names = () if command is RUN else GUESTS_NEED
    if names:
        _need_guests(["lldpad"] if command is STATIONS else [])
    before, others = _machine(), [number for number, _ in _ours(names)]
    choose = random.Random(signum)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    for attempt in range(attempts):
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", *command],
            cwd=tmp_path,
            env=os.environ | {MARK: str(attempt), "TMPDIR": str(temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            # The moment is the test's subject, not a wait for something.
            process.wait(timeout=choose.uniform(0.05, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signum)
        status = process.wait(timeout=20)
        assert status in (0, -signum, 128 + signum, 130, 143), f"attempt {attempt}: exit {status}"
        assert _becomes([], lambda: _ours(names, others)) == [], (
            f"attempt {attempt}: processes left"
        )
        assert _becomes({}, lambda: _added(before)) == {}, f"attempt {attempt}"
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
