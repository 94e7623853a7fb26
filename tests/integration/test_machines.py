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
from harness.machines import machine as machines
from harness.machines.accelerator import Accelerator, Choice
from harness.machines.cache import cache_folder
from harness.machines.initramfs import Order
from harness.machines.machine import run_machine
from harness.machines.outcome import Ended

MARK = "HAIRPIN_MACHINES_TEST"
ODD = "a, b=c 'd"
TCG = Choice(Accelerator.TCG, "as the test wants it")


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


COMPLAINT = """\
import socket
from pathlib import Path

def test_before():
    pass

def test_complains():
    # More than the page allocator ever has at once: sock_kmalloc, __alloc_pages (mm/page_alloc.c).
    Path("/proc/sys/net/core/optmem_max").write_text(str(1 << 30))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendmsg([b"x"], [(0, 0, bytes(5 << 20))], 0, ("127.0.0.1", 9))
        except OSError:
            pass

def test_after():
    pass
"""


def test_a_complaint_fails_its_case(hairpin, kernel, tmp_path):
    """A real warning of a real kernel: the case that provoked it has failed, with its lines."""
    (tmp_path / "test_cases.py").write_text(COMPLAINT)
    run = (sys.executable, "-P", "-m", "harness", "run", "test_cases.py")
    done = hairpin("vm", "--cpus", "2", kernel.name, "--", *run, timeout=400)
    assert done.returncode == 1, done.stdout + done.stderr
    folder = tmp_path / ".hairpin/last/debian-bookworm+cloud"
    records = json.loads((folder / "results.json").read_text())["records"]
    outcomes = {x["case"].partition("::")[2]: x["outcome"] for x in records}
    assert outcomes == {"test_before": "holds", "test_complains": "error", "test_after": "holds"}
    (trouble,) = json.loads((folder / "machine.json").read_text())["troubles"]
    assert (trouble["kind"], trouble["early"]) == ("warning", False)
    assert "mm/page_alloc.c" in trouble["where"]
    text = (folder / "output.txt").read_text()
    assert "the kernel complained: warning: WARNING: CPU: " in text
    assert "__alloc_pages" in text
    assert f"the kernel complained: warning: {trouble['lines'][0]}" in done.stdout


def test_a_command_that_does_not_end(hairpin, kernel):
    done = hairpin("vm", "--timeout", "1", kernel.name, "--", "sleep", "100")
    assert done.returncode == 124, done.stderr
    assert "not done within 1 s" in done.stdout


def test_a_kernel_that_does_not_come_up(hairpin, kernel):
    done = hairpin("vm", "--boot-timeout", "1", kernel.name, "--", "true")
    assert done.returncode == 125
    assert "lost: it did not come up within 1 s" in done.stdout


def test_a_serial_port_that_is_lost(hairpin, kernel):
    """The command is none the worse, but nobody knows whether the kernel complained."""
    append = ("--append", "8250.nr_uarts=0")
    done = hairpin(
        "vm", *append, kernel.name, "--", "sh", "-c", "echo '<4>WARNING: CPU: 0 PID: 1' >/dev/kmsg"
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "exit status 0" in done.stdout
    assert "do not come out of its serial port" in done.stdout


def test_no_qemu(hairpin, kernel, tmp_path, monkeypatch):
    """Everything else is there: a sentence, with the package."""
    for folder in ("/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            link = tmp_path / "bin" / program.name
            link.parent.mkdir(exist_ok=True)
            if not program.name.startswith("qemu-system") and not link.is_symlink():
                link.symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    done = hairpin("vm", kernel.name, "--", "true")
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no qemu-system-x86_64 here; apt install qemu-system-x86" in done.stderr


@pytest.mark.root
def test_a_full_disk(hairpin, kernel, tmp_path):
    """What comes back finds no room: which folder, and what to do; with status 3."""
    full = tmp_path / "full"
    full.mkdir()
    mounted = f"mount -t tmpfs -o size=64k full {full}; "
    wrapper = ("unshare", "--mount", "sh", "-c", mounted + 'exec "$@"', "sh")
    write = ("sh", "-c", "head -c 300000 /dev/zero")
    done = hairpin("vm", "--output", str(full), kernel.name, "--", *write, wrapper=wrapper)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "cannot be kept in" in done.stdout
    assert "(No space left on device); make room there" in done.stdout


def test_9p_where_there_is_no_virtiofs(full_kernel, tmp_path, monkeypatch):
    """With a name of which QEMU, the shell and mount would make something else."""
    monkeypatch.setattr(machines, "find_virtiofsd", lambda: "")
    ensure_namespaces()
    place = tmp_path / ODD
    place.mkdir()
    said = []
    order = Order(("sh", "-c", "pwd; echo x >new; exit 4"), place, place)
    report = run_machine(full_kernel, order, say=said.append, accelerator=TCG)
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


@pytest.mark.root
def test_a_full_cache(hairpin, kernel, tmp_path):
    """The kernel finds no room to be unpacked: which folder, and nothing is left half made."""
    cache = tmp_path / "cache"
    cache.mkdir()
    script = f"""
        mount -t tmpfs -o size=4m full {cache} && mkdir {cache}/hairpin &&
        ln -s {cache_folder("kernels")} {cache}/hairpin/kernels
        export XDG_CACHE_HOME={cache}
        "$@"; status=$?; ls -A {cache}/hairpin/vmlinux; exit $status
    """
    wrapper = ("unshare", "--mount", "sh", "-c", script, "sh")
    done = hairpin("vm", kernel.name, "--", "true", wrapper=wrapper)
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"unpacked, cannot be made in {cache}/hairpin/vmlinux (No space left" in done.stdout
    assert done.stdout.endswith(f"\nReports: {(tmp_path / '.hairpin/last').resolve()}\n")
