"""The busybox of a machine: one that runs where there is nothing else."""

import shutil
import sys
from pathlib import Path

import pytest

from harness.errors import UnfitError
from harness.machines import busybox as found


@pytest.fixture
def here(monkeypatch, tmp_path):
    """What stands for this machine's busybox; fetching counts, and gives b"fetched"."""
    fetched = []

    def fetch(*_):
        fetched.append(1)
        return b"fetched"

    monkeypatch.setattr(found, "find_program", lambda _: str(tmp_path / "busybox"))
    monkeypatch.setattr(found, "_fetched", fetch)
    return tmp_path / "busybox", fetched


def test_this_machine_s(here, monkeypatch):
    """Where it takes no libraries it is taken."""
    path, fetched = here
    path.write_bytes(b"\x7fELF")
    monkeypatch.setattr(found, "_stands_alone", lambda data: data == b"\x7fELF")
    assert (found.busybox(), fetched) == (b"\x7fELF", [])


@pytest.mark.parametrize("kind", ["a script", "with libraries", "none"])
def test_the_package_s(here, kind):
    """Fetched once, else."""
    path, fetched = here
    if kind == "a script":
        path.write_text("#!/bin/sh\n")
    elif kind == "with libraries":
        shutil.copyfile(Path(sys.executable).resolve(), path)
    assert [found.busybox() for _ in range(2)] == [b"fetched"] * 2
    assert fetched == [1]


def test_none_at_all(here, monkeypatch):
    def fail(*_):
        raise UnfitError("no archive answers", remedy="plug it in")

    monkeypatch.setattr(found, "_fetched", fail)
    with pytest.raises(UnfitError, match="without libraries, and no archive answers; apt install"):
        found.busybox()
