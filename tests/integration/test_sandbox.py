"""A sandbox: files, names and devices of its own, of which the machine sees nothing.

machine                 sandbox
/dev /run /sys …   |    /dev /run /sys of its own, folders that are empty
"""

import os
import socket
from pathlib import Path

import pytest

from harness.kernel import links
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family
from harness.kernel.sandbox import Sandbox

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")

MISSING = "/var/lib/hairpin-has-none"


@pytest.fixture
def ns():
    with NetNS.create() as ns:
        yield ns


@pytest.fixture
def sandbox(ns):
    with Sandbox(ns, hostname="inside", folders=("/etc", MISSING)) as sandbox:
        yield sandbox


def listing(path):
    return sorted(p.name for p in Path(path).iterdir())


def test_folders_are_empty(sandbox):
    for folder in ("/run", "/etc", MISSING):
        assert sandbox.run(lambda folder=folder: listing(folder)) == []


def test_what_stands_beside_a_missing_folder_stays(sandbox):
    assert sandbox.run(lambda: listing("/var/lib")) == sorted(
        [*listing("/var/lib"), Path(MISSING).name]
    )
    beside = next(p for p in Path("/var/lib").iterdir() if p.is_dir() and any(p.iterdir()))
    assert sandbox.run(lambda: listing(beside)) == listing(beside)


def test_the_machine_sees_nothing_of_it(sandbox):
    before = Path("/proc/self/mountinfo").read_text()
    sandbox.run(lambda: Path("/run/hairpin-was-here").write_text("yes"))
    assert not Path("/run/hairpin-was-here").exists()
    assert not Path(MISSING).exists()
    assert Path("/proc/self/mountinfo").read_text() == before
    assert socket.gethostname() != "inside"


def test_reached_from_outside(sandbox):
    """By this process and, under the same path, by any other that may."""
    sandbox.run(lambda: Path("/run/word").write_text("yes"))
    assert sandbox.path("/run/word").read_text() == "yes"
    assert sandbox.path("/run/word").is_relative_to(f"/proc/{os.getpid()}")


def test_devices(sandbox):
    """The usual ones, and they work."""
    found = sandbox.run(lambda: listing("/dev"))
    assert {"null", "net", "ptmx", "pts", "random", "shm"} <= set(found)
    assert not [name for name in found if name.startswith(("sd", "vd", "nvme", "mem", "kvm"))]
    assert sandbox.run(lambda: os.read(os.open("/dev/zero", os.O_RDONLY), 8)) == bytes(8)


def test_sysfs_is_of_its_namespace(ns, sandbox):
    ns.rtnl.transact([links.add_veth("one", index=7, peer="two", peer_index=8)])
    assert sandbox.run(lambda: listing("/sys/class/net")) == ["lo", "one", "two"]


def test_programs_run_inside(ns, sandbox):
    with Family() as family:
        assert family.run(ns, ["hostname"], sandbox=sandbox).stdout.strip() == "inside"


def test_orphans_leave_no_zombie(ns):
    """A program whose parent has ended is reaped: libvirt would wait for it for ever."""
    with Family() as family:
        family.run(ns, ["sh", "-c", "(true &) ; true"]).checked()
        states = []
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                text = status.read_text()
            except OSError:
                continue
            if f"PPid:\t{family._first.pid}\n" in text:
                states.append(text.partition("State:\t")[2][0])
        assert "Z" not in states
