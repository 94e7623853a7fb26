"""Processes that send or receive by the frame engine, each on a CPU of its own.

A worker is a fork of ours: it inherits descriptors, and ends when we do. It says when it is
ready, and its count comes back through a pipe.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.errors import KernelError
from harness.kernel.engine import Receiver, Sender
from harness.kernel.syscalls import die_with_parent
from harness.resource import Resource

__all__ = ["AlternatingWorker", "Progress", "ReceivingWorker", "SendingWorker", "Sent"]

_UNBOUNDED = 1 << 62
_QUIET = 0.01  # seconds without a frame, after which a receiver looks whether it is to stop


class Progress(Resource):
    """How many frames have arrived, in memory that sender and receiver share.

    `fd` is the memory's descriptor, for those who are no fork of ours.
    """

    def __init__(self) -> None:
        self.fd = os.memfd_create("progress", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, mmap.PAGESIZE)
        self._memory = mmap.mmap(self.fd, mmap.PAGESIZE)
        self.count = memoryview(self._memory).cast("Q")

    def close(self) -> None:
        """Give the memory back; idempotent."""
        if self.fd >= 0:
            self.count.release()
            self._memory.close()
            os.close(self.fd)
            self.fd = -1


@dataclass(frozen=True)
class Sent:
    """What a sender did: frames that were taken from it, in how many seconds.

    `received` is what it has received itself, for one that does both.
    """

    frames: int
    seconds: float
    received: int = 0


class _Worker(Resource):
    """A fork that does `work` on `cpu`; `work` says ready by its first argument.

    Its second is a descriptor that becomes readable when it is to stop. Its outcome is JSON.
    """

    def __init__(self, work: Callable[[Callable[[], None], int], Any], cpu: int) -> None:
        outcome, theirs = os.pipe()
        stop, self._stop = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(outcome)
            os.close(self._stop)
            _run(work, cpu, theirs, stop)
        os.close(theirs)
        os.close(stop)
        self._outcome = os.fdopen(outcome, "rb")
        try:
            self._line()
        except KernelError:
            self.close()
            raise

    def _line(self) -> Any:
        line = self._outcome.readline()
        said = json.loads(line) if line else {"error": [0, "worker died"]}
        if isinstance(said, dict):
            number, what = said["error"]
            raise KernelError("send or receive frames", number, what)
        return said

    def stop(self) -> None:
        """Let it come to its end."""
        if self._stop >= 0:
            os.close(self._stop)
            self._stop = -1

    def outcome(self) -> Any:
        """What it has done, once it has. Raises KernelError when it failed."""
        try:
            return self._line()
        finally:
            self.close()

    def close(self) -> None:
        """Kill it; idempotent."""
        self.stop()
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
            self._outcome.close()


def _run(work: Callable[[Callable[[], None], int], Any], cpu: int, outcome: int, stop: int) -> None:
    """The child: never returns."""
    try:
        die_with_parent(signal.SIGKILL)
        gc.disable()  # nothing is allocated that would need it
        os.sched_setaffinity(0, {cpu})
        said: Any = work(lambda: _say(outcome, "ready"), stop)
    except OSError as error:
        said = {"error": [error.errno or 0, str(error)]}
    except BaseException as error:  # noqa: BLE001  (it must not come back into the parent's code)
        said = {"error": [0, repr(error)]}
    try:
        _say(outcome, said)
    finally:
        os._exit(0)


def _say(outcome: int, said: Any) -> None:
    os.write(outcome, json.dumps(said).encode() + b"\n")


class SendingWorker(_Worker):
    """Sends as fast as it can for `seconds`, from the moment it is made.

    `make` gives the sender, in the worker; it looks at the clock after each `batch`. With
    `progress`, in which the receiver counts, no more than `window` frames are on their way.
    Use it in a `with` statement.
    """

    def __init__(
        self,
        make: Callable[[], Sender],
        *,
        batch: int,
        seconds: float,
        cpu: int,
        window: int = 0,
        progress: Progress | None = None,
    ) -> None:
        def work(ready: Callable[[], None], _stop: int) -> list[float]:
            arrived = progress.count if progress else [0]
            ahead = window - batch if progress else _UNBOUNDED
            with make() as sender:
                ready()
                now, give_way = time.perf_counter, os.sched_yield
                sent = 0
                begin = now()
                end = begin + seconds
                while now() < end:
                    if sent - arrived[0] > ahead:
                        give_way()
                        continue
                    sender.send(batch)
                    sent += batch
                return [sent - sender.refused, now() - begin]

        super().__init__(work, cpu)

    def finish(self) -> Sent:
        """What it has sent, once it has. Raises KernelError."""
        frames, seconds = self.outcome()
        return Sent(int(frames), seconds)


class AlternatingWorker(_Worker):
    """Sends a batch and receives it, in turn, for `seconds`, all on one CPU.

    `make` gives sender and receiver, in the worker. Use it in a `with` statement.
    """

    def __init__(
        self,
        make: Callable[[], tuple[Sender, Receiver]],
        *,
        seconds: float,
        cpu: int,
    ) -> None:
        def work(ready: Callable[[], None], _stop: int) -> list[float]:
            sender, receiver = make()
            with sender, receiver:
                ready()
                batch, now, receive = sender.pool.slots, time.perf_counter, receiver.receive
                sent = received = 0
                begin = now()
                end = begin + seconds
                while now() < end:
                    sender.send(batch)
                    sent += batch
                    wanted = sent - sender.refused
                    while received < wanted:
                        several = receive(wanted - received)
                        if not several:
                            break
                        received += several
                return [sent - sender.refused, now() - begin, received]

        super().__init__(work, cpu)

    def finish(self) -> Sent:
        """What it has sent and received, once it has. Raises KernelError."""
        frames, seconds, received = self.outcome()
        return Sent(int(frames), seconds, int(received))


class ReceivingWorker(_Worker):
    """Receives from the moment it is made until told to stop and nothing is left.

    `make` gives the receiver, in the worker; `ready` is done once that is made; `progress` is
    where it counts. Use it in a `with` statement.
    """

    def __init__(
        self,
        make: Callable[[], Receiver],
        *,
        cpu: int,
        ready: Callable[[], None] = lambda: None,
        progress: Progress | None = None,
    ) -> None:
        def work(say_ready: Callable[[], None], stop: int) -> int:
            arrived = progress.count if progress else [0]
            told = select.poll()
            told.register(stop, select.POLLIN | select.POLLHUP)
            with make() as receiver:
                ready()
                say_ready()
                receive, wait = receiver.receive, receiver.wait
                frames = 0
                while True:
                    several = receive()
                    frames += several
                    arrived[0] = frames
                    if not several and not wait(_QUIET) and told.poll(0):
                        return frames

        super().__init__(work, cpu)

    def finish(self) -> int:
        """Stop it; how many frames came in all. Raises KernelError."""
        self.stop()
        frames: int = self.outcome()
        return frames
