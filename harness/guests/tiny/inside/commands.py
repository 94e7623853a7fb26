"""Programs in the guest: run to their end, or in the background."""

from __future__ import annotations

import os
import signal

from harness.guests.tiny.inside.tasks import RequestError, Wait, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from harness.guests.tiny.inside.tasks import Steps
    from harness.guests.tiny.wire import Fields, Value

__all__ = ["Command", "Commands", "power"]

_MOST_OUTPUT = 1 << 20
_GONE_WITHIN = 2.0


class Command:
    """A program that runs, the leader of a process group of its own."""

    def __init__(self, argv: list[str]) -> None:
        if not argv:
            raise RequestError("no program is named")
        self._outputs = [os.memfd_create(x, os.MFD_CLOEXEC) for x in ("stdout", "stderr")]
        devnull = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._pid = os.posix_spawnp(
                argv[0],
                argv,
                dict(os.environ),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, devnull, 0),
                    (os.POSIX_SPAWN_DUP2, self._outputs[0], 1),
                    (os.POSIX_SPAWN_DUP2, self._outputs[1], 2),
                ],
                setpgroup=0,
            )
        except OSError as error:
            for fd in self._outputs:
                os.close(fd)
            raise RequestError(f"{argv[0]}: {error.strerror}", error.errno or 0) from error
        finally:
            os.close(devnull)
        self.pidfd = os.pidfd_open(self._pid)

    def end(self, seconds: float, *, number: int = signal.SIGKILL) -> Steps:
        """Wait that long for its end, then signal it, and kill what goes on nevertheless."""
        ended = timed_out = False
        try:
            ended = yield Wait([self.pidfd], deadline=until(seconds))
            if not ended:
                timed_out = True
                self._signal(number)
                ended = yield Wait([self.pidfd], deadline=until(_GONE_WITHIN))
        finally:
            if not ended:
                self._signal(signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            texts = [_read(fd) for fd in self._outputs]
            for fd in (self.pidfd, *self._outputs):
                os.close(fd)
        return {
            "status": status,
            "stdout": texts[0],
            "stderr": texts[1],
            "timed_out": timed_out,
        }

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._pid, number)
        except ProcessLookupError:
            pass


def _read(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    return os.pread(fd, _MOST_OUTPUT, max(0, size - _MOST_OUTPUT))


class Commands:
    """The programs in the background, by number."""

    def __init__(self) -> None:
        self._running: dict[int, Command] = {}
        self._last = 0

    def run(self, fields: Fields) -> Steps:
        """Answer when it has ended."""
        return (yield from Command(_argv(fields)).end(_seconds(fields)))

    def start(self, fields: Fields) -> Steps:
        """Answer with its number, at once."""
        self._last += 1
        self._running[self._last] = Command(_argv(fields))
        return {"command": self._last}
        yield  # makes it a generator

    def stop(self, fields: Fields) -> Steps:
        """Wait, then signal it, and answer as `run` does."""
        number = fields["command"]
        assert isinstance(number, int)
        if number not in self._running:
            raise RequestError(f"no command {number} is running")
        wanted = fields["signal"]
        assert isinstance(wanted, int)
        return (yield from self._running.pop(number).end(_seconds(fields), number=wanted))

    def numbers(self) -> list[Value]:
        """Of those that have not been stopped."""
        return list(self._running)


def _argv(fields: Fields) -> list[str]:
    argv = fields["argv"]
    assert isinstance(argv, list)
    return [str(word) for word in argv]


def _seconds(fields: Fields) -> float:
    seconds = fields["seconds"]
    assert isinstance(seconds, int | float)
    return seconds


def power(applet: str) -> None:
    """Leave, by busybox's `poweroff` or `reboot`."""
    os.sync()
    Command([applet, "-f"])
