"""Whether a link has come up, told by the kernel when it does."""

from __future__ import annotations

import errno
import socket
import struct

from harness.errors import KernelError
from harness.kernel.netlink import RTM_NEWLINK
from harness.kernel.netns import NetNS
from harness.kernel.nlmon import RTM_DELLINK, LinkNotifications, Netlink
from harness.resource import Resource

__all__ = ["LinkNews"]

_HEADER = 16  # bytes of a message that are before it (struct nlmsghdr)
_IFINFOMSG = struct.Struct("=BxHiII")  # family, type, index, flags, change
_UP = 0x1 | 0x10000  # IFF_UP, IFF_LOWER_UP


class LinkNews(Resource):
    """News of the link `name` of `ns` from now on. Use it in a `with` statement.

    Up is administratively up with a carrier. Raises KernelError where there is no such link.
    """

    def __init__(self, ns: NetNS, name: str) -> None:
        try:
            self._news = LinkNotifications(ns)
        except OSError as error:
            raise KernelError(f"listen to news of {name}", error.errno or 0) from error
        try:
            link = ns.rtnl.link(name)
        except KernelError:
            self._news.close()
            raise
        self._name = name
        self._index: int = link["index"]
        self.up = link["flags"] & _UP == _UP
        """As of the last reading."""

    def fileno(self) -> int:
        """The descriptor that can be read when there is news of any link."""
        return self._news.fileno()

    def came_up(self) -> bool:
        """Whether the link has come up since it was last asked.

        Raises KernelError (ENODEV) when it is gone: deleted, or in another namespace.
        """
        came = False
        while True:
            try:
                for message in self._news.each():
                    came = self._look(message) or came
                return came
            except OSError:  # ENOBUFS: some were lost; what comes next tells how things are
                continue

    def _look(self, message: Netlink) -> bool:
        """Whether it says that the link has come up."""
        if message.kind not in (RTM_NEWLINK, RTM_DELLINK):
            return False
        family, _, index, flags, _ = _IFINFOMSG.unpack_from(message.data, _HEADER)
        if (family, index) != (socket.AF_UNSPEC, self._index):
            return False
        if message.kind == RTM_DELLINK:
            raise KernelError(f"serve {self._name}", errno.ENODEV, "it is gone")
        was, self.up = self.up, flags & _UP == _UP
        return self.up and not was

    def close(self) -> None:
        """Stop; idempotent."""
        self._news.close()
