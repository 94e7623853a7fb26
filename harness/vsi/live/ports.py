"""Ports of the switch: whole frames in and out, without waiting.

stack of the namespace -- [TAP device] == descriptor      TapPort
station -- veth -- [link] == packet socket                PacketPort
"""

from __future__ import annotations

import errno
import os
import socket
from abc import abstractmethod
from contextlib import ExitStack
from typing import Self

from harness.kernel.linknews import LinkNews
from harness.kernel.netns import NetNS
from harness.kernel.packets import ANCILLARY, port_socket, with_tag
from harness.kernel.tun import Tun
from harness.resource import Resource

__all__ = ["PacketPort", "Port", "TapPort"]

_LONGEST = 1 << 16  # bytes
_VNET_HEADER = 10
_NO_HEADER = bytes(_VNET_HEADER)
# A TAP that is down, a link that is down or gone, a queue that is full, a frame that is too long.
_NOT_TAKEN = frozenset(
    (errno.EIO, errno.ENETDOWN, errno.ENXIO, errno.ENODEV, errno.EAGAIN, errno.ENOBUFS)
) | {errno.EMSGSIZE, errno.EINVAL}
_DOWN = frozenset((errno.ENETDOWN, errno.ENXIO, errno.ENODEV))


class Port(Resource):
    """One end of a link, called `name`. Use it in a `with` statement."""

    def __init__(self, name: str, news: LinkNews) -> None:
        self.name = name
        self._news = news

    def news_fileno(self) -> int:
        """The descriptor that can be read when `came_up` may have something to tell."""
        return self._news.fileno()

    def came_up(self) -> bool:
        """Whether the link has come up since it was last asked."""
        return self._news.came_up()

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor that can be read when frames have come."""

    @abstractmethod
    def read(self) -> bytes | None:
        """The next frame that is there, tags in their places; None when there is none."""

    @abstractmethod
    def write(self, frame: bytes) -> bool:
        """Send a frame; False when the kernel did not take it: the link is down, or no room."""


class TapPort(Port):
    """The wire of a TAP device, which goes with it."""

    def __init__(self, tun: Tun, news: LinkNews) -> None:
        super().__init__(tun.name, news)
        self._tun = tun

    @classmethod
    def open(cls, ns: NetNS, link: str, *, mac: str | None = None) -> Self:
        """A new TAP device `link` in `ns`, down; the kernel chooses a `mac` where none is given.

        Raises UnfitError where there are no TAP devices, KernelError when the kernel refuses it.
        """
        with ExitStack() as undo:
            tun = undo.enter_context(Tun.open(ns, link, mac=mac or "", vnet_header=0))
            port = cls(tun, LinkNews(ns, link))
            undo.pop_all()
        return port

    def fileno(self) -> int:
        """See Port."""
        return self._tun.fd

    def read(self) -> bytes | None:
        """See Port."""
        try:
            return os.read(self._tun.fd, _LONGEST)
        except BlockingIOError:
            return None

    def write(self, frame: bytes) -> bool:
        """See Port."""
        try:
            os.write(self._tun.fd, frame)
        except OSError as error:
            if error.errno in _NOT_TAKEN:
                return False
            raise
        return True

    def close(self) -> None:
        """Remove the device; idempotent."""
        self._news.close()
        self._tun.close()


class PacketPort(Port):
    """All that comes in at a link, and a way out of it; the link stays its owner's."""

    def __init__(self, link: str, sock: socket.socket, news: LinkNews) -> None:
        super().__init__(link, news)
        self._socket = sock

    @classmethod
    def open(cls, ns: NetNS, link: str) -> Self:
        """A port at `link` in `ns`, which is made promiscuous as long. Raises KernelError."""
        with ExitStack() as undo:
            sock = undo.enter_context(port_socket(ns, link))
            port = cls(link, sock, LinkNews(ns, link))
            undo.pop_all()
        return port

    def fileno(self) -> int:
        """See Port."""
        return self._socket.fileno()

    def read(self) -> bytes | None:
        """See Port."""
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_LONGEST + _VNET_HEADER, ANCILLARY)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in _DOWN:  # told once when the link goes down (packet_notifier)
                    continue
                raise
            return with_tag(data[_VNET_HEADER:], ancillary)

    def write(self, frame: bytes) -> bool:
        """See Port."""
        try:
            self._socket.send(_NO_HEADER + frame)
        except OSError as error:
            if error.errno in _NOT_TAKEN:
                return False
            raise
        return True

    def close(self) -> None:
        """Close the socket; idempotent."""
        self._news.close()
        self._socket.close()
