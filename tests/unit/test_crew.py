"""Sender and receiver in processes of their own, over a pipe that stands for a path.

crew.sender ==> [pipe, packet by packet] ==> crew.receiver
"""

import fcntl
import os
import signal
from contextlib import ExitStack
from dataclasses import replace

import pytest

from harness.bench.crew import Crew, Member
from harness.bench.ends import End, EndKind, Path
from harness.bench.jobs import Alternating, Send, _Way
from harness.bench.measurement import Limit
from harness.bench.trial import run_trial, spec_for
from harness.errors import KernelError
from harness.kernel.cpu import CpuUse
from harness.kernel.engine import Pool, make_sender

SLOTS = 256


@pytest.fixture(scope="module")
def crew():
    with Crew() as crew:
        yield crew


def make_path():
    undo = ExitStack()
    reader, writer = os.pipe2(os.O_DIRECT | os.O_NONBLOCK | os.O_CLOEXEC)
    undo.callback(os.close, reader)
    undo.callback(os.close, writer)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, SLOTS * 4096)
    a, b = (End(fd, EndKind.PIPE, bytes((2, 0, 0, 0, 0, fd))) for fd in (writer, reader))
    return Path("pipe", a, b, undo, queue=SLOTS)


@pytest.fixture
def path():
    with make_path() as path:
        yield path


@pytest.mark.parametrize("stamped", [False, True], ids=["", "stamped"])
def test_nothing_lost(crew, path, stamped):
    """What fits the queue cannot be lost, whoever is late."""
    trial = run_trial(crew, path, spec_for(path, "64"), rate=50_000, frames=200, stamped=stamped)
    assert (trial.sent.frames, trial.arrived, trial.lost) == (200, 200, 0)
    assert bool(trial.received.latencies) is stamped
    assert all(0 < latency < 5e9 for latency in trial.received.latencies)


def test_an_end_that_had_to_be_said_again(crew, path):
    """Nobody knows which of the last frames have come: a loss is rather told than overlooked."""
    trial = run_trial(crew, path, spec_for(path, "64"), frames=10)
    assert replace(trial, sent=replace(trial.sent, ends=2)).lost == 2 - trial.sent.ends


def test_what_found_no_room(crew, path):
    """While nobody reads the queue holds what it holds; the sender counts the rest."""
    heard, tells = os.pipe2(os.O_CLOEXEC)
    os.write(tells, b"\0")  # as though a receiver had seen the end
    send = Send(spec_for(path, "64"), frames=SLOTS + 50)
    pending = crew.sender.start(send, (path.a.fd, heard), what="send")
    pending.go()
    assert pending.outcome().refused == 50
    os.close(heard)
    os.close(tells)


def test_in_turn(crew, path):
    """Both ways are timed, slice by slice; rates are of this world."""
    with make_path() as loop:
        fds = (path.a.fd, loop.a.fd, loop.b.fd, path.b.fd)
        # Slices so short that a busy machine leaves most of them whole.
        short = {"slice_ns": 200_000, "reference_ns": 200_000}
        job = Alternating(spec_for(path, "64"), 0.1, batch=128, reference_batch=128, **short)
        pending = crew.sender.start(job, fds, what="carry")
        pending.go()
        outcome = pending.outcome()
    assert len(outcome.rates) == len(outcome.references) >= 2
    assert 0.2 < outcome.rate / outcome.reference < 5  # a pipe beside a pipe
    assert outcome.frames > 1000
    assert outcome.use.user + outcome.use.system > 0


class OtherFrames:
    """A receiver that gets as many frames as are sent, but others."""

    last = 5

    def receive(self, expected):
        return expected

    def wait(self, seconds):
        return True


def test_other_frames_are_not_taken_for_ours(path):
    with (
        make_sender(path.a.fd, Pool.of(spec_for(path, "64"), 16)) as sender,
        pytest.raises(OSError, match="frame 5 came last, 3 was sent last"),
    ):
        _Way(sender, (OtherFrames(),), 4).carry(0)


def test_member_ends_with_the_main_process(capfd):
    """Without a word: it has nobody to say one to."""
    with Member(min(os.sched_getaffinity(0))) as member:
        member._channel.close()
        os.waitid(os.P_PID, member.pid, os.WEXITED | os.WNOWAIT)
    assert capfd.readouterr().err == ""


def test_failed_sender(crew, path):
    """It is told which errno, the receiver is told that nothing will come, and both go on."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.close(reader)
    broken = Path("broken", End(writer, EndKind.PIPE, b"\2" * 6), path.b, ExitStack())
    with pytest.raises(KernelError, match="send over broken: EPIPE"):
        run_trial(crew, broken, spec_for(path, "64"), frames=1)
    os.close(writer)
    assert run_trial(crew, path, spec_for(path, "64"), frames=10).lost == 0


def test_member_that_is_gone(path):
    with Crew() as crew:
        os.kill(crew.sender.pid, signal.SIGKILL)
        with pytest.raises(KernelError, match="has ended"):
            run_trial(crew, path, spec_for(path, "64"), frames=1)


@pytest.mark.parametrize(
    ("own", "limit"), [(10, Limit.KERNEL), (90, Limit.SENDER)], ids=["kernel", "sender"]
)
def test_limit_without_loss(crew, path, own, limit):
    """Where the sender's CPU time goes decides."""
    trial = run_trial(crew, path, spec_for(path, "64"), frames=10)
    sent = replace(trial.sent, use=CpuUse(own, 100 - own))
    assert replace(trial, sent=sent).limited_by is limit


@pytest.mark.parametrize(
    ("idle", "limit"), [(1, Limit.RECEIVER), (60, Limit.QUEUE)], ids=["receiver", "queue"]
)
def test_limit_with_loss(crew, path, idle, limit):
    """A receiver that had no time left, or a queue that was too short for a burst."""
    trial = run_trial(crew, path, spec_for(path, "64"), frames=10)
    received = replace(trial.received, frames=5, idle=idle, nanoseconds=100)
    assert replace(trial, received=received).limited_by is limit
