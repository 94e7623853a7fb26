"""Processes that send and receive, each pinned to a CPU of its own: no interpreter lock between.

A crew is forked before anything else runs on threads, and is handed jobs with descriptors for
as long as the benchmark lasts. A member that loses the main process ends.

    main process ── job, descriptors ──► member      ◄── ready ── go ──►      ◄── outcome ──
"""

from __future__ import annotations

import errno
import os
import pickle
import signal
import socket
import struct
import traceback
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from harness.errors import KernelError
from harness.kernel.cpu import two_cores
from harness.kernel.syscalls import die_with_parent
from harness.resource import Resource

__all__ = ["Crew", "Job", "Member", "Pending"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
_LENGTH = struct.Struct("=I")
_MOST_DESCRIPTORS = 250  # SCM_MAX_FD is 253
_GO = b"!"
_ENDED = "the process that does it has ended"


class Job(Protocol[T_co]):
    """Something for a member to do; it and its outcome can be pickled."""

    def prepare(self, descriptors: Sequence[int]) -> Any:
        """Whatever takes time before it can begin; a context manager."""

    def run(self, prepared: Any) -> T_co:
        """Do it. Raises OSError."""


class Pending(Generic[T]):
    """A job that is prepared, or runs."""

    def __init__(self, channel: socket.socket, what: str) -> None:
        self._channel = channel
        self._what = what

    def go(self) -> None:
        """Let it begin."""
        self._channel.sendall(_GO)

    def outcome(self) -> T:
        """What came of it. Raises KernelError when it failed."""
        try:
            outcome = _receive(self._channel)
        except EOFError as error:
            raise KernelError(self._what, errno.EPIPE, _ENDED) from error
        if isinstance(outcome, BaseException):
            number = outcome.errno if isinstance(outcome, OSError) else None
            raise KernelError(self._what, number or 0, str(outcome)) from outcome
        result: T = outcome
        return result


class Member(Resource):
    """One process, on the CPU `cpu`."""

    def __init__(self, cpu: int) -> None:
        self.cpu = cpu
        self._channel, theirs = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            self._channel.close()  # held here as well, it would never be seen to close
            _live(theirs, cpu)
        theirs.close()

    def start(self, job: Job[T], descriptors: Sequence[int], *, what: str) -> Pending[T]:
        """Hand it a job; returns once that is prepared. Raises KernelError when it cannot be."""
        data = pickle.dumps((job, len(descriptors)))
        try:
            self._channel.sendall(_LENGTH.pack(len(data)) + data)
            for at in range(0, len(descriptors), _MOST_DESCRIPTORS):
                part = list(descriptors[at : at + _MOST_DESCRIPTORS])
                socket.send_fds(self._channel, [_GO], part)
        except OSError as error:
            raise KernelError(what, error.errno or 0, _ENDED) from error
        pending = Pending[T](self._channel, what)
        pending.outcome()
        return pending

    def close(self) -> None:
        """End it, whatever it does; idempotent."""
        if self.pid:
            self._channel.close()
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


class Crew(Resource):
    """A sender and a receiver, on CPUs of their own where there are two.

    Make it before threads run. Use it in a `with` statement.
    """

    def __init__(self) -> None:
        ours, theirs = two_cores(os.sched_getaffinity(0))
        self.sender = Member(ours)
        self.receiver = Member(theirs)
        self.alone = ours == theirs
        """There is one CPU only: sender and receiver take turns on it."""

    def close(self) -> None:
        """End both; idempotent."""
        self.sender.close()
        self.receiver.close()


def _live(channel: socket.socket, cpu: int) -> None:
    """The life of a member: jobs, until the main process is gone. Does not return."""
    try:
        die_with_parent(signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process tells us, by ending us
        os.sched_setaffinity(0, {cpu})
        while True:
            _work(channel)
    except EOFError:
        pass  # the main process is gone, or wants no more
    except Exception:  # noqa: BLE001  (a fork does not unwind into its parent's frames)
        traceback.print_exc()
    finally:
        os._exit(0)


def _work(channel: socket.socket) -> None:
    job, count = _receive(channel)
    descriptors: list[int] = []
    while len(descriptors) < count:
        data, received, _, _ = socket.recv_fds(channel, 1, _MOST_DESCRIPTORS)
        if not data:
            raise EOFError
        descriptors += received
    try:
        with job.prepare(descriptors) as prepared:
            _send(channel, None)
            if channel.recv(1) != _GO:
                raise EOFError
            outcome = job.run(prepared)
    except OSError as error:
        outcome = error
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    _send(channel, outcome)


def _send(channel: socket.socket, what: object) -> None:
    data = pickle.dumps(what)
    channel.sendall(_LENGTH.pack(len(data)) + data)


def _receive(channel: socket.socket) -> Any:
    """What the other process has sent. Raises EOFError when it has ended."""
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size))
    return pickle.loads(_exactly(channel, length))


def _exactly(channel: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        try:
            part = channel.recv(length - len(data))
        except ConnectionError:  # it has ended with something unread
            part = b""
        if not part:
            raise EOFError
        data += part
    return bytes(data)
