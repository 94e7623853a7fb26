"""rtnetlink requests: pyroute2's message classes, sent in batches on a socket of our own.

pyroute2's own IPRoute (0.9.7) opens its socket lazily in whichever thread, and so namespace,
calls it first, and sets up an event loop for each request. A batch on a socket that was
opened inside the namespace cannot go astray, and brings a testbed up in a third of the time.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from harness.errors import KernelError

__all__ = ["LinkMessage", "Request", "Rtnl"]

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400

RTM_NEWLINK = 16
RTM_GETLINK = 18
RTM_SETLINK = 19

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_RTEXT_FILTER_VF = 1

_HEADER = struct.Struct("=IHHII")
_ERROR = struct.Struct("=i")
_SEQUENCE = struct.Struct("=I")
_SEQUENCE_AT = 8  # in struct nlmsghdr
# Sent in one go. Their answers lie in our receive buffer until the last request is done, and the
# kernel drops what finds no room there (netlink_overrun): an acknowledgement takes about 800
# bytes of it, and net.core.rmem_default is 212,992 on most machines.
_PIECE = 100
_RECEIVE_BUFFER = 1 << 20  # bytes; the kernel gives what net.core.rmem_max allows


class LinkMessage(ifinfmsg):  # type: ignore[misc]
    """pyroute2's link message, with the macvlan attributes that 0.9.7 lacks.

    Added: the broadcast queue's length as asked for and as in use, and the cutoff below which
    a group bypasses the queue (include/uapi/linux/if_link.h, IFLA_MACVLAN_BC_*). And ipvtap, whose
    attributes are ipvlan's.
    """

    class ifinfo(ifinfmsg.ifinfo):  # type: ignore[misc]  # noqa: N801  (pyroute2 looks it up by this name)
        """IFLA_LINKINFO."""

        class macvtap_data(ifinfmsg.ifinfo.macvtap_data):  # type: ignore[misc]  # noqa: N801
            """IFLA_INFO_DATA of a macvtap."""

            nla_map = (
                *ifinfmsg.ifinfo.macvtap_data.nla_map,
                ("IFLA_MACVTAP_BC_QUEUE_LEN", "uint32"),
                ("IFLA_MACVTAP_BC_QUEUE_LEN_USED", "uint32"),
                ("IFLA_MACVTAP_BC_CUTOFF", "int32"),
            )

        data_map = ifinfmsg.ifinfo.data_map | {
            "macvtap": macvtap_data,
            "ipvtap": ifinfmsg.ifinfo.data_map["ipvlan"],
        }


@dataclass(frozen=True)
class Request:
    """One request: what it is for, in words, and its bytes, with sequence number 0."""

    purpose: str
    data: bytes

    @classmethod
    def of(
        cls, purpose: str, message: nlmsg, kind: int, flags: int = NLM_F_REQUEST | NLM_F_ACK
    ) -> Self:
        """The request that an unsent pyroute2 message makes."""
        header = message["header"]
        header["type"] = kind
        header["flags"] = flags
        message.encode()
        return cls(purpose, bytes(message.data))

    def encoded(self, sequence: int) -> bytes:
        """The bytes to send."""
        data = self.data
        return data[:_SEQUENCE_AT] + _SEQUENCE.pack(sequence) + data[_SEQUENCE_AT + 4 :]


class Rtnl:
    """An rtnetlink socket in the namespace of the thread that makes it.

    Threads take turns: on one socket each would take the other's answers.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        try:
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._socket.bind((0, 0))
        except OSError:
            self._socket.close()
            raise
        self._sequence = 0

    def transact(self, requests: Iterable[Request]) -> None:
        """Send all, as many at once as can be answered, and wait for every acknowledgement.

        The kernel goes on after a refused request; the first refusal is raised as KernelError
        once all have been answered.
        """
        waiting = iter(requests)
        refused: KernelError | None = None
        while piece := tuple(islice(waiting, _PIECE)):
            refusal = self._transact_piece(piece)
            refused = refused or refusal
        if refused:
            raise refused

    def _transact_piece(self, requests: tuple[Request, ...]) -> KernelError | None:
        """The first refusal, if there is one."""
        with self._turn:
            pending = dict(enumerate(requests, self._sequence + 1))
            self._sequence += len(requests)
            self._socket.send(b"".join([r.encoded(sequence) for sequence, r in pending.items()]))
            refused: KernelError | None = None
            while pending:
                for kind, flags, sequence, body in self._receive():
                    if kind != _NLMSG_ERROR or sequence not in pending:
                        continue
                    request = pending.pop(sequence)
                    (code,) = _ERROR.unpack_from(body)
                    if code and refused is None:
                        detail = _extended_ack(body) if flags & _NLM_F_ACK_TLVS else ""
                        refused = KernelError(request.purpose, -code, detail)
            return refused

    def link(self, name: str, *, ports: bool = False) -> Any:
        """The link of that name, as a decoded pyroute2 message. Raises KernelError.

        `ports` asks for virtual functions and ports as well.
        """
        message = LinkMessage()
        message["attrs"] = [("IFLA_IFNAME", name)]
        if ports:
            message["attrs"].append(("IFLA_EXT_MASK", _RTEXT_FILTER_VF))
        request = Request.of(f"read link {name}", message, RTM_GETLINK, NLM_F_REQUEST)
        with self._turn:
            self._sequence += 1
            self._socket.send(request.encoded(self._sequence))
            while True:
                for kind, flags, sequence, body in self._receive():
                    if sequence != self._sequence:
                        continue
                    if kind == _NLMSG_ERROR:
                        (code,) = _ERROR.unpack_from(body)
                        detail = _extended_ack(body) if flags & _NLM_F_ACK_TLVS else ""
                        raise KernelError(request.purpose, -code, detail)
                    return _decoded(kind, body)

    def links(self) -> list[Any]:
        """All links, as decoded pyroute2 messages."""
        message = LinkMessage()
        request = Request.of("list links", message, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP)
        with self._turn:
            self._sequence += 1
            self._socket.send(request.encoded(self._sequence))
            found: list[Any] = []
            while True:
                for kind, _, _, body in self._receive():
                    if kind == _NLMSG_DONE:
                        return found
                    if kind == RTM_NEWLINK:
                        found.append(_decoded(kind, body))

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        data = self._socket.recv(1 << 18)
        offset = 0
        while offset < len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
            yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
            offset += (length + 3) & ~3

    def close(self) -> None:
        """Close the socket; idempotent."""
        self._socket.close()


def _decoded(kind: int, body: bytes) -> Any:
    link = LinkMessage(_HEADER.pack(_HEADER.size + len(body), kind, 0, 0, 0) + body)
    link.decode()
    return link


def _extended_ack(body: bytes) -> str:
    """The message of the extended acknowledgement, if there is one."""
    offset = _ERROR.size + _HEADER.size
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        if length < 4:
            break
        if kind & 0x3FFF == _NLMSGERR_ATTR_MSG:
            return body[offset + 4 : offset + length].rstrip(b"\0").decode(errors="replace")
        offset += (length + 3) & ~3
    return ""
