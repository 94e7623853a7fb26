"""Traffic of the guest's own stack: ping and TCP."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
import zlib

from harness.guests.tiny.inside.tasks import RequestError, Wait, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from harness.guests.tiny.inside.tasks import Steps, Tasks
    from harness.guests.tiny.wire import Fields, Value

__all__ = ["Listeners", "ping", "transfer"]

_IP_RECVERR = 11
_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_ICMP = struct.Struct(">BBHHH")
_DIGEST = struct.Struct(">QI")  # bytes, crc32
_CHUNK = 1 << 16
# Of a prime length, so that a chunk in the wrong place is seen; nothing that takes time to make.
_PATTERN = bytes(range(251)) * (2 * _CHUNK // 251 + 1)


def _checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(fields: Fields) -> Steps:
    """One echo request; answers as soon as the reply, or an error, is there."""
    ident, sequence = os.getpid() & 0xFFFF, int(time.monotonic() * 1000) & 0xFFFF
    size = fields["size"]
    assert isinstance(size, int)
    load = _PATTERN[:size]
    head = _ICMP.pack(_ECHO_REQUEST, 0, 0, ident, sequence)
    head = _ICMP.pack(_ECHO_REQUEST, 0, _checksum(head + load), ident, sequence)
    reply = _ICMP.pack(_ECHO_REPLY, 0, 0, ident, sequence)
    give_up = until(fields["seconds"])
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(0)
        # Else raw_err() keeps what is not fatal to itself, a neighbour that is not found too.
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        try:
            sock.connect((str(fields["address"]), 0))
            begun = time.monotonic()
            sock.send(head + load)
            while (yield Wait([sock.fileno()], deadline=give_up)):
                try:
                    answer = sock.recv(_CHUNK)
                except BlockingIOError:
                    continue
                answer = answer[(answer[0] & 15) * 4 :]
                if answer[:2] + answer[4:8] == reply[:2] + reply[4:8]:
                    good = answer[8:] == load
                    reason = "" if good else "the data came back changed"
                    return {"ok": good, "rtt": time.monotonic() - begun, "reason": reason}
        except OSError as error:
            return {"ok": False, "rtt": 0.0, "reason": os.strerror(error.errno or 0)}
    return {"ok": False, "rtt": 0.0, "reason": "no answer"}


class Listeners:
    """TCP ports that are listened on, by number. They go on when the host is gone."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._open: dict[int, Steps] = {}

    def open(self, fields: Fields) -> Fields:
        """Listen; answers the port, which the kernel chooses when 0 is asked for."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            port = fields["port"]
            assert isinstance(port, int)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((str(fields["address"]), port))
            sock.listen()
            sock.settimeout(0)
        except OSError:
            sock.close()
            raise
        port = sock.getsockname()[1]
        self._open[port] = self._tasks.start(self._accept(sock, echo=bool(fields["echo"])))
        return {"port": port}

    def close(self, fields: Fields) -> Fields:
        """Stop listening; connections go on to their end."""
        port = fields["port"]
        assert isinstance(port, int)
        if port not in self._open:
            raise RequestError(f"port {port} is not listened on")
        self._tasks.stop(self._open.pop(port))
        return {}

    def ports(self) -> list[Value]:
        """Those that are listened on."""
        return list(self._open)

    def _accept(self, sock: socket.socket, *, echo: bool) -> Steps:
        with sock:
            while True:
                yield Wait([sock.fileno()])
                try:
                    client, _ = sock.accept()
                except OSError:  # it has gone again
                    continue
                self._tasks.start(_serve(client, echo=echo))


def _serve(sock: socket.socket, *, echo: bool) -> Steps:
    """Send back what comes; or take it, and at its end say what it was."""
    waiting = b""
    size = crc = 0
    ended = False
    with sock:
        sock.settimeout(0)
        while not ended or waiting:
            reads = [sock.fileno()] if not ended and len(waiting) < _CHUNK else []
            yield Wait(reads, [sock.fileno()] if waiting else [])
            if reads:
                try:
                    data = sock.recv(_CHUNK)
                    ended = not data
                    size, crc = size + len(data), zlib.crc32(data, crc)
                    if echo:
                        waiting += data
                    elif ended:
                        waiting = _DIGEST.pack(size, crc)
                except BlockingIOError:
                    pass
            if waiting:
                try:
                    waiting = waiting[sock.send(waiting) :]
                except BlockingIOError:
                    pass
    return {}


def transfer(fields: Fields) -> Steps:
    """Send bytes to a listener of ours; whether they, or their checksum, came back."""
    size, echo = fields["size"], bool(fields["echo"])
    assert isinstance(size, int)
    give_up = until(fields["seconds"])
    begun = time.monotonic()
    sent = crc = got = got_crc = 0
    digest, reason = b"", "time is up"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(0)
        try:
            yield from _connect(sock, (str(fields["address"]), fields["port"]), give_up)
            sending = True
            while True:
                if sending and sent == size:
                    sock.shutdown(socket.SHUT_WR)
                    sending = False
                writes = [sock.fileno()] if sending else []
                if not (yield Wait([sock.fileno()], writes, give_up)):
                    break
                if sending:
                    begin = sent % _CHUNK
                    chunk = _PATTERN[begin : begin + min(_CHUNK, size - sent)]
                    try:
                        done = sock.send(chunk)
                        sent, crc = sent + done, zlib.crc32(chunk[:done], crc)
                    except BlockingIOError:
                        pass
                try:
                    data = sock.recv(_CHUNK)
                except BlockingIOError:
                    continue
                if not data:
                    reason = ""
                    break
                got, got_crc = got + len(data), zlib.crc32(data, got_crc)
                digest = (digest + data)[-_DIGEST.size :]
        except OSError as error:
            reason = os.strerror(error.errno or 0)
    if not echo and not reason:
        got, got_crc = _DIGEST.unpack(digest.rjust(_DIGEST.size, b"\0"))
    if not reason and (got, got_crc) != (size, crc):
        reason = f"{got} of {size} bytes came" if got != size else "the data came changed"
    seconds = time.monotonic() - begun
    return {"ok": not reason, "reason": reason, "sent": sent, "seconds": seconds}


def _connect(sock: socket.socket, to: tuple[str, Value], give_up: float) -> Steps:
    problem = sock.connect_ex(to)
    if problem == errno.EINPROGRESS:
        if not (yield Wait(writes=[sock.fileno()], deadline=give_up)):
            raise OSError(errno.ETIMEDOUT, "no connection")
        problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if problem:
        raise OSError(problem, "no connection")
    return {}
