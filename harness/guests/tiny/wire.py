"""What host and guest say to each other on the agent's port; docs/guest-agent.md describes it.

A message is a body between two delimiters, escaped so that no delimiter is in it (as SLIP does,
RFC 1055). However a stream was cut or garbled, the next delimiter begins anew, and a checksum
tells what is whole: nobody waits for the rest of a message that was lost.

    END  [ version | session | number | value | crc32 ]  END

Both sides run this file, the guest on a bare Python: no dataclasses, no typing.
"""

from __future__ import annotations

import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    Value: TypeAlias = (
        "bool | int | float | str | bytes | Sequence[Value] | dict[str, Value] | None"
    )
    Fields: TypeAlias = dict[str, Value]

__all__ = [
    "ANSWER",
    "ERROR",
    "HELLO",
    "LONGEST",
    "PORT",
    "SESSION",
    "VERSION",
    "Message",
    "Receiver",
    "WireError",
    "decode",
    "encode",
    "pack",
    "unpack",
]

VERSION = 1
PORT = "org.hairpin.agent"
SESSION = 8
"""Bytes of a session's name."""
LONGEST = 8 << 20
"""Bytes of the longest message; what is longer is dropped unread."""

HELLO, ANSWER, ERROR = "hello", "answer", "error"

_END, _ESC = b"\xc0", b"\xdb"
_ESCAPED_END, _ESCAPED_ESC = b"\xdb\xdc", b"\xdb\xdd"
_HEADER = struct.Struct(f">B{SESSION}sI")
_CRC = struct.Struct(">I")
_COUNT = struct.Struct(">I")
_INTEGER = struct.Struct(">q")
_REAL = struct.Struct(">d")
_DEEPEST = 16


class WireError(ValueError):
    """Bytes that are no message, or a value that a message cannot hold."""


class Message:
    """One request or answer: the session it belongs to, its number, its kind and fields."""

    __slots__ = ("fields", "kind", "number", "session")

    def __init__(self, session: bytes, number: int, kind: str, fields: Fields) -> None:
        self.session = session
        self.number = number
        self.kind = kind
        self.fields = fields

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return all(getattr(self, x) == getattr(other, x) for x in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Message({self.session!r}, {self.number}, {self.kind!r}, {self.fields!r})"


# ---------------------------------------------------------------------- values


def pack(value: Value) -> bytes:
    """A value as bytes: a letter for its type, its length where that varies, itself."""
    out: list[bytes] = []
    _pack(value, out, 0)
    return b"".join(out)


def _pack(value: Value, out: list[bytes], depth: int) -> None:
    if depth > _DEEPEST:
        raise WireError("nested too deep")
    if value is None:
        out.append(b"n")
    elif isinstance(value, bool):
        out.append(b"t" if value else b"f")
    elif isinstance(value, int):
        try:
            out.append(b"i" + _INTEGER.pack(value))
        except struct.error as error:
            raise WireError(f"{value} takes more than 64 bits") from error
    elif isinstance(value, float):
        out.append(b"d" + _REAL.pack(value))
    elif isinstance(value, str):
        _pack_bytes(b"s", value.encode("utf-8", "surrogateescape"), out)
    elif isinstance(value, bytes):
        _pack_bytes(b"b", value, out)
    elif isinstance(value, dict):
        out.append(b"m" + _COUNT.pack(len(value)))
        for key, item in value.items():
            _pack_bytes(b"", key.encode(), out)
            _pack(item, out, depth + 1)
    elif isinstance(value, list | tuple):
        out.append(b"l" + _COUNT.pack(len(value)))
        for item in value:
            _pack(item, out, depth + 1)
    else:
        raise WireError(f"a {type(value).__name__} cannot be sent")


def _pack_bytes(letter: bytes, data: bytes, out: list[bytes]) -> None:
    out += (letter, _COUNT.pack(len(data)), data)


def unpack(data: bytes) -> Value:
    """The value that `data` is. Raises WireError."""
    try:
        value, end = _unpack(data, 0, 0)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise WireError(f"no value: {error}") from error
    if end != len(data):
        raise WireError(f"{len(data) - end} bytes too many")
    return value


def _unpack(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth > _DEEPEST:
        raise WireError("nested too deep")
    letter, at = data[at : at + 1], at + 1
    if letter in (b"n", b"t", b"f"):
        return {b"n": None, b"t": True, b"f": False}[letter], at
    if letter == b"i":
        return _INTEGER.unpack_from(data, at)[0], at + _INTEGER.size
    if letter == b"d":
        return _REAL.unpack_from(data, at)[0], at + _REAL.size
    if letter == b"s":
        found, at = _unpack_bytes(data, at)
        return found.decode("utf-8", "surrogateescape"), at
    if letter == b"b":
        return _unpack_bytes(data, at)
    if letter not in (b"l", b"m"):
        raise WireError(f"{letter!r} is no type")
    (count,), at = _COUNT.unpack_from(data, at), at + _COUNT.size
    items: list[Value] = []
    fields: Fields = {}
    for _ in range(count):
        key = b""
        if letter == b"m":
            key, at = _unpack_bytes(data, at)
        item, at = _unpack(data, at, depth + 1)
        if letter == b"m":
            fields[key.decode()] = item
        else:
            items.append(item)
    return (fields if letter == b"m" else items), at


def _unpack_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    (size,) = _COUNT.unpack_from(data, at)
    at += _COUNT.size
    if at + size > len(data):
        raise WireError("cut short")
    return data[at : at + size], at + size


# ---------------------------------------------------------------------- messages


def encode(message: Message) -> bytes:
    """The message as it goes on the wire. Raises WireError where it cannot, or is too long."""
    body = _HEADER.pack(VERSION, message.session, message.number)
    body += pack({"kind": message.kind, **message.fields})
    body += _CRC.pack(zlib.crc32(body))
    if len(body) > LONGEST:
        raise WireError(f"a message of {len(body)} bytes; the longest is {LONGEST}")
    return _END + body.replace(_ESC, _ESCAPED_ESC).replace(_END, _ESCAPED_END) + _END


def decode(escaped: bytes) -> Message:
    """The message between two delimiters. Raises WireError where it is not whole."""
    body = escaped.replace(_ESCAPED_END, _END).replace(_ESCAPED_ESC, _ESC)
    if len(body) < _HEADER.size + _CRC.size:
        raise WireError("cut short")
    body, crc = body[: -_CRC.size], body[-_CRC.size :]
    if _CRC.pack(zlib.crc32(body)) != crc:
        raise WireError("the checksum is wrong")
    version, session, number = _HEADER.unpack_from(body)
    if version != VERSION:
        raise WireError(f"protocol version {version}; ours is {VERSION}")
    fields = unpack(body[_HEADER.size :])
    if not isinstance(fields, dict):
        raise WireError("no fields")
    kind = fields.pop("kind", None)
    if not isinstance(kind, str):
        raise WireError("no kind")
    return Message(session, number, kind, fields)


class Receiver:
    """Makes messages of what arrives, in whatever pieces. `dropped` counts what was none."""

    def __init__(self) -> None:
        self.dropped = 0
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now."""
        found = []
        *ended, rest = data.split(_END)
        for part in ended:
            whole = b"".join((*self._parts, part)) if self._held <= 2 * LONGEST else b"?"
            self._parts, self._held = [], 0
            if whole:
                try:
                    found.append(decode(whole))
                except WireError:
                    self.dropped += 1
        self._held += len(rest)
        if self._held > 2 * LONGEST:
            self._parts = []  # what is too long is not kept, only waited out
        elif rest:
            self._parts.append(rest)
        return found
