"""Requests side by side on one thread: each is a generator that yields what it waits for."""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Any, TypeAlias

    from harness.guests.tiny.wire import Fields

    Steps: TypeAlias = "Generator[Wait, bool, Fields]"

__all__ = ["RequestError", "Tasks", "Wait", "until"]


class RequestError(Exception):
    """A request that cannot be done; goes back to the host with its errno, 0 where none is."""

    def __init__(self, problem: str, errno: int = 0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.errno = errno


class Wait:
    """Wait until one of these descriptors is ready, or the clock (time.monotonic) says so.

    What yields it is sent whether one is ready.
    """

    __slots__ = ("deadline", "reads", "writes")

    def __init__(
        self,
        reads: Iterable[int] = (),
        writes: Iterable[int] = (),
        deadline: float | None = None,
    ) -> None:
        self.reads = tuple(reads)
        self.writes = tuple(writes)
        self.deadline = deadline


def until(seconds: Any) -> float:
    """The deadline that lies that many seconds ahead."""
    return time.monotonic() + float(seconds)


class _Task:
    __slots__ = ("done", "steps", "wait")

    def __init__(self, steps: Steps, done: Callable[[Fields | Exception], None] | None) -> None:
        self.steps = steps
        self.done = done
        self.wait: Wait | None = None


class Tasks:
    """The generators that are under way."""

    def __init__(self) -> None:
        self._tasks: list[_Task] = []

    def start(
        self, steps: Steps, done: Callable[[Fields | Exception], None] | None = None
    ) -> Steps:
        """Begin `steps`; `done` gets what it returns or raises. Without one it goes on beyond
        the session, and what it raises ends it only.
        """
        task = _Task(steps, done)
        self._tasks.append(task)
        self._step(task, ready=False)
        return steps

    def stop(self, steps: Steps) -> None:
        """End one early: its `finally` clauses run."""
        self._tasks = [x for x in self._tasks if x.steps is not steps]
        steps.close()

    def stop_answering(self) -> None:
        """End all that somebody was to get an answer of, who is gone."""
        for task in [x for x in self._tasks if x.done]:
            self.stop(task.steps)

    def turn(self, reads: Iterable[int], writes: Iterable[int], longest: float | None) -> set[int]:
        """Wait for what any task waits for, or for these descriptors, and go on with who can.

        Returns which of `reads` and `writes` are ready; after `longest` seconds none need be.
        """
        own = {*reads, *writes}
        poll: dict[int, int] = {}
        for fd in reads:
            poll[fd] = poll.get(fd, 0) | select.POLLIN
        for fd in writes:
            poll[fd] = poll.get(fd, 0) | select.POLLOUT
        deadlines = [] if longest is None else [time.monotonic() + longest]
        for task in self._tasks:
            if (wait := task.wait) is None:
                continue
            for fd in wait.reads:
                poll[fd] = poll.get(fd, 0) | select.POLLIN
            for fd in wait.writes:
                poll[fd] = poll.get(fd, 0) | select.POLLOUT
            if wait.deadline is not None:
                deadlines.append(wait.deadline)
        poller = select.poll()
        for fd, events in poll.items():
            poller.register(fd, events)
        pause = max(0.0, min(deadlines) - time.monotonic()) * 1000 if deadlines else None
        # Rounded up: a deadline met a moment early would be polled for again, and again.
        found = {fd for fd, _ in poller.poll(None if pause is None else int(pause) + 1)}
        now = time.monotonic()
        for task in list(self._tasks):
            if task not in self._tasks or (wait := task.wait) is None:
                continue
            ready = bool(found.intersection(wait.reads) or found.intersection(wait.writes))
            if ready or (wait.deadline is not None and now >= wait.deadline):
                self._step(task, ready=ready)
        return found & own

    def _step(self, task: _Task, *, ready: bool) -> None:
        outcome: Fields | Exception
        try:
            task.wait = next(task.steps) if task.wait is None else task.steps.send(ready)
            return
        except StopIteration as stop:
            outcome = stop.value or {}
        except Exception as error:  # noqa: BLE001  (whatever it is, the host is told)
            outcome = error
        self._tasks.remove(task)
        if task.done:
            task.done(outcome)
