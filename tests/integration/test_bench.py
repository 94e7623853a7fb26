"""`hairpin bench` as a user starts it: figures, plots, comparison; wrong usage; interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import contextmanager

import pytest

from harness.kernel.waiting import look_until

pytestmark = [pytest.mark.root, pytest.mark.alone]

GONE_WITHIN = 10.0  # seconds, on a machine that is busy
LITTLE = ("--quick", "--test", "forwarding", "--path", "guest → guest, bridge", "--frame", "64")


def test_figures_plots_comparison(hairpin, tmp_path):
    """A run leaves figures and plots; held against itself there is nothing to tell."""
    result = hairpin("bench", *LITTLE, "--rounds", "5")
    assert result.returncode == 0, result.stderr
    assert "kframes/s" in result.stdout
    assert "kernel" in result.stdout  # what it was limited by
    folder = tmp_path / ".hairpin" / "last"
    run = json.loads((folder / "bench.json").read_text())
    assert run["interrupted"] is False
    assert {x["path"] for x in run["measurements"]} >= {"guest → guest, bridge"}
    for measured in run["measurements"]:
        assert len(measured["samples"]) == len(measured["references"]) == 5
        assert all(10_000 < sample < 10_000_000 for sample in measured["samples"])
    assert ET.parse(folder / "rate.svg").getroot().tag.endswith("svg")
    assert (folder / "rate.png").read_bytes().startswith(b"\x89PNG")

    again = hairpin("bench", *LITTLE, "--rounds", "5", "--compare", str(folder / "bench.json"))
    assert again.returncode in (0, 1), again.stderr  # this machine may have changed meanwhile
    assert "guest → guest, bridge" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--frame", "63"), "64 to 65,539"),
        (("--frame", "big"), "64 to 65,539"),
        (("--rounds", "0"), "1 to 1,000"),
        (("--guests", "1001"), "2 to 1,000"),
        (("--queues", "257"), "1 to 256"),
        (("--rate", "0"), "1 to 100,000,000"),
        (("--test", "speed"), "forwarding, throughput, latency"),
        (("--path", "token ring"), "guest → guest, bridge"),
        (("--compare", "nowhere.json"), "nowhere.json"),
        (("--fast",), "--fast"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, tuple) else "",
)
def test_wrong_usage(hairpin, arguments, says):
    result = hairpin("bench", "--quick", *arguments)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", '{"schema": "hairpin-results/4"}'])
def test_compare_with_what_is_no_run(hairpin, tmp_path, content):
    base = tmp_path / "base.json"
    base.write_text(content)
    result = hairpin("bench", *LITTLE, "--compare", str(base))
    assert result.returncode == 2
    assert "base.json" in result.stderr


def test_without_root(hairpin, without_root):
    """Taps cannot be opened in a user namespace: says so, and what to do."""
    result = hairpin("bench", *LITTLE, wrapper=without_root)
    assert result.returncode == 3
    assert "sudo hairpin bench" in result.stderr


@contextmanager
def measuring(folder):
    """A benchmark without end that has begun."""
    with subprocess.Popen(
        [sys.executable, "-m", "harness", "bench", *LITTLE, "--rounds", "1000"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert "round" in process.stderr.readline()
        yield process


def test_interrupted(tmp_path):
    """What has been measured is kept, printed and marked; nothing else is left."""
    with measuring(tmp_path) as process:
        os.kill(process.pid, signal.SIGINT)
        said, complained = process.communicate(timeout=60)
    assert process.returncode == 130, complained
    assert "interrupted" in said
    assert "Traceback" not in complained
    assert _left_of(process.pid) == []
    run = json.loads((tmp_path / ".hairpin" / "last" / "bench.json").read_text())
    assert run["interrupted"] is True
    assert run["measurements"]


def test_killed(tmp_path):
    """The processes that send and receive end with the main process, however it ends."""
    with measuring(tmp_path) as process:
        assert len(_session(process.pid)) >= 3
        process.kill()
        _, complained = process.communicate(timeout=60)  # until the last of them has closed it
    assert "Traceback" not in complained
    assert _left_of(process.pid) == []


def _left_of(leader):
    """What is left of a session that has ended: a process closes its files before it is gone."""
    return look_until(lambda: _session(leader), lambda left: not left, within=GONE_WITHIN)


def _session(leader):
    """Processes of the session that `leader` began, itself included."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,stat=", "-s", str(leader)], capture_output=True, text=True, check=False
    )
    return [line for line in listed.stdout.splitlines() if " Z" not in line]
