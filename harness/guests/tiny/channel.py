"""The host's end of an agent's port: requests out, answers in, over a unix socket."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import GuestError
from harness.guests.tiny import wire
from harness.guests.tiny.wire import Message, WireError
from harness.kernel.waiting import look_until
from harness.resource import Resource

if TYPE_CHECKING:  # the guest has no `typing` to make them with
    from harness.guests.tiny.wire import Fields, Value

__all__ = ["Channel"]

_AT_ONCE = 1 << 18
_AGAIN = 1.0  # seconds; a first word may be lost while the guest starts, or is being restored


class Channel(Resource):
    """A connection and its session. One request at a time; further threads wait for their turn.

    Once the connection is lost, or a request was left half sent, every request says so.
    """

    def __init__(self, guest: str, sock: socket.socket) -> None:
        self.guest = guest
        self._sock = sock
        self._sock.setblocking(False)  # noqa: FBT003
        self._receiver = wire.Receiver()
        self._arrived: list[Message] = []
        self._session = b""
        self._number = 0
        self._lost = ""
        self._turn = threading.Lock()

    @classmethod
    def connect(cls, path: Path, *, within: float) -> Channel:
        """Connect to the socket at `path` as soon as it is there. Raises GuestError."""

        def attempt() -> socket.socket | OSError:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                _connect(sock, path)
                return sock
            except OSError as error:
                sock.close()
                return error

        found = look_until(attempt, lambda x: not isinstance(x, OSError), within=within)
        if isinstance(found, OSError):
            problem = f"cannot connect to {path} ({found.strerror})"
            raise GuestError(path.name, "connect", problem, errno=found.errno or 0, lost=True)
        return cls(str(path), found)

    def greet(self, *, within: float) -> Fields:
        """Begin a session: whatever either side has half sent before is void. Raises GuestError."""
        with self._turn:
            give_up = time.monotonic() + within
            self._session = secrets.token_bytes(wire.SESSION)
            while True:
                pause = min(_AGAIN, max(0.0, give_up - time.monotonic()))
                try:
                    return self._ask(wire.HELLO, {}, pause)
                except GuestError as error:
                    if error.lost or time.monotonic() >= give_up:
                        raise

    def ask(self, kind: str, *, within: float, **fields: Value) -> Fields:
        """What the guest answers. Raises GuestError, after `within` seconds at the latest."""
        with self._turn:
            return self._ask(kind, fields, within)

    def _ask(self, kind: str, fields: Fields, within: float) -> Fields:
        if self._lost:
            raise self._error(kind, self._lost, lost=True)
        self._number += 1
        try:
            data = wire.encode(Message(self._session, self._number, kind, fields))
        except WireError as error:
            raise self._error(kind, str(error)) from error
        give_up = time.monotonic() + within
        try:
            self._send(kind, data, give_up)
            return self._await(kind, give_up, within)
        except OSError as error:
            self._lost = f"the connection is lost ({error.strerror})"
            raise self._error(kind, self._lost, lost=True) from error

    def _send(self, kind: str, data: bytes, give_up: float) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                # Reads too: a guest that cannot get rid of its answer would not listen.
                if not self._wait(give_up, select.POLLIN | select.POLLOUT):
                    # The next message begins with a delimiter, so its half does no harm.
                    raise self._error(kind, "the guest does not read") from None
                self._receive()

    def _await(self, kind: str, give_up: float, within: float) -> Fields:
        while True:
            while self._arrived:
                message = self._arrived.pop(0)
                if (message.session, message.number) != (self._session, self._number):
                    continue  # the answer to what was given up, or to somebody before us
                if message.kind == wire.ERROR:
                    problem, errno = message.fields.get("problem"), message.fields.get("errno")
                    number = errno if isinstance(errno, int) else 0
                    raise self._error(kind, str(problem), errno=number)
                return message.fields
            if not self._wait(give_up, select.POLLIN):
                raise self._error(kind, f"no answer within {within:g} s")
            self._receive()

    def _wait(self, give_up: float, events: int) -> bool:
        poll = select.poll()
        poll.register(self._sock, events)
        return bool(poll.poll(max(0.0, give_up - time.monotonic()) * 1000))

    def _receive(self) -> None:
        try:
            data = self._sock.recv(_AT_ONCE)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionResetError(0, "closed by QEMU")
        self._arrived += self._receiver.feed(data)

    def _error(
        self, request: str, problem: str, *, errno: int = 0, lost: bool = False
    ) -> GuestError:
        return GuestError(self.guest, request, problem, errno=errno, lost=lost)

    def close(self) -> None:
        """Disconnect; idempotent."""
        self._lost = self._lost or "the connection has been closed"
        self._sock.close()


def _connect(sock: socket.socket, path: Path) -> None:
    """By way of its folder: sun_path has room for 107 bytes only."""
    folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        with contextlib.suppress(OSError):
            os.close(folder)
