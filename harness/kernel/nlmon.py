"""Netlink as it passes in a namespace: what is asked, what is answered, who is told of it.

    we ── request ──► rtnetlink ── acknowledgement ──► we
             .            '────── notification ──────► whoever listens      LinkNotifications
             .                          .
             '.......... a copy ........'............► nlmon                NetlinkTap

Nothing is waited for: rtnetlink has told everybody before it acknowledges, but of what happens
later (linkwatch).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from harness.errors import KernelError
from harness.kernel.links.devices import delete_link
from harness.kernel.links.message import IFF_UP, info, link_request
from harness.kernel.netlink import RTM_NEWLINK, LinkMessage
from harness.kernel.netns import NetNS
from harness.kernel.packets import ETH_P_ALL
from harness.resource import Resource

__all__ = ["RTM_DELLINK", "LinkNotifications", "Netlink", "NetlinkTap"]

RTM_DELLINK = 17
_RTMGRP_LINK = 1
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_LONGEST = 1 << 17
_NLMON = "nlmon"


@dataclass(frozen=True)
class Netlink:
    """One netlink message: its header's type and sequence (0: nobody asked), and all its bytes."""

    kind: int
    sequence: int
    data: bytes

    @property
    def link(self) -> Any:
        """The link that it is about, as a decoded pyroute2 message; None when it is about none."""
        if self.kind not in (RTM_NEWLINK, RTM_DELLINK):
            return None
        message = LinkMessage(self.data)
        message.decode()
        return message

    @property
    def name(self) -> str:
        """Name of that link, "" when it is about none."""
        link = self.link
        return str(link.get_attr("IFLA_IFNAME")) if link is not None else ""


def _messages(data: bytes) -> Iterator[Netlink]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        yield Netlink(kind, sequence, data[at : at + length])
        at += (max(length, _HEADER.size) + 3) & ~3


class _Socket(Resource):
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def fileno(self) -> int:
        """The descriptor that can be read when something has passed."""
        return self._socket.fileno()

    def each(self) -> Iterator[Netlink]:
        """What has passed since the last time, as it is read.

        Raises OSError: with ENOBUFS some of it was lost, and what comes next can be read all the
        same.
        """
        while True:
            try:
                data = self._socket.recv(_LONGEST)
            except BlockingIOError:
                return
            yield from _messages(data)

    def read(self) -> list[Netlink]:
        """What has passed since the last time. Raises OSError, also where some of it was lost."""
        return list(self.each())

    def close(self) -> None:
        """Listen no more; idempotent."""
        self._socket.close()


class LinkNotifications(_Socket):
    """What a listener of RTNLGRP_LINK in `ns` is told. Use it in a `with` statement.

    Raises OSError.
    """

    def __init__(self, ns: NetNS) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        sock = ns.run(lambda: socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE))
        try:
            sock.bind((0, _RTMGRP_LINK))
        except OSError:
            sock.close()
            raise
        super().__init__(sock)


class NetlinkTap(_Socket):
    """Every message of rtnetlink in `ns`, on a link of kind nlmon that goes with it.

    Raises KernelError (EOPNOTSUPP) where the kernel has no nlmon.
    """

    def __init__(self, ns: NetNS, *, index: int) -> None:
        asked = [("IFLA_IFNAME", _NLMON), info(_NLMON)]
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with ExitStack() as undo:
            ns.rtnl.transact([link_request("add nlmon", asked, index=index, set_flags=IFF_UP)])
            undo.callback(ns.rtnl.transact, [delete_link(_NLMON, index=index)])
            sock = undo.enter_context(ns.run(lambda: socket.socket(socket.AF_PACKET, kind, 0)))
            try:
                sock.bind((_NLMON, ETH_P_ALL))
            except OSError as error:
                raise KernelError(f"listen on {_NLMON}", error.errno or 0) from error
            self._undo = undo.pop_all()
        super().__init__(sock)

    def close(self) -> None:
        """Listen no more, and take the link away; idempotent."""
        self._undo.close()
