"""The agent in the guest: answers requests on the virtio-serial port, until the guest ends.

/init execs it. What a request does is in `inside`; this is who asks, and what goes back.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys

from harness.guests.tiny import wire
from harness.guests.tiny.inside import nics
from harness.guests.tiny.inside.commands import Commands, power
from harness.guests.tiny.inside.frames import Captures, send
from harness.guests.tiny.inside.tasks import RequestError, Tasks
from harness.guests.tiny.inside.traffic import Listeners, ping, transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.guests.tiny.inside.tasks import Steps
    from harness.guests.tiny.wire import Fields, Message

__all__ = ["Agent", "main"]

_PORTS = "/sys/class/virtio-ports"
_AT_ONCE = 1 << 16
_LOOK_AGAIN = 1.0  # seconds; the signal comes first, but a lost one must not strand us


class Agent:
    """Serves one port, a descriptor that does not block."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._session = b""
        self._receiver = wire.Receiver()
        self._out = b""
        self._power = ""
        self._away = False
        self._tasks = Tasks()
        self._commands = Commands()
        self._captures = Captures()
        self._listeners = Listeners(self._tasks)
        self._long: dict[str, Callable[[Fields], Steps]] = {
            "run": self._commands.run,
            "start": self._commands.start,
            "stop": self._commands.stop,
            "send": send,
            "read": self._captures.read,
            "ping": ping,
            "transfer": transfer,
        }
        self._short: dict[str, Callable[[Fields], Fields]] = {
            wire.HELLO: self._hello,
            "change": nics.change,
            "neighbour": nics.neighbour,
            "capture": self._captures.open,
            "release": self._captures.close,
            "listen": self._listeners.open,
            "deafen": self._listeners.close,
            "power": self._leave,
        }

    def serve(self, *, wake: int = -1) -> None:
        """Answer. `wake` is readable when an absent host may have come back; without it, a host
        that goes is the end.
        """
        while True:
            reads = [] if self._away else [self._port]
            writes = [self._port] if self._out and not self._away else []
            longest = _LOOK_AGAIN if self._away else None
            ready = self._tasks.turn([*reads, *([wake] if wake >= 0 else [])], writes, longest)
            if wake in ready:
                os.read(wake, _AT_ONCE)
            if self._away or self._port in ready:
                self._write()
                self._read()
            if self._away and wake < 0:
                return
            if self._power and not self._out:
                power(self._power)
                self._power = ""

    def _read(self) -> None:
        try:
            data = os.read(self._port, _AT_ONCE)
        except BlockingIOError:
            self._present()
            return
        if data:
            self._present()
            for message in self._receiver.feed(data):
                self._take(message)
        elif not self._away:
            self._away = True
            self._out = b""  # its half would only be in the way of who comes next
            self._listen_for_host(on=True)

    def _present(self) -> None:
        if self._away:
            self._away = False
            self._listen_for_host(on=False)

    def _listen_for_host(self, *, on: bool) -> None:
        # The port's poll() says POLLHUP while no host is there, which would be waited for in a
        # loop; SIGIO comes when that changes (handle_control_message, virtio_console.c).
        flags = fcntl.fcntl(self._port, fcntl.F_GETFL)
        flags = flags | os.O_ASYNC if on else flags & ~os.O_ASYNC
        fcntl.fcntl(self._port, fcntl.F_SETFL, flags)

    def _write(self) -> None:
        if self._out:
            try:
                self._out = self._out[os.write(self._port, self._out[:_AT_ONCE]) :]
            except OSError as error:  # EPIPE where it is a socket, in the tests
                if error.errno not in (errno.EAGAIN, errno.EPIPE):
                    raise

    # ------------------------------------------------------------------ one request

    def _take(self, message: Message) -> None:
        if message.session != self._session:
            if message.kind != wire.HELLO:
                return  # of a host that is gone, or of one who has not said who it is
            self._tasks.stop_answering()
            self._session = message.session
            self._out = b""

        def done(outcome: Fields | Exception) -> None:
            self._answer(message, outcome)

        if steps := self._long.get(message.kind):
            self._tasks.start(steps(message.fields), done)
            return
        try:
            handler = self._short.get(message.kind)
            if handler is None:
                raise RequestError(f"no such request: {message.kind}", errno.ENOSYS)
            done(handler(message.fields))
        except Exception as error:  # noqa: BLE001  (whatever it is, the host is told)
            done(error)

    def _answer(self, request: Message, outcome: Fields | Exception) -> None:
        kind = wire.ANSWER
        if isinstance(outcome, RequestError):
            kind, outcome = wire.ERROR, {"problem": outcome.problem, "errno": outcome.errno}
        elif isinstance(outcome, OSError):
            problem = outcome.strerror or str(outcome)
            kind, outcome = wire.ERROR, {"problem": problem, "errno": outcome.errno or 0}
        elif isinstance(outcome, Exception):
            problem = f"{type(outcome).__name__}: {outcome}"
            kind, outcome = wire.ERROR, {"problem": problem, "errno": 0}
        answer = wire.Message(self._session, request.number, kind, outcome)
        self._out += wire.encode(answer)
        self._write()

    def _hello(self, _: Fields) -> Fields:
        uname = os.uname()
        with open("/proc/uptime") as file:
            uptime = float(file.read().split()[0])
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        return {
            "version": wire.VERSION,
            "architecture": uname.machine,
            "kernel": uname.release,
            "uptime": uptime,
            "boot": boot,
            "nics": nics.facts(),
            "commands": self._commands.numbers(),
            "captures": self._captures.numbers(),
            "ports": self._listeners.ports(),
        }

    def _leave(self, fields: Fields) -> Fields:
        self._power = {"off": "poweroff", "reboot": "reboot"}[str(fields["how"])]
        return {}  # which is sent before it is done


def _find_port() -> str:
    """The node of our port. udev would have made a link of its name; there is none here."""
    for port in os.listdir(_PORTS):
        with open(f"{_PORTS}/{port}/name") as file:
            if file.read().strip() == wire.PORT:
                return f"/dev/{port}"
    raise SystemExit(f"no virtio-serial port is named {wire.PORT}")


def main() -> None:
    """Serve for ever."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGIO, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    port = os.open(_find_port(), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(port, fcntl.F_SETOWN, os.getpid())
    os.write(sys.stdout.fileno(), b"agent: ready\n")
    Agent(port).serve(wake=reader)
