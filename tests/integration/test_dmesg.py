"""`hairpin run --dmesg`: a case during which the kernel complains has failed, and only that."""

import json
import os

import pytest

from harness.errors import UnfitError
from harness.kernel.kmsg import KernelLog

CASES = """\
import pytest
from pathlib import Path

LOG = Path({log!r})
SPLAT = "WARNING: CPU: 0 PID: 1 at net/core/dev.c:1 splat+0x1/0x2"

@pytest.fixture
def late():
    yield
    LOG.write_text(SPLAT)

def test_before():
    LOG.write_text("macvlan: of no interest")

def test_complained():
    LOG.write_text(SPLAT)

def test_between():
    pass

def test_late(late):
    pass

def test_after():
    pass
"""
# The log of the machine is everybody's: a file stands for it.
PLUGIN = """\
from pathlib import Path
import harness.dmesgwatch

class Log:
    def read(self):
        path = Path({log!r})
        text = path.read_text() if path.exists() else ""
        path.write_text("")
        return text.splitlines()

    def close(self):
        pass

harness.dmesgwatch.KernelLog = Log
"""


def test_the_case_that_it_was(hairpin, tmp_path):
    """That case fails, with what the kernel said; afterwards counts as well; others hold."""
    log = str(tmp_path / "log")
    (tmp_path / "test_cases.py").write_text(CASES.format(log=log))
    done = hairpin(
        *("run", "--dmesg", "--folder", "here", "test_cases.py"), plugin=PLUGIN.format(log=log)
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found = json.loads((tmp_path / "here/results.json").read_text())
    outcomes = [
        (record["case"].partition("::")[2], record["outcome"]) for record in found["records"]
    ]
    assert outcomes == [
        ("test_before", "holds"),
        ("test_complained", "error"),
        ("test_between", "holds"),
        ("test_late", "holds"),
        ("test_late", "error"),
        ("test_after", "holds"),
    ]
    assert "the kernel complained: warning: WARNING: CPU: 0 PID: 1 at net/core/dev.c" in done.stdout
    assert not (tmp_path / ".hairpin/last").exists()


def test_without_asking(hairpin, tmp_path):
    log = str(tmp_path / "log")
    (tmp_path / "test_cases.py").write_text(CASES.format(log=log))
    done = hairpin("run", "test_cases.py", plugin=PLUGIN.format(log=log))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK), reason="takes the right to read the log")
def test_the_log_begins_now():
    with KernelLog() as log:
        first = log.read()
    assert len(first) < 100


def test_a_log_that_may_not_be_read(tmp_path):
    with pytest.raises(UnfitError, match=r"the kernel.s log cannot be read .*No such file"):
        KernelLog(str(tmp_path / "none"))
