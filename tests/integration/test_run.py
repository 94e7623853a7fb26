"""`hairpin run`, as a user sees it."""

import json

import pytest

from harness import Mode


@pytest.mark.parametrize("rights", ["root", "no root"])
def test_whole_suite(hairpin, without_root, tmp_path, rights):
    """Exit 0, every verdict as predicted or documented otherwise, reports on disk."""
    result = hairpin("run", "-j", "2", wrapper=without_root if rights == "no root" else ())
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr
    assert "The kernel did what the model predicts." in result.stdout
    last = tmp_path / ".hairpin" / "last"
    document = json.loads((last / "results.json").read_text())
    outcomes = {r["outcome"] for r in document["records"]}
    assert outcomes == {"as predicted", "documented otherwise", "holds", "skipped"}
    assert (last / "results.ktap").read_text().startswith("KTAP version 1\n")
    assert (last / "junit.xml").exists()
    if rights == "no root":
        assert document["backend"] == "packet"


def _documented_otherwise(tmp_path, promise):
    records = json.loads((tmp_path / ".hairpin/last/results.json").read_text())["records"]
    return [
        r
        for r in records
        if r["outcome"] == "documented otherwise"
        and any(p["id"] == promise and not p["kept"] for p in r["promises"])
    ]


def test_documented_otherwise(hairpin, tmp_path):
    """Private unicast by hairpin, and private broadcast back at its sender: shown, no failure."""
    result = hairpin("run", "-k", "test_guest_to_guest or test_broadcast")
    assert result.returncode == 0
    reached = _documented_otherwise(tmp_path, "S4-router-only")
    assert {(r["stimulus"], r["seen"]["b"]) for r in reached} == {("a → b", 1)}
    assert {r["column"][1] for r in reached} == {"hairpin on"}
    assert len(reached) == 5  # ordered pairs with a private guest in them
    returned = _documented_otherwise(tmp_path, "libvirt-private-broadcast")
    assert {(r["stimulus"], r["seen"]["a"]) for r in returned} == {("a → broadcast", 1)}
    assert {r["column"][0].split(" → ")[0] for r in returned} == {Mode.PRIVATE}


@pytest.mark.parametrize("option", ["-j", "-n"], ids=["forked", "xdist"])
def test_workers(hairpin, without_root, option):
    """On two processes the matrix is the same, without root too."""
    if option == "-n":
        pytest.importorskip("xdist")
    result = hairpin("run", option, "2", "-k", "test_broadcast", wrapper=without_root)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "33 as predicted, 3 documented otherwise" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        pytest.param(["run", "--no-such-flag"], 2, "no-such-flag", id="unknown flag"),
        pytest.param(["run", "-k", "nothing_at_all"], 2, "deselected", id="no such test"),
        pytest.param(["run", "--backend", "magic"], 2, "invalid choice", id="unknown backend"),
        pytest.param(["run", "--output", "/proc/x"], 2, "--output", id="unwritable output"),
        pytest.param(["frobnicate"], 2, "invalid choice", id="unknown command"),
        pytest.param(
            ["explain", "nowhere.toml", "--from", "a", "--to", "b"], 2, "nowhere.toml", id="no file"
        ),
    ],
)
def test_bad_usage(hairpin, arguments, status, says):
    """Exit 2, and the words that help."""
    result = hairpin(*arguments)
    assert result.returncode == status
    assert says in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr


USER_TEST = '''
"""A user's own test."""
from harness import BROADCAST, Guest, Mode, Stimulus, Topology

def test_mine(testbed):
    bed = testbed(Topology([Guest("x", Mode.BRIDGE), Guest("y", Mode.BRIDGE)]))
    assert "y" in bed.send("x", to="y")
    assert "y" in bed.check(Stimulus("x", BROADCAST)).observation
'''


def test_users_own_tests(hairpin, tmp_path):
    """A test file of one's own uses the same fixture, and lands in the same matrix."""
    (tmp_path / "test_mine.py").write_text(USER_TEST)
    result = hairpin("run", "test_mine.py")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "A user's own test" in result.stdout
    assert "1 passed" in result.stdout


LEAVES_FRAMES = '''
import pytest
from harness import Frame, Guest, Mode, Topology

PAIR = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)])

@pytest.mark.parametrize("time", ["first", "second"])
def test_leave(testbed, backend, time):
    """Broadcasts wait for a worker of the kernel: they are still on their way when this ends."""
    bed = testbed(PAIR)
    if backend == "tap":
        assert [bed.endpoints[name].tap.drain() for name in "ab"] == [[], []]
    frame = Frame("ff:ff:ff:ff:ff:ff", PAIR.macs["external"], payload=b"left behind").to_bytes()
    for _ in range(100):
        bed.endpoints["external"].send(frame)
'''


def test_nothing_is_on_its_way(hairpin, tmp_path):
    """What a test leaves behind is not the next one's, which has the same testbed."""
    (tmp_path / "test_leave.py").write_text(LEAVES_FRAMES)
    result = hairpin("run", "test_leave.py")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout


INTERRUPTED = """
import os, signal
from pathlib import Path
import pytest

@pytest.fixture
def broken():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
    except:
        {then}

def test_first(broken):
    pass

def test_second():
    Path("ran").touch()
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("then", ["pass", "raise OSError('cannot be undone')"])
def test_an_interrupt_is_not_lost(hairpin, tmp_path, then, jobs):
    """Whoever swallows it, or puts an error of its own in its place: no other test begins."""
    (tmp_path / "test_interrupted.py").write_text(INTERRUPTED.format(then=then))
    result = hairpin("run", "-j", jobs, "test_interrupted.py")
    assert result.returncode == 130, result.stdout + result.stderr
    assert not (tmp_path / "ran").exists()


def test_own_test_without_a_docstring(hairpin, tmp_path):
    """A test file of one's own need not say what it is about: its name does."""
    (tmp_path / "test_mine.py").write_text(
        "from harness import Guest, Stimulus, Topology\n\n"
        "def test_it(testbed):\n"
        '    testbed(Topology([Guest("a")])).check(Stimulus("a", to="external"))\n'
    )
    result = hairpin("run", "test_mine.py")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "mine" in result.stdout.splitlines()


def test_without_libvirts_client(hairpin):
    """What takes it skips, and keeps nothing else from running: a fresh clone has none."""
    done = hairpin(
        *("run", "-m", "not guests", "--collect-only", "-q"),
        plugin="import sys\nsys.modules['libvirt'] = None\n",
    )
    assert done.returncode == 0, done.stdout[-2000:]
