"""Programs in namespaces: what they say is kept, and none outlives us."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness import CommandError, UnfitError
from harness.kernel.links import set_link
from harness.kernel.netns import NetNS
from harness.kernel.privileges import ensure_namespaces
from harness.kernel.processes import Family, find_program
from harness.kernel.procnet import listening

MARK = "HAIRPIN_FAMILY_TEST"
FORKING = 'setsid setsid sleep 1000 & echo "$!"; exec sleep 1000'


@pytest.fixture(scope="module")
def ns():
    ensure_namespaces()
    with NetNS.create() as ns:
        ns.rtnl.transact([set_link("lo", index=1, up=True)])
        yield ns


@pytest.fixture
def family(ns):
    with Family() as family:
        yield family


def marked(value):
    """Processes that bear our mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={value}\0".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def gone(value):
    """Whether all of them end, within some seconds."""
    give_up = time.monotonic() + 10
    while marked(value) and time.monotonic() < give_up:
        os.sched_yield()
    return not marked(value)


def test_output_and_status(family, ns):
    """What it says and how it ends, whichever way."""
    done = family.run(ns, ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.stdout, done.stderr, done.status, done.ok) == ("out\n", "err\n", 3, False)


def test_output_longer_than_a_pipe(family, ns):
    """Nobody has to read along."""
    done = family.run(ns, ["head", "-c", "1000000", "/dev/zero"]).checked()
    assert len(done.stdout) == 1_000_000


def test_it_is_in_the_namespace(family, ns):
    """The child is where it was asked to be; we stay where we are."""
    there = family.run(ns, ["readlink", "/proc/self/ns/net"]).checked().stdout.strip()
    assert there == f"net:[{os.fstat(ns.fd).st_ino}]"
    assert there != os.readlink("/proc/self/ns/net")  # noqa: PTH115


def test_where_it_runs(family, ns, tmp_path):
    """The folder and the CPUs that it was asked to be on; ours stay as they are."""
    ours = os.sched_getaffinity(0)
    code = "import os; print(os.getcwd(), *os.sched_getaffinity(0))"
    process = family.spawn(ns, [sys.executable, "-c", code], folder=str(tmp_path), cpus={max(ours)})
    assert process.wait(10).stdout == f"{tmp_path} {max(ours)}\n"
    assert os.sched_getaffinity(0) == ours


def test_failure_shows_a_command_to_paste(family, ns):
    """Quoted for a shell, with what it said."""
    done = family.run(ns, ["ls", "/not here"])
    with pytest.raises(CommandError, match=r"(?s)^ls '/not here'\nexit status 2; it said:\n.*ls:"):
        done.checked()


def test_too_slow(family, ns):
    """Killed after its time."""
    with pytest.raises(CommandError, match=r"not finished after 0\.05 s, killed"):
        family.run(ns, ["sleep", "1000"], timeout=0.05)


def test_ready_when_it_listens(family, ns):
    """Started means ready: whoever connects then is not refused."""
    code = "import signal, socket; s = socket.create_server(('', 4567)); signal.pause()"
    with family.spawn(ns, [sys.executable, "-c", code]) as server:
        server.wait_until(listening(ns, 4567))
        with ns.run(socket.socket) as client:
            client.connect(("127.0.0.1", 4567))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["sh", "-c", "echo no >&2; exit 4"], r"ended \(status 4\)"),
        (["sleep", "1000"], "not ready"),
    ],
)
def test_never_ready(family, ns, arguments, problem):
    """Died first, or took too long: both are said."""
    process = family.spawn(ns, arguments)
    with pytest.raises(CommandError, match=problem):
        process.wait_until(lambda: False, timeout=0.2)


def test_no_such_program(family, ns):
    """The remedy is the package, where we know it."""
    with pytest.raises(UnfitError, match="there is no nonesuch here; apt install nonesuch"):
        family.spawn(ns, ["nonesuch"])
    assert find_program("sh").endswith("/sh")


def test_close_ends_what_they_have_started(ns):
    """A daemon that has left session and parent behind goes with the family."""
    environment = os.environ | {MARK: "close"}
    with Family() as family:
        process = family.spawn(ns, ["sh", "-c", FORKING], environment=environment)
        process.wait_until(lambda: len(marked("close")) == 2)
    assert gone("close")


PARENT = f"""
import os, signal, sys
from harness import Guest, Topology
from harness.kernel.features import probe
from harness.kernel.privileges import ensure_namespaces
from harness.testbed.stacks import Stacks
ensure_namespaces()
net = Stacks(Topology([Guest("a"), Guest("b")]), backend=probe().backend)
net.spawn("a", ["sh", "-c", {FORKING!r}]).wait_until(lambda: True)
print("up", flush=True)
signal.pause()
"""


class Interrupting:
    """Stands where a sandbox is entered: we are interrupted while a program is being started."""

    def __init__(self):
        self.thread = None
        self.go_on = threading.Event()

    def enter(self):
        self.thread = threading.current_thread()
        os.kill(os.getpid(), signal.SIGINT)
        assert self.go_on.wait(10)


@pytest.mark.parametrize("started", [True, False], ids=["before its end", "after its end"])
def test_interrupted_while_a_program_starts(ns, started):
    """Whoever was to wait for it does not know it, and its family ends it all the same."""
    interrupting = Interrupting()
    with Family() as family:
        with pytest.raises(KeyboardInterrupt):
            family.spawn(ns, ["sleep", "1000"], sandbox=interrupting)
        interrupting.go_on.set()
        if started:
            interrupting.thread.join()
    interrupting.thread.join()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda n: n.name)
def test_killed_with_stacks_up(number):
    """Pumps, programs and daemons end with us, and so do the namespaces that they are in."""
    ensure_namespaces()
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("no /dev/net/tun")
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env=os.environ | {MARK: number.name},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "up\n"
        assert len(marked(number.name)) >= 5  # we, the first one, two pumps, a shell
        process.send_signal(number)
        process.wait(10)
    assert gone(number.name)
