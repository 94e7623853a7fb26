"""Everything that the links of a namespace carry, with the kernel's time stamps, read afterwards.

Nobody needs to run while frames come: they wait in the socket's buffer, and each bears the time
at which the kernel saw it. For rates of some hundred frames a second; faster ones take a Ring.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import KernelError
from harness.kernel.dumps import attributes
from harness.kernel.netns import NetNS
from harness.kernel.packets import ETH_P_ALL, PACKET_OUTGOING, be_promiscuous
from harness.kernel.syscalls import attach_filter
from harness.resource import Resource

__all__ = ["FdbMoves", "Heard", "Recording"]

_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35  # also the type of the message that brings it (SO_TIMESTAMPNS_OLD)
_TIMESPEC = struct.Struct("@ll")
_BUFFER = 1 << 26  # bytes: a frame of 98 bytes takes about 800
_LONGEST = 1 << 16
_RTMGRP_NEIGH = 4
_RTM_NEWNEIGH = 28
_MESSAGE = struct.Struct("=IHHII")
_NDMSG = struct.Struct("=B3xiHBB")  # family, index, state, flags, type
_NDA_LLADDR = 2
_NTF_SELF = 0x02


@dataclass(frozen=True)
class Heard:
    """A frame: when the kernel saw it (ns since the epoch), on which link, and in what direction.

    `link` is empty when it has gone before the recording was read.
    """

    at: int
    link: str
    outgoing: bool
    frame: bytes


class Recording(Resource):
    """What all links of `ns` send and receive from now on. Use it in a `with` statement.

    A bridge port's is what came to the port, whatever the bridge does with it. With `link` it is
    that one, promiscuous as long; with `ethertypes`, frames of those only, a tag passed over.
    Raises KernelError.
    """

    def __init__(self, ns: NetNS, *, link: str = "", ethertypes: Iterable[int] = ()) -> None:
        try:
            # Deaf until it is bound, where it is: Python would want a link's name for that.
            first = 0 if link else socket.htons(ETH_P_ALL)
            self._socket = ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, first))
            if ethertypes:
                attach_filter(self._socket.fileno(), _only(ethertypes))
            if link:
                self._socket.bind((link, ETH_P_ALL))
                be_promiscuous(self._socket, ns, link)
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            except PermissionError:  # in a user namespace: as much as net.core.rmem_max lets us
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        except OSError as error:
            raise KernelError("record frames", error.errno or 0) from error
        self.lost = 0
        """Frames that the buffer had no room for, as of the last reading."""
        self.read()  # what came before it bore time stamps

    def fileno(self) -> int:
        """The descriptor that can be read when there is something to `read`."""
        return self._socket.fileno()

    def read(self) -> list[Heard]:
        """What has come since the last reading, in its order."""
        heard = []
        while True:
            try:
                frame, extras, _, address = self._socket.recvmsg(
                    _LONGEST, socket.CMSG_SPACE(_TIMESPEC.size), socket.MSG_DONTWAIT
                )
            except BlockingIOError:
                break
            except OSError:  # ENETDOWN, told once when a link goes
                continue
            heard.append(Heard(_stamp(extras), address[0], address[2] == PACKET_OUTGOING, frame))
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self.lost += struct.unpack("II", statistics)[1]
        return heard

    def close(self) -> None:
        """Stop; idempotent."""
        self._socket.close()


def _only(ethertypes: Iterable[int]) -> bytes:
    """Classic BPF: frames of these ethertypes; the kernel has taken a tag out of the way."""
    load, jump_if_equal, give = 0x28, 0x15, 0x06
    wanted = sorted(ethertypes)
    program = [(load, 0, 0, 12)]
    program += [(jump_if_equal, len(wanted) - n, 0, type_) for n, type_ in enumerate(wanted)]
    program += [(give, 0, 0, 0), (give, 0, 0, _LONGEST)]
    return b"".join(struct.pack("=HBBI", *one) for one in program)


def _stamp(extras: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in extras:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, rest = _TIMESPEC.unpack(data)
            return int(seconds) * 1_000_000_000 + int(rest)
    return 0


class FdbMoves(Resource):
    """Where the bridges of `ns` learn an address to be, from now on. Use it in a `with` statement.

    The kernel tells of an entry that is new or has moved, not of one that is confirmed
    (br_fdb_update); it bears no time stamp.
    """

    def __init__(self, ns: NetNS) -> None:
        def listen() -> socket.socket:
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
            found = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
            found.bind((0, _RTMGRP_NEIGH))
            return found

        try:
            self._socket = ns.run(listen)
        except OSError as error:
            raise KernelError("listen to the forwarding table", error.errno or 0) from error

    def read(self) -> list[tuple[str, int]]:
        """MAC, and index of the port, in the order in which it was learned."""
        found: list[tuple[str, int]] = []
        while True:
            try:
                data = self._socket.recv(_LONGEST, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            offset = 0
            while offset < len(data):
                length, kind, _, _, _ = _MESSAGE.unpack_from(data, offset)
                body = data[offset + _MESSAGE.size : offset + length]
                offset += (length + 3) & ~3
                if kind != _RTM_NEWNEIGH:
                    continue
                family, index, _, flags, _ = _NDMSG.unpack_from(body)
                if family == socket.AF_BRIDGE and not flags & _NTF_SELF:
                    mac = attributes(body, _NDMSG.size).get(_NDA_LLADDR, b"")
                    found.append((mac.hex(":"), index))

    def close(self) -> None:
        """Stop; idempotent."""
        self._socket.close()
