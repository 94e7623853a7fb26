"""A tun/tap device: the network card of a namespace, whose wire is a descriptor.

    stack of the namespace -- [tun device] == descriptor

Frames bear a virtio-net header, so what the stack leaves to the card (checksums, segmentation)
is said beside the frame and need not be done.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import ExitStack
from typing import Self

from harness.errors import KernelError, UnfitError
from harness.kernel.netns import NetNS
from harness.kernel.taps import (
    IFF_MULTI_QUEUE,
    IFF_NO_PI,
    IFF_TAP,
    IFF_VNET_HDR,
    SIOCSIFHWADDR,
    TUNSETIFF,
    TUNSETOFFLOAD,
    TUNSETVNETHDRSZ,
    Offload,
)
from harness.resource import Resource

__all__ = ["Tun"]

_NODE = "/dev/net/tun"
_TUNSETIFINDEX = 0x400454DA
_ARPHRD_ETHER = 1
_IFREQ = struct.Struct("16sH22x")
_IFREQ_MAC = struct.Struct("16sH6s16x")
_INT = struct.Struct("i")
_TUNSETCARRIER = 0x400454E2
_SEGMENTS = Offload.CSUM | Offload.TSO4 | Offload.TSO6
_DATAGRAMS = Offload.USO4 | Offload.USO6  # Linux 6.2


class Tun(Resource):
    """The device `name` of a namespace and its descriptor. Use `Tun.open()` in a `with` statement.

    `offloads` are those that the kernel knows: Offload bits. `queues` are the descriptors of
    further queues. The device goes with the last descriptor.
    """

    def __init__(self, fd: int, name: str, *, offloads: int, queues: tuple[int, ...] = ()) -> None:
        self.fd = fd
        self.name = name
        self.offloads = offloads
        self.queues = queues

    @classmethod
    def open(
        cls,
        ns: NetNS,
        name: str,
        *,
        index: int = 0,
        mac: str = "",
        vnet_header: int = 10,
        queues: int = 1,
    ) -> Self:
        """A new device in `ns`, down, with that many queues.

        With `index` 0 and no `mac` the kernel chooses. `vnet_header` bytes stand before each frame,
        and then all offloads are on; with 0 there is no header, and none is. Raises UnfitError
        where /dev/net/tun cannot be opened, KernelError when the kernel refuses the device.
        """
        with ExitStack() as undo:
            fds = []
            for _ in range(queues):
                fds.append(_open_node(ns))
                undo.callback(os.close, fds[-1])
            flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR * bool(vnet_header)
            flags |= IFF_MULTI_QUEUE * (queues > 1)
            hardware = _IFREQ_MAC.pack(b"", _ARPHRD_ETHER, bytes.fromhex(mac.replace(":", "")))
            try:
                fcntl.ioctl(fds[0], _TUNSETIFINDEX, _INT.pack(index))
                for fd in fds:
                    fcntl.ioctl(fd, TUNSETIFF, _IFREQ.pack(name.encode(), flags))
                if vnet_header:
                    fcntl.ioctl(fds[0], TUNSETVNETHDRSZ, _INT.pack(vnet_header))
                if mac:
                    fcntl.ioctl(fds[0], SIOCSIFHWADDR, hardware)
                offloads = _most_offloads(fds[0]) if vnet_header else 0
            except OSError as error:
                raise KernelError(f"make tun device {name}", error.errno or 0) from error
            undo.pop_all()
        return cls(fds[0], name, offloads=offloads, queues=tuple(fds[1:]))

    def set_carrier(self, *, on: bool) -> None:
        """Give the device a carrier, as it has from the start, or take it away.

        Until it was changed once the device's state is unknown, not up (IF_OPER_UNKNOWN). Raises
        KernelError.
        """
        try:
            fcntl.ioctl(self.fd, _TUNSETCARRIER, _INT.pack(on))
        except OSError as error:
            raise KernelError(f"set the carrier of {self.name}", error.errno or 0) from error

    def close(self) -> None:
        """Close the descriptors, and so remove the device; idempotent."""
        if self.fd >= 0:
            for fd in (self.fd, *self.queues):
                os.close(fd)
        self.fd, self.queues = -1, ()


def _open_node(ns: NetNS) -> int:
    try:
        # The device is made where its descriptor was opened (tun_chr_open).
        return ns.run(lambda: os.open(_NODE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        remedy = "as root: chmod 666" if error.errno in (errno.EACCES, errno.EPERM) else ""
        raise UnfitError(
            f"{_NODE} cannot be opened ({error.strerror})",
            remedy=f"{remedy} {_NODE}" if remedy else "load the module: modprobe tun",
        ) from error


def _most_offloads(fd: int) -> int:
    """All that the kernel takes, found by trying: set_offload has EINVAL for a bit too many."""
    try:
        fcntl.ioctl(fd, TUNSETOFFLOAD, _SEGMENTS | _DATAGRAMS)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fcntl.ioctl(fd, TUNSETOFFLOAD, _SEGMENTS)
        return _SEGMENTS
    return _SEGMENTS | _DATAGRAMS
