"""How a machine is followed by its ports: what is passed on, and what it is said to have come to.

[we play QEMU] ── output, status, console ──► _Watch ──► outcome
"""

import os
from pathlib import Path

import pytest

from harness.kernel.processes import Finished
from harness.machines import machine as machines
from harness.machines.hardware import PLAIN
from harness.machines.initramfs import Order
from harness.machines.machine import Limits, _Boot, _Watch
from harness.machines.outcome import Ended, Lost, TimedOut
from harness.machines.qemu import Ports, Sizes

PANIC = b"[    1.0] Kernel panic - not syncing: Attempted to kill init!\r\n"


class Qemu:
    """A process that has ended so."""

    def __init__(self, status=0, said=""):
        self.finished = Finished(("qemu",), status, "", said)

    def wait(self, timeout):
        return self.finished


class Machine:
    """``write(output, status)`` as a machine does; ``end()`` follows it to its end."""

    def __init__(self, ports):
        self.ports = ports
        self.said = []

    def write(self, output=b"", status=b"", console=b""):
        os.write(self.ports._output, output)
        os.write(self.ports._status, status)
        os.write(self.ports.console, console)

    def end(self, *, qemu=None, gone=False, boot=5.0, command=5.0, stop=-1):
        if gone:
            self.ports.given()
        order = Order(("x",), Path("/"), Path("/"), end="END")
        limits = Limits(boot, command)
        about = _Boot(None, None, order, Sizes(), PLAIN, limits, self.said.append, stop, "", ())
        return _Watch(about, qemu or Qemu(), self.ports).until_the_end()

    @property
    def text(self):
        return b"".join(self.said)


@pytest.fixture
def machine():
    with Ports() as ports:
        yield Machine(ports)


@pytest.mark.parametrize(
    ("written", "passed_on"),
    [
        (b"\0END", b""),
        (b"one\ntwo\n\0END", b"one\ntwo\n"),
        (b"\0\0EN\0END", b"\0\0EN"),
        (b"END\0END", b"END"),
    ],
)
def test_output_up_to_its_end(machine, written, passed_on):
    machine.write(written, b"up 1.5\nended 3\n")
    assert machine.end().outcome == Ended(3)
    assert machine.text == passed_on


def test_the_end_may_come_in_pieces(machine):
    """What could be the end's beginning is held back, and passed on when it is not."""
    order = Order(("x",), Path("/"), Path("/"), end="END")
    about = _Boot(None, None, order, Sizes(), PLAIN, Limits(), machine.said.append, -1, "", ())
    watch = _Watch(about, Qemu(), machine.ports)
    seen = []
    for piece in (b"a\0", b"EN", b"x\0E", b"ND", b"more"):
        os.write(machine.ports._output, piece)
        watch._read_output()
        seen.append(machine.text)
    assert seen[:4] == [b"a", b"a", b"a\0ENx", b"a\0ENx"]


def test_the_status_comes_first(machine, monkeypatch):
    """Output is waited for, but not for ever: a descendant of the command may hold the port."""
    monkeypatch.setattr(machines, "_OUTPUT_WITHIN", 0.05)
    machine.write(b"said", b"up 1\nended 0\n")
    assert machine.end().outcome == Ended(0)
    assert machine.text == b"said"


def test_a_command_that_does_not_end(machine):
    machine.write(status=b"up 1\n", console=b"[  1.0] last words\r\n")
    attempt = machine.end(command=0.01)
    assert attempt.outcome == TimedOut(0.01)
    assert attempt.console == "[  1.0] last words\n"


@pytest.mark.parametrize(
    ("console", "says"),
    [(b"", "did not come up within 0.01 s, and its console is silent"), (b"x", "within 0.01 s")],
)
def test_a_machine_that_does_not_come_up(machine, console, says):
    machine.write(console=console)
    attempt = machine.end(boot=0.01)
    assert attempt.outcome.reason.endswith(says)
    assert (attempt.up, attempt.boot) == (False, None)


@pytest.mark.parametrize(
    ("console", "qemu", "reason"),
    [
        (PANIC, Qemu(), "panicked: Kernel panic - not syncing: Attempted to kill init!"),
        (b"", Qemu(), "was switched off or reset before its command had ended"),
        (b"", Qemu(1, "first\nqemu: no\n"), "ended with QEMU, status 1: qemu: no"),
    ],
)
def test_a_machine_that_goes(machine, console, qemu, reason):
    machine.write(status=b"up 1\n", console=console)
    assert machine.end(gone=True, qemu=qemu).outcome == Lost(reason)


@pytest.mark.parametrize("status", [b"", b"up 1\n"], ids=["while it starts", "later"])
def test_a_machine_that_stays_as_it_panicked(machine, status):
    """With panic=0 it does not reboot: it is late, and lost."""
    machine.write(status=status, console=PANIC)
    attempt = machine.end(boot=0.01, command=0.01)
    assert attempt.outcome == Lost("panicked: Kernel panic - not syncing: Attempted to kill init!")


def test_a_machine_that_is_reset_at_once(machine):
    """As with an image that is damaged."""
    reason = "was switched off or reset before it was up, and its console is silent"
    assert machine.end(gone=True).outcome == Lost(reason)


def test_a_machine_that_cannot_be_set_up(machine):
    machine.write(status=b"unfit there is no overlay file system\n")
    attempt = machine.end()
    assert attempt.outcome == Lost("cannot be set up: there is no overlay file system")
    assert attempt.unfit


def test_complaints_before_and_after(machine):
    """Where in the console the machine was up is known."""
    machine.write(console=PANIC)
    machine.write(b"\0END", b"up 1\nended 0\n")
    attempt = machine.end()
    assert attempt.console[attempt.up_at :] == ""
    assert attempt.boot is not None


def test_stopped(machine):
    stop = os.eventfd(1)
    try:
        with pytest.raises(KeyboardInterrupt):
            machine.end(stop=stop)
    finally:
        os.close(stop)
