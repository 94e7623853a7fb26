"""`hairpin vm`: its words, its exit status, what it says of each machine."""

import os
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import UnfitError, UsageError
from harness.machines.kernel import Kernel
from harness.machines.oops import troubles_in
from harness.machines.outcome import Ended, Lost, Report, TimedOut
from harness.report.across import State, read_ending
from harness.report.machines import MachineRow, machine_lines, write_outcome
from harness.vming import exit_status, split_command


def report(outcome, *, log="", early="", console="", heard=True):
    troubles = troubles_in(log)
    return Report(
        outcome, "tcg", "no KVM", 2.5, 9.0, console, troubles, troubles_in(early), heard=heard
    )


PANIC = "Kernel panic - not syncing: x"
COMPLAINT = "[  1.0] WARNING: CPU: 0 PID: 1 at net/core/dev.c:1 f+0x1/0x2"


@pytest.mark.parametrize(
    ("words", "told", "command"),
    [
        ("vm a b", "vm a b", ""),
        ("vm a -j 2 -- ls -l -- x", "vm a -j 2", "ls -l -- x"),
        ("run -k x -- y", "run -k x -- y", ""),
    ],
)
def test_what_is_behind_the_dashes(words, told, command):
    assert split_command(words.split()) == (told.split(), tuple(command.split()))


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([(report(Ended(0)), None)], 0),
        ([(report(Ended(0)), None), (report(Ended(7)), None)], 7),
        ([(report(Ended(0), log=COMPLAINT), None)], 1),
        ([(report(Ended(0), early=COMPLAINT), None)], 0),
        ([(report(Ended(5), log=COMPLAINT), None)], 5),
        ([(report(Ended(0), heard=False), None)], 3),
        ([(report(Ended(7), heard=False), None)], 7),
        ([(report(Ended(200)), None), (report(TimedOut(1)), None)], 124),
        ([(report(TimedOut(1)), None), (report(Lost("panicked")), None)], 125),
        ([(None, UnfitError("no", remedy="do")), (report(Ended(1)), None)], 3),
        ([(None, UsageError("no"))], 2),
        ([], 0),
    ],
)
def test_the_worst_is_the_exit_status(results, status):
    assert exit_status(results) == status


def row(tmp_path, found, error=None):
    return MachineRow("debian:bookworm", "6.1.0-56-amd64", tmp_path, found, error)


def test_what_is_said_of_a_machine(tmp_path):
    (tmp_path / "output.txt").write_text("one\ntwo\n")
    lines = machine_lines(row(tmp_path, report(Ended(1), log=COMPLAINT)), quiet=False)
    assert lines == [
        "debian:bookworm (6.1.0-56-amd64): exit status 1",
        "  tcg (no KVM), up in 2.5 s, 9.0 s in all",
        "  the kernel complained: warning: WARNING: CPU: 0 PID: 1 at net/core/dev.c:1 f+0x1/0x2",
        "  the end of its output:",
        "    one",
        "    two",
    ]


@pytest.mark.parametrize(
    ("found", "says", "then"),
    [
        (report(TimedOut(9), console="last"), "not done within 9 s", "    last"),
        (report(Lost("panicked: x")), "lost: it panicked: x", "    (nothing)"),
        (
            report(Lost("panicked: x"), log="Kernel panic - not syncing: x"),
            "lost: ",
            "Kernel panic",
        ),
    ],
)
def test_what_is_said_of_a_machine_that_is_lost(tmp_path, found, says, then):
    lines = machine_lines(row(tmp_path, found), quiet=True)
    assert says in lines[0]
    assert then in lines[-1]


def test_a_kernel_that_was_not_booted(tmp_path):
    error = UnfitError("it has no 9p", remedy="take another")
    assert machine_lines(row(tmp_path, None, error), quiet=True) == [
        "debian:bookworm (6.1.0-56-amd64): no result: it has no 9p; take another"
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("vm /nowhere/at/all", "there is no /nowhere/at/all"),
        ("vm debian:potato", "there is no kernel named debian:potato"),
        ("vm", "under which kernel?"),
        ("vm debian:bookworm --bogus", "unknown argument --bogus; see hairpin vm --help"),
    ],
)
def test_words_that_make_no_sense(words, says, capsys, monkeypatch):
    monkeypatch.setattr("harness.machines.busybox.busybox", lambda: b"")
    monkeypatch.setattr("harness.kernel.processes.find_program", lambda name: name)
    assert main(words.split()) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--timeout 0", "--memory x", "-j -1", "--cpus 1.5"])
def test_numbers(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["vm", "k", *option.split()])
    assert "allowed: 1 and more" in capsys.readouterr().err


def test_without_qemu(monkeypatch, capsys):
    def missing(name):
        raise UnfitError(f"there is no {name} here", remedy="apt install qemu-system-x86")

    monkeypatch.setattr("harness.machines.busybox.busybox", lambda: b"")
    monkeypatch.setattr("harness.kernel.processes.find_program", missing)
    assert main(["vm", "debian:bookworm"]) == 3
    assert "apt install qemu-system-x86" in capsys.readouterr().err


def test_folders_have_names_of_their_own():
    from harness.vming import _names

    def kernel(name):
        return Kernel(name, "6.1", Path("x"), Path("x"), None, "x86_64")

    words = ["debian:sid", "/a/b", "/c/d", "debian:sid+cloud"]
    found = {word: kernel(word) for word in words}
    found |= dict.fromkeys(["/e/f", "debian:potato"], UnfitError("no", remedy="do"))
    assert _names(found) == ["debian-sid", "6.1", "6.1-2", "debian-sid+cloud", "f", "debian-potato"]


@pytest.mark.parametrize(
    ("found", "results", "state", "reason"),
    [
        (report(Ended(1)), True, State.FINISHED, ""),
        (report(Ended(0)), False, State.FINISHED, "its command left no results"),
        (report(Ended(130)), True, State.INTERRUPTED, ""),
        (report(Ended(3)), False, State.UNFIT, "its command left no results"),
        (report(TimedOut(9)), True, State.TIMED_OUT, "it was not done within 9 s"),
        (report(Lost("panicked: x")), False, State.DIED, "it panicked: x"),
        (None, False, State.FAILED, "it has no 9p; take another"),
    ],
)
def test_what_a_matrix_is_told(tmp_path, found, results, state, reason):
    if results:
        (tmp_path / "results.json").touch()
    error = None if found else UnfitError("it has no 9p", remedy="take another")
    write_outcome(row(tmp_path, found, error))
    ending = read_ending(tmp_path, None)
    assert (ending.name, ending.kernel) == ("debian:bookworm", "6.1.0-56-amd64")
    assert (ending.state, ending.reason) == (state, reason)


def test_what_is_said_of_a_lost_serial_port(tmp_path):
    lines = machine_lines(row(tmp_path, report(Ended(0), heard=False)), quiet=True)
    (said,) = lines[2:]
    assert said.startswith("  its warnings do not come out of its serial port (8250.nr_uarts=, ")


@pytest.mark.parametrize("nics", ["", "e1000e,", "ne2000", "e1000e virtio-net"])
def test_network_interfaces_that_there_are_not(nics, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["vm", "--nics", nics, "debian:bookworm"])
    assert ended.value.code == 2
    assert "allowed: e1000, e1000e, rtl8139, virtio-net, vmxnet3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("here", "kernels", "cpus", "jobs", "shared"),
    [
        pytest.param(2, 1, None, None, (2, 1), id="one kernel has all of them"),
        pytest.param(2, 6, None, None, (1, 2), id="many have one each"),
        pytest.param(16, 3, None, None, (4, 3), id="no more than are of use"),
        pytest.param(8, 4, None, 2, (4, 2), id="as many machines as asked for"),
        pytest.param(8, 4, 3, None, (3, 2), id="as many CPUs as asked for"),
        pytest.param(1, 2, 4, None, (4, 1), id="more than there are"),
    ],
)
def test_cpus_are_shared_out(here, kernels, cpus, jobs, shared):
    from harness.machines.sharing import shared_out

    assert shared_out(here, kernels, cpus, jobs) == shared


def test_tests_are_compiled_ahead(tmp_path, monkeypatch):
    """Those that have changed since, as pytest reads them: a machine writes nothing to us."""
    from harness import ahead, suite

    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    test = tmp_path / "test_it.py"
    test.write_text("def test_it():\n    assert True\n")
    for user in (ahead, suite):
        monkeypatch.setattr(user, "suite_folder", lambda: tmp_path)
    assert ahead._stale()
    ahead._rewrite_tests()
    assert not ahead._stale()
    later = test.stat().st_mtime + 60
    os.utime(test, (later, later))
    assert ahead._stale()
