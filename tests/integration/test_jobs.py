"""`hairpin run -j N`: tests on several processes, forked once everything is collected.

we ── collect ──┬─ fork ─► worker 0 ── reports ─┐
                └─ fork ─► worker 1 ── reports ─┴─► we
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack

import pytest

from harness.kernel.waiting import look_until

# Tests that say which process ran them, and when.
MANY = """
import os
from pathlib import Path

import pytest

def wait_for_another():
    # Until a second process has begun a test: then both have their share.
    while len({{x.split()[1] for x in Path("ran").read_text().splitlines()}}) < 2:
        os.sched_yield()

@pytest.mark.parametrize("number", range({count}))
def test_many(number):
    with open("ran", "a") as file:
        file.write(f"{{number}} {{os.getpid()}}\\n")
    {body}
"""


@pytest.fixture
def many(hairpin, tmp_path):
    """``many(count, body)``: that many tests on two processes; the result, and who ran which."""

    def many(count, body="pass", *arguments):
        (tmp_path / "test_many.py").write_text(MANY.format(count=count, body=body))
        result = hairpin("run", "-j", "2", "test_many.py", *arguments)
        lines = (tmp_path / "ran").read_text().split("\n")[:-1]
        return result, [tuple(map(int, line.split())) for line in lines]

    return many


def outcomes(tmp_path):
    records = json.loads((tmp_path / ".hairpin/last/results.json").read_text())["records"]
    return Counter(r["outcome"] for r in records)


def test_each_test_once_on_two_processes(many, tmp_path):
    result, ran = many(40, "wait_for_another()")
    assert result.returncode == 0, result.stdout + result.stderr
    assert sorted(number for number, _ in ran) == list(range(40))
    assert len({pid for _, pid in ran}) == 2
    assert outcomes(tmp_path) == {"holds": 40}
    assert "40 passed" in result.stdout
    assert re.search(rf"^{re.escape('.' * 40)} *\[100%\]$", result.stdout, re.MULTILINE)


def test_a_group_is_for_one_process(hairpin, tmp_path):
    """What takes something that there is once: two groups on two processes, none on both."""
    for name in ("one", "other"):
        grouped = f"import pytest\n\npytestmark = pytest.mark.xdist_group({name!r})\n"
        text = MANY.format(count=20, body="wait_for_another()").replace("import pytest\n", grouped)
        text = text.replace("{number} ", f"{name} ")
        (tmp_path / f"test_{name}.py").write_text(text)
    result = hairpin("run", "-j", "2", "test_one.py", "test_other.py")
    assert result.returncode == 0, result.stdout + result.stderr
    ran = Counter((tmp_path / "ran").read_text().splitlines())
    assert sorted(ran.values()) == [20, 20]
    assert sorted(line.split()[0] for line in ran) == ["one", "other"]


def test_failures_are_told_as_ever(many, tmp_path):
    result, _ = many(20, "assert number != 7")
    assert result.returncode == 1
    assert outcomes(tmp_path) == {"holds": 19, "does not hold": 1}
    assert "test_many[7] - assert 7 != 7" in result.stdout
    assert "1 failed, 19 passed" in result.stdout


def test_a_worker_that_ends_in_a_test(many, tmp_path):
    """That test has failed, all others are run all the same, each once; so with a second."""
    result, ran = many(40, "os.kill(os.getpid(), 9 if number in (11, 29) else 0)")
    assert result.returncode == 1, result.stdout + result.stderr
    assert sorted(number for number, _ in ran) == list(range(40))
    assert outcomes(tmp_path) == {"holds": 38, "error": 2}
    assert "its process ended with signal 9" in result.stdout


def test_the_first_failure_is_the_end(many):
    """Also of the other worker, which hangs in its first test."""
    result, ran = many(40, "assert number; import signal; signal.pause()", "-x")
    assert result.returncode == 1
    assert "stopping after 1 failures" in result.stdout
    assert len(ran) <= 2


def test_leaving_pytest_is_leaving_it(many):
    """With the status of who left: so the plugin says that a machine is not fit."""
    result, ran = many(200, "number == 3 and pytest.exit('enough', returncode=3)")
    assert result.returncode == 3
    assert "enough" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    assert len(ran) < 200


DIES_AT_ONCE = """
import os
from harness.plugin import forked_key

def pytest_configure(config):
    config.stash.setdefault(forked_key, []).append(lambda: os.kill(os.getpid(), 9))
"""


def test_a_worker_that_does_not_come_to_a_test(hairpin, tmp_path):
    """Nobody would get on with another: it is said, and not tried for ever."""
    (tmp_path / "test_many.py").write_text(MANY.format(count=20, body="pass"))
    result = hairpin("run", "-j", "2", "test_many.py", plugin=DIES_AT_ONCE)
    assert result.returncode == 3
    assert "a worker ended with signal 9 before its first test" in result.stdout + result.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda n: n.name)
def test_whatever_ends_it_ends_the_workers(tmp_path, number):
    """Also while they hang in a test."""
    body = "import signal; signal.pause()"
    (tmp_path / "test_many.py").write_text(MANY.format(count=20, body=body))
    run = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "-j", "2", "test_many.py"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ran = tmp_path / "ran"
    said = look_until(
        lambda: ran.read_text().split() if ran.exists() else [],
        lambda words: len(words) == 4,
        within=30,
    )
    assert len(said) == 4, "no two workers"
    with ExitStack() as stack:
        poll, left = select.poll(), set()
        for pid in said[1::2]:
            left.add(os.pidfd_open(int(pid)))  # readable once that process has ended
        for fd in left:
            stack.callback(os.close, fd)
            poll.register(fd, select.POLLIN)
        os.kill(run.pid, number)
        run.wait(30)
        while left:
            ended = poll.poll(30_000)
            assert ended, "a worker is left"
            for fd, _ in ended:
                poll.unregister(fd)
                left.remove(fd)
