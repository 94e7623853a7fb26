"""`hairpin vm`: a machine's command, and the ways in which it does not come to its end.

hairpin ── QEMU [ kernel, this host's files, command ]
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import UnfitError
from harness.kernel.privileges import ensure_namespaces
from harness.kernel.processes import find_program
from harness.machines import machine as machines
from harness.machines.accelerator import Accelerator, Choice
from harness.machines.busybox import busybox
from harness.machines.initramfs import Order
from harness.machines.kernel import catalogue, find_kernel
from harness.machines.machine import Limits, run_machine
from harness.machines.outcome import Ended
from harness.machines.qemu import find_virtiofsd

MARK = "HAIRPIN_MACHINES_TEST"
SMALL, FULL = "debian:bookworm+cloud", "debian:bookworm"  # the small one has no 9p
ODD = "a, b=c 'd"
TCG = Choice(Accelerator.TCG, "as the test wants it")


@pytest.fixture(scope="module")
def kernel():
    """A small kernel's name, once it is in the cache."""
    try:
        find_program("qemu-system-x86_64")
        busybox()
        found = find_kernel(SMALL)
        if not find_virtiofsd():
            pytest.skip("there is no virtiofsd here")
    except UnfitError as error:
        pytest.skip(str(error))
    return found


def test_a_command(hairpin, kernel, tmp_path):
    """Its words as they were given, its folder, its output, its status; what it kept is here."""
    script = """
        uname -r; pwd; echo "$1" >"$HAIRPIN_FOLDER/kept"; echo gone >gone
        : <>/dev/net/tun || exit 8
        [ -x /sbin/modprobe ] && grep -qv ^/sbin/modprobe /proc/sys/kernel/modprobe && exit 9
        exit 7
    """
    words = ("sh", "-c", script, "sh", "it's $HOME")
    done = hairpin("vm", "--output", ODD, kernel.name, "--", *words)
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith(f"{kernel.release}\n{tmp_path}\n")
    assert "exit status 7" in done.stdout
    folder = tmp_path / ODD / "last/debian-bookworm+cloud"
    assert (folder / "kept").read_text() == "it's $HOME\n"
    assert (folder / "output.txt").read_text() == f"{kernel.release}\n{tmp_path}\n"
    assert not (tmp_path / "gone").exists()
    facts = json.loads((folder / "machine.json").read_text())
    assert facts["outcome"] == {"kind": "ended", "status": 7}
    assert (facts["troubles"], facts["release"]) == ([], kernel.release)


def test_a_panic_is_a_lost_machine(hairpin, kernel, tmp_path):
    """And what was said before is there; the other machine does not mind."""
    copy = tmp_path / "other"
    copy.symlink_to(kernel.image.parent.parent)
    script = "[ -e $HAIRPIN_FOLDER/../*cloud/here ] || { touch $HAIRPIN_FOLDER/here; }; echo said"
    crash = f"{script}; case $HAIRPIN_FOLDER in *cloud) echo c >/proc/sysrq-trigger;; esac"
    done = hairpin("vm", "-j2", kernel.name, str(copy), "--", "sh", "-c", crash)
    assert done.returncode == 125, done.stdout + done.stderr
    assert "lost: it panicked: Kernel panic - not syncing: sysrq triggered crash" in done.stdout
    assert "panic at sysrq_handle_crash" in done.stdout
    assert done.stdout.count("exit status 0") == 1
    for output in tmp_path.glob(".hairpin/last/*/output.txt"):
        assert output.read_text() == "said\n"


def test_a_command_that_does_not_end(hairpin, kernel):
    done = hairpin("vm", "--timeout", "1", kernel.name, "--", "sleep", "100")
    assert done.returncode == 124, done.stderr
    assert "not done within 1 s" in done.stdout


def test_a_kernel_that_does_not_come_up(hairpin, kernel):
    done = hairpin("vm", "--boot-timeout", "1", kernel.name, "--", "true")
    assert done.returncode == 125
    assert "lost: it did not come up within 1 s" in done.stdout


def test_9p_where_there_is_no_virtiofs(tmp_path, monkeypatch):
    """With a name of which QEMU, the shell and mount would make something else."""
    if not any(x.cached for x in catalogue() if x.name == FULL):
        pytest.skip(f"{FULL} is not in the cache")
    kernel = find_kernel(FULL)
    monkeypatch.setattr(machines, "find_virtiofsd", lambda: "")
    ensure_namespaces()
    place = tmp_path / ODD
    place.mkdir()
    said = []
    order = Order(("sh", "-c", "pwd; echo x >new; exit 4"), place, place)
    report = run_machine(kernel, order, say=said.append, accelerator=TCG)
    assert report.outcome == Ended(4), report.console
    assert b"".join(said) == f"{place}\n".encode()
    assert (place / "new").read_text() == "x\n"
    assert report.troubles == ()


def test_neither_virtiofs_nor_9p(kernel, tmp_path, monkeypatch):
    """The small kernel has no 9p, and here there is no virtiofsd."""
    monkeypatch.setattr(machines, "find_virtiofsd", lambda: "")
    order = Order(("true",), Path("/"), tmp_path)
    with pytest.raises(UnfitError, match=r"over virtiofs only.* apt install virtiofsd"):
        run_machine(kernel, order, say=print, accelerator=TCG)


def _ours():
    """Processes that bear our mark, or serve a machine of ours, but for those that have ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            marked = MARK.encode() in (folder / "environ").read_bytes()
            if marked and b"\nState:\tZ" not in (folder / "status").read_bytes():
                found.append((folder.name, (folder / "comm").read_text()))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT], ids=lambda x: x.name)
def test_killed(kernel, tmp_path, signum):
    """Neither QEMU nor virtiofsd is left, nor a file but those of the run."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "harness", "vm", kernel.name, "--", "sh", "-c", "echo up; sleep 99"],
        cwd=tmp_path,
        env=os.environ | {MARK: "1", "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout.readline() == b"up\n"
        names = {name.strip() for _, name in _ours()}
        assert {"virtiofsd"} < names
        process.send_signal(signum)
        process.communicate(timeout=10)
        assert process.returncode in (-signum, 130)
    give_up = time.monotonic() + 10
    while _ours() and time.monotonic() < give_up:
        os.sched_yield()
    assert _ours() == []
    assert list(temporary.iterdir()) == []


def test_no_room(kernel, monkeypatch, tmp_path):
    """What the kernel's file needs is not there: a sentence, not a trace."""
    ensure_namespaces()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def full(*_):
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(machines, "unpacked_kernel", lambda _: b"another")
    monkeypatch.setattr(machines, "keep", full)
    order = Order(("true",), Path("/"), tmp_path)
    with pytest.raises(UnfitError, match=f"there is no room left .*{tmp_path}"):
        run_machine(kernel, order, say=print, accelerator=TCG, limits=Limits(1, 1))
