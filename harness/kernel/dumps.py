"""Netlink dumps as plain attributes: for reading what is there, not for making it.

pyroute2's decoders know many kinds of qdisc, filter and expression, and give up on others.
What hairpin reads back was put there by somebody else and may be anything, so it is taken
apart by the rules that hold for every attribute: a length, a type, and bytes.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from harness.errors import KernelError
from harness.resource import Resource

__all__ = ["Attributes", "Dumps", "attributes", "nested", "number", "text"]

_NLM_F_REQUEST = 0x1
_NLM_F_DUMP = 0x300
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")

Attributes = dict[int, bytes]
"""Attribute type to its bytes; of several of one type, the last."""


def nested(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each attribute in `data`: its type and its bytes, in order."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3


def attributes(data: bytes, offset: int = 0) -> Attributes:
    """The attributes in `data` from `offset` on."""
    return dict(nested(data[offset:]))


def text(found: Attributes, kind: int) -> str:
    """The string in attribute `kind`, empty when it is absent."""
    return found.get(kind, b"").split(b"\0")[0].decode(errors="replace")


def number(found: Attributes, kind: int, order: str = "=") -> int:
    """The unsigned number in attribute `kind` (any width), 0 when it is absent.

    `order` is ``=`` for the machine's byte order and ``!`` for the network's (nf_tables).
    """
    data = found.get(kind, b"")
    width = {1: "B", 2: "H", 4: "I", 8: "Q"}.get(len(data))
    if width is None:
        return 0
    value: int = struct.unpack(order + width, data)[0]
    return value


class Dumps(Resource):
    """A netlink socket for dumps, in the namespace of the thread that makes it."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )

    def get(self, kind: int, body: bytes) -> list[bytes]:
        """Every message that request `kind` is answered with, without its header.

        Raises KernelError when the kernel refuses, OSError when the socket does.
        """
        header = _HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0)
        self._socket.send(header + body)
        found: list[bytes] = []
        while True:
            data = self._socket.recv(1 << 18)
            offset = 0
            while offset < len(data):
                length, answer, _, _, _ = _HEADER.unpack_from(data, offset)
                message = data[offset + _HEADER.size : offset + length]
                if answer == _NLMSG_DONE:
                    return found
                if answer == _NLMSG_ERROR:
                    (code,) = struct.unpack_from("=i", message)
                    raise KernelError(f"netlink dump {kind}", -code, os.strerror(-code))
                found.append(message)
                offset += (length + 3) & ~3

    def close(self) -> None:
        """Close the socket; idempotent."""
        self._socket.close()
