"""Whether a link has come up, told by the kernel when it does."""

from __future__ import annotations

import errno
import socket
import struct

from harness.errors import KernelError
from harness.kernel.netns import NetNS
from harness.resource import Resource

__all__ = ["LinkNews"]

_RTMGRP_LINK = 1
_RTM_NEWLINK, _RTM_DELLINK = 16, 17
_MESSAGE = struct.Struct("=IHHII")
_IFINFOMSG = struct.Struct("=BxHiII")  # family, type, index, flags, change
_UP = 0x1 | 0x10000  # IFF_UP, IFF_LOWER_UP
_LONGEST = 1 << 16


class LinkNews(Resource):
    """News of the link `name` of `ns` from now on. Use it in a `with` statement.

    Up is administratively up with a carrier. Raises KernelError where there is no such link.
    """

    def __init__(self, ns: NetNS, name: str) -> None:
        def listen() -> socket.socket:
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            found = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
            found.bind((0, _RTMGRP_LINK))
            return found

        try:
            self._socket = ns.run(listen)
        except OSError as error:
            raise KernelError(f"listen to news of {name}", error.errno or 0) from error
        try:
            link = ns.rtnl.link(name)
        except KernelError:
            self._socket.close()
            raise
        self._name = name
        self._index: int = link["index"]
        self.up = link["flags"] & _UP == _UP
        """As of the last reading."""

    def fileno(self) -> int:
        """The descriptor that can be read when there is news of any link."""
        return self._socket.fileno()

    def came_up(self) -> bool:
        """Whether the link has come up since it was last asked.

        Raises KernelError (ENODEV) when it is gone: deleted, or in another namespace.
        """
        came = False
        while True:
            try:
                data = self._socket.recv(_LONGEST)
            except BlockingIOError:
                return came
            except OSError:  # ENOBUFS: some were lost; what comes next tells how things are
                continue
            offset = 0
            while offset < len(data):
                length, kind, _, _, _ = _MESSAGE.unpack_from(data, offset)
                if kind in (_RTM_NEWLINK, _RTM_DELLINK):
                    family, _, index, flags, _ = _IFINFOMSG.unpack_from(
                        data, offset + _MESSAGE.size
                    )
                    if (family, index) == (socket.AF_UNSPEC, self._index):
                        if kind == _RTM_DELLINK:
                            raise KernelError(f"serve {self._name}", errno.ENODEV, "it is gone")
                        up = flags & _UP == _UP
                        came = came or (up and not self.up)
                        self.up = up
                offset += (length + 3) & ~3

    def close(self) -> None:
        """Stop; idempotent."""
        self._socket.close()
