"""Ports of the switch: whole frames in and out, without waiting.

stack of the namespace -- [TAP device] == descriptor      TapPort
station -- veth -- [link] == packet socket                PacketPort
"""

from __future__ import annotations

import errno
import os
import socket
from abc import abstractmethod
from collections import deque
from contextlib import ExitStack
from typing import Self

from harness.errors import KernelError
from harness.kernel.linknews import LinkNews
from harness.kernel.netns import NetNS
from harness.kernel.packets import ANCILLARY, port_socket, with_tag
from harness.kernel.tun import Tun
from harness.kernel.vnet import NEEDS_CSUM, VnetHeader
from harness.resource import Resource
from harness.vsi.live.segments import on_the_wire

__all__ = ["PacketPort", "Port", "TapPort"]

_LONGEST = 1 << 16  # bytes
_VNET_HEADER = 10
_NO_HEADER = bytes(_VNET_HEADER)
# A TAP that is down, a link that is down or gone, a queue that is full, a frame that is too long.
_NOT_TAKEN = frozenset(
    (errno.EIO, errno.ENETDOWN, errno.ENXIO, errno.ENODEV, errno.EAGAIN, errno.ENOBUFS)
) | {errno.EMSGSIZE, errno.EINVAL}
_DOWN = frozenset((errno.ENETDOWN, errno.ENXIO, errno.ENODEV))


def _refused(what: str, name: str, error: OSError) -> KernelError:
    detail = "the link is gone" if error.errno == errno.EBADFD else ""
    return KernelError(f"{what} {name}", error.errno or 0, detail)


class Port(Resource):
    """One end of a link, called `name`. Use it in a `with` statement."""

    def __init__(self, name: str, news: LinkNews) -> None:
        self.name = name
        self._news = news

    def news_fileno(self) -> int:
        """The descriptor that can be read when `came_up` may have something to tell."""
        return self._news.fileno()

    def came_up(self) -> bool:
        """Whether the link has come up since it was last asked. Raises KernelError: it is gone."""
        return self._news.came_up()

    @abstractmethod
    def fileno(self) -> int:
        """The descriptor that can be read when frames have come."""

    @abstractmethod
    def read(self) -> bytes | None:
        """The next frame that is there, tags in their places; None when there is none.

        Raises KernelError, as `write` does, when the link is gone.
        """

    def write(self, frame: bytes) -> bool:
        """Send a frame; False when the kernel did not take it: the link is down, or no room."""
        try:
            self._send(frame)
        except OSError as error:
            if error.errno in _NOT_TAKEN:
                return False
            raise _refused("write to", self.name, error) from error
        return True

    @abstractmethod
    def _send(self, frame: bytes) -> None:
        """Hand a frame to the kernel. Raises OSError."""


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

    def set_carrier(self, *, on: bool) -> None:
        """Plug the wire in, as it is from the start, or out. Raises KernelError."""
        self._tun.set_carrier(on=on)

    def fileno(self) -> int:
        """See Port."""
        return self._tun.fd

    def read(self) -> bytes | None:
        """See Port."""
        try:
            return os.read(self._tun.fd, _LONGEST)
        except BlockingIOError:
            return None
        except OSError as error:
            raise _refused("read from", self.name, error) from error

    def _send(self, frame: bytes) -> None:
        os.write(self._tun.fd, frame)

    def close(self) -> None:
        """Remove the device; idempotent."""
        self._news.close()
        self._tun.close()


class PacketPort(Port):
    """All that comes in at a link, and a way out of it; the link stays its owner's."""

    def __init__(self, link: str, sock: socket.socket, news: LinkNews) -> None:
        super().__init__(link, news)
        self._socket = sock
        self._pieces: deque[bytes] = deque()

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
        """See Port. What the sender left to the card is done: checksums, segments."""
        while not self._pieces:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_LONGEST + _VNET_HEADER, ANCILLARY)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in _DOWN:  # told once when the link goes down (packet_notifier)
                    continue
                raise _refused("read from", self.name, error) from error
            if data[0] & NEEDS_CSUM or data[1]:
                header = VnetHeader.unpack(data)
                for piece in on_the_wire(header, data[_VNET_HEADER:]):
                    self._pieces.append(with_tag(piece, ancillary))
            else:
                return with_tag(data[_VNET_HEADER:], ancillary)
        return self._pieces.popleft()

    def _send(self, frame: bytes) -> None:
        self._socket.send(_NO_HEADER + frame)

    def close(self) -> None:
        """Close the socket; idempotent."""
        self._news.close()
        self._socket.close()
