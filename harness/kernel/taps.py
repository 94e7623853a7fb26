"""Tap descriptors: open queues of a macvtap link, as a hypervisor uses them.

``/dev/tapN`` is not trusted: N is the link's index, which is per namespace, while device nodes
are global, so the node may belong to another namespace's guest. The device number is read from
a sysfs that shows the right namespace, and the node made from it lies on a tmpfs that is
mounted nowhere.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from contextlib import ExitStack
from functools import cache
from typing import Self

from harness.errors import ForeignTapError, KernelError
from harness.kernel.netns import NetNS
from harness.kernel.syscalls import detached_mount
from harness.resource import Resource

__all__ = ["Offload", "Tap"]

IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_MULTI_QUEUE = 0x0100
IFF_VNET_HDR = 0x4000

_TUNSETIFF = 0x400454CA
_TUNGETIFF = 0x800454D2
_TUNSETOFFLOAD = 0x400454D0
_TUNSETSNDBUF = 0x400454D4
_TUNSETVNETHDRSZ = 0x400454D8
_SIOCGIFHWADDR = 0x8927
_IFREQ = struct.Struct("16sH22x")
_INT = struct.Struct("i")
_UNLIMITED = 0x7FFFFFFF


class Offload:
    """TUN_F_*: what a reader of the tap can take (include/uapi/linux/if_tun.h)."""

    CSUM = 0x01
    TSO4 = 0x02
    TSO6 = 0x04
    TSO_ECN = 0x08
    UFO = 0x10
    USO4 = 0x20
    USO6 = 0x40


@cache
def _node_folder(_pid: int) -> int:
    """Descriptor of this process's own tmpfs for device nodes; never mounted anywhere."""
    return detached_mount("tmpfs")


class Tap(Resource):
    """One open queue of the macvtap link `name`. Use `Tap.open()` in a `with` statement."""

    def __init__(self, fd: int, name: str, *, header: int) -> None:
        self.fd = fd
        self.name = name
        self.header = header  # bytes of virtio-net header before each frame

    @classmethod
    def open(
        cls,
        ns: NetNS,
        name: str,
        *,
        mac: str = "",
        vnet_header: int = 0,
        offloads: int = 0,
        multi_queue: bool = False,
    ) -> Self:
        """Open a queue of the macvtap `name` in `ns`, non-blocking, send buffer unlimited.

        `vnet_header` is the size in bytes of the virtio-net header, 0 for none; `offloads` are
        Offload bits, which need one. Raises ForeignTapError when what was opened is not that
        link (or has not the address `mac`), KernelError when the kernel refuses.
        """
        try:
            device = _device_number(ns, name)
        except FileNotFoundError:
            raise KernelError(f"open tap {name}", errno.ENODEV, "no such macvtap link") from None
        return cls.of_device(
            device,
            name,
            mac=mac,
            vnet_header=vnet_header,
            offloads=offloads,
            multi_queue=multi_queue,
        )

    @classmethod
    def of_device(
        cls,
        device: int,
        name: str,
        *,
        mac: str = "",
        vnet_header: int = 0,
        offloads: int = 0,
        multi_queue: bool = False,
    ) -> Self:
        """Open the character device number `device`, which must be the macvtap `name`."""
        with ExitStack() as undo:
            try:
                fd = _open_node(device)
                undo.callback(os.close, fd)
                flags = IFF_TAP | IFF_NO_PI
                flags |= IFF_VNET_HDR * bool(vnet_header) | IFF_MULTI_QUEUE * multi_queue
                fcntl.ioctl(fd, _TUNSETIFF, _IFREQ.pack(b"", flags))
                _refuse_foreign(fd, name, mac)
                fcntl.ioctl(fd, _TUNSETSNDBUF, _INT.pack(_UNLIMITED))
                if vnet_header:
                    fcntl.ioctl(fd, _TUNSETVNETHDRSZ, _INT.pack(vnet_header))
                    fcntl.ioctl(fd, _TUNSETOFFLOAD, offloads)
            except OSError as error:
                raise KernelError(f"open tap {name}", error.errno or 0) from error
            undo.pop_all()
            return cls(fd, name, header=vnet_header)

    def alive(self) -> bool:
        """Whether the link behind the descriptor still exists (TUNGETIFF: ENOLINK when not)."""
        try:
            _interface(self.fd)
        except OSError as error:
            if error.errno == errno.ENOLINK:
                return False
            raise
        return True

    def close(self) -> None:
        """Close the queue; idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


def _device_number(ns: NetNS, name: str) -> int:
    """Device number of a macvtap link, from the sysfs of its own namespace."""
    folder = os.open(f"class/net/{name}/macvtap", os.O_RDONLY | os.O_DIRECTORY, dir_fd=ns.sysfs)
    try:
        (node,) = os.listdir(folder)  # noqa: PTH208  (a path cannot be a descriptor)
        fd = os.open(f"{node}/dev", os.O_RDONLY, dir_fd=folder)
        try:
            major, minor = os.read(fd, 32).split(b":")
        finally:
            os.close(fd)
    finally:
        os.close(folder)
    return os.makedev(int(major), int(minor))


def _open_node(device: int) -> int:
    folder = _node_folder(os.getpid())
    node = f"{os.major(device)}-{os.minor(device)}"
    os.mknod(node, stat.S_IFCHR | 0o600, device, dir_fd=folder)
    try:
        return os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.unlink(node, dir_fd=folder)


def _interface(fd: int) -> str:
    answer = bytearray(_IFREQ.size)
    fcntl.ioctl(fd, _TUNGETIFF, answer)
    return bytes(answer[:16]).rstrip(b"\0").decode()


def _refuse_foreign(fd: int, name: str, mac: str) -> None:
    found = _interface(fd)
    if found != name:
        raise ForeignTapError(f"open tap {name}", f"the device belongs to {found!r}; not read")
    if not mac:
        return
    answer = bytearray(_IFREQ.size)
    fcntl.ioctl(fd, _SIOCGIFHWADDR, answer)
    found_mac = answer[18:24].hex(":")
    if found_mac != mac:
        raise ForeignTapError(
            f"open tap {name}", f"the device's address is {found_mac}, not {mac}; not read"
        )
