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
import select
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Self

from harness.errors import ForeignTapError, KernelError
from harness.kernel.netns import NetNS
from harness.kernel.syscalls import detached_mount
from harness.resource import Resource

__all__ = [
    "IFF_ATTACH_QUEUE",
    "IFF_DETACH_QUEUE",
    "IFF_MULTI_QUEUE",
    "IFF_NO_PI",
    "IFF_TAP",
    "IFF_VNET_HDR",
    "Offload",
    "Tap",
    "device_number",
]

IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_MULTI_QUEUE = 0x0100
IFF_VNET_HDR = 0x4000

IFF_ATTACH_QUEUE = 0x0200
IFF_DETACH_QUEUE = 0x0400

TUNSETIFF = 0x400454CA
TUNGETFEATURES = 0x800454CF
TUNSETOFFLOAD = 0x400454D0
TUNGETIFF = 0x800454D2
TUNSETSNDBUF = 0x400454D4
TUNGETVNETHDRSZ = 0x800454D7
TUNSETVNETHDRSZ = 0x400454D8
TUNSETQUEUE = 0x400454D9
TUNSETVNETLE = 0x400454DC
TUNGETVNETLE = 0x800454DD
TUNSETVNETBE = 0x400454DE
TUNGETVNETBE = 0x800454DF
SIOCGIFHWADDR = 0x8927
SIOCSIFHWADDR = 0x8924

_IFREQ = struct.Struct("16sH22x")
_INT = struct.Struct("i")
_UNLIMITED = 0x7FFFFFFF
_DEFAULT_HEADER = 10  # tap_open: IFF_VNET_HDR, struct virtio_net_hdr
_ARPHRD_ETHER = 1
_LONGEST = (1 << 16) + 256  # bytes: a GSO frame of 64 KiB with headers and tags


class Offload:
    """TUN_F_*: what a reader of the tap can take (include/uapi/linux/if_tun.h)."""

    CSUM = 0x01
    TSO4 = 0x02
    TSO6 = 0x04
    TSO_ECN = 0x08
    UFO = 0x10
    USO4 = 0x20
    USO6 = 0x40
    DEFAULT = CSUM | TSO4 | TSO6 | TSO_ECN  # what a link starts with (macvtap_newlink)


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
        kind: str = "macvtap",
    ) -> Self:
        """Open a queue of the macvtap `name` in `ns`, non-blocking, send buffer unlimited.

        `vnet_header` is the size in bytes of the virtio-net header, 0 for none; `offloads` are
        Offload bits, which need one. `kind` may be ipvtap, whose queues are the same. Raises
        ForeignTapError when what was opened is not that link (or has not the address `mac`),
        KernelError when the kernel refuses.
        """
        try:
            device = device_number(ns, name, kind)
        except FileNotFoundError:
            raise KernelError(f"open tap {name}", errno.ENODEV, f"no such {kind} link") from None
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
        try:
            tap = cls(_open_node(device), name, header=_DEFAULT_HEADER)
        except OSError as error:
            raise KernelError(f"open tap {name}", error.errno or 0) from error
        with ExitStack() as undo:
            undo.push(tap)
            try:
                tap.configure(vnet_header=vnet_header, offloads=offloads, multi_queue=multi_queue)
                _refuse_foreign(tap, name, mac)
                tap.set_sndbuf(_UNLIMITED)
            except OSError as error:
                raise KernelError(f"open tap {name}", error.errno or 0) from error
            undo.pop_all()
            return tap

    @classmethod
    def bare(cls, ns: NetNS, name: str) -> Self:
        """A queue just as the kernel opens it: 10-byte header, finite send buffer, unchecked.

        Non-blocking all the same. Raises OSError.
        """
        return cls(_open_node(device_number(ns, name)), name, header=_DEFAULT_HEADER)

    # ------------------------------------------------------------------ frames

    def write(self, frame: bytes) -> int:
        """Transmit a frame, its header before it; how many bytes were taken. Raises OSError."""
        return os.write(self.fd, frame)

    def read(self, size: int = _LONGEST) -> bytes:
        """The next frame with its header, cut to `size`. Raises BlockingIOError when none is."""
        return os.read(self.fd, size)

    def ready(self) -> int:
        """poll(2) events at this moment: select.POLLIN, POLLOUT, …"""
        waiting = select.poll()
        waiting.register(self.fd, select.POLLIN | select.POLLOUT)
        return dict(waiting.poll(0)).get(self.fd, 0)

    def wait(self, seconds: float) -> bool:
        """Wait for a frame; whether one is there."""
        waiting = select.poll()
        waiting.register(self.fd, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))

    def drain(self) -> list[bytes]:
        """All that lies in the queue at this moment, with headers."""
        frames = []
        while True:
            try:
                frames.append(self.read())
            except BlockingIOError:
                return frames

    def read_up_to(self, last: bytes, *, seconds: float = 5.0) -> list[bytes]:
        """What comes before the frame `last`, with headers; `last` itself is read and left out.

        Raises TimeoutError when it does not come.
        """
        frames: list[bytes] = []
        give_up = time.monotonic() + seconds
        while True:
            try:
                frames.append(self.read())
            except BlockingIOError:
                if not self.wait(max(0.001, give_up - time.monotonic())):
                    raise TimeoutError(
                        f"{self.name}: the last frame has not come after {seconds:g} s"
                    ) from None
                continue
            if frames[-1][self.header :] == last:
                return frames[:-1]

    # ------------------------------------------------------------------ ioctls (tap_ioctl)

    def configure(
        self, *, vnet_header: int = 0, offloads: int = 0, multi_queue: bool = False
    ) -> None:
        """Header size in bytes (0: none) and what a reader can take. Raises OSError.

        The offloads are the whole link's, and left alone when there is no header.
        """
        flags = IFF_VNET_HDR * bool(vnet_header) | IFF_MULTI_QUEUE * multi_queue
        self.set_flags(IFF_TAP | IFF_NO_PI | flags)
        if vnet_header:
            self.set_vnet_header_size(vnet_header)
            self.set_offloads(offloads)
        self.header = vnet_header

    @contextmanager
    def configured(self, *, vnet_header: int = 0, offloads: int = 0) -> Iterator[Self]:
        """`configure` for as long as it lasts; then the header as before, offloads as at first."""
        before = self.header
        self.configure(vnet_header=vnet_header, offloads=offloads)
        try:
            yield self
        finally:
            self.configure(vnet_header=_DEFAULT_HEADER, offloads=Offload.DEFAULT)
            self.configure(vnet_header=before, offloads=Offload.DEFAULT)

    def features(self) -> int:
        """TUNGETFEATURES: the IFF_* flags that the driver knows."""
        return self._get(TUNGETFEATURES) & 0xFFFFFFFF

    def set_flags(self, flags: int) -> None:
        """TUNSETIFF: IFF_* of this queue. Raises OSError."""
        fcntl.ioctl(self.fd, TUNSETIFF, _IFREQ.pack(b"", flags))

    def interface(self) -> tuple[str, int]:
        """TUNGETIFF: name of the link, IFF_* of this queue. Raises OSError."""
        name, flags = _IFREQ.unpack(self._ifreq(TUNGETIFF))
        return name.rstrip(b"\0").decode(), flags

    def set_queue(self, flags: int) -> None:
        """TUNSETQUEUE: IFF_ATTACH_QUEUE or IFF_DETACH_QUEUE. Raises OSError."""
        fcntl.ioctl(self.fd, TUNSETQUEUE, _IFREQ.pack(b"", flags))

    def set_sndbuf(self, size: int) -> None:
        """TUNSETSNDBUF: bytes that may be on their way before a writer waits. Raises OSError."""
        fcntl.ioctl(self.fd, TUNSETSNDBUF, _INT.pack(size))

    def vnet_header_size(self) -> int:
        """TUNGETVNETHDRSZ: bytes of header, were there one."""
        return self._get(TUNGETVNETHDRSZ)

    def set_vnet_header_size(self, size: int) -> None:
        """TUNSETVNETHDRSZ; `header` follows it, if there is one. Raises OSError."""
        fcntl.ioctl(self.fd, TUNSETVNETHDRSZ, _INT.pack(size))
        self.header = size if self.header else 0

    def vnet_le(self) -> bool:
        """TUNGETVNETLE: whether headers are little-endian by decree."""
        return bool(self._get(TUNGETVNETLE))

    def set_vnet_le(self, *, on: bool) -> None:
        """TUNSETVNETLE. Raises OSError."""
        fcntl.ioctl(self.fd, TUNSETVNETLE, _INT.pack(on))

    def vnet_be(self) -> bool:
        """TUNGETVNETBE: big-endian by decree; EINVAL without CONFIG_TUN_VNET_CROSS_LE."""
        return bool(self._get(TUNGETVNETBE))

    def set_vnet_be(self, *, on: bool) -> None:
        """TUNSETVNETBE. Raises OSError."""
        fcntl.ioctl(self.fd, TUNSETVNETBE, _INT.pack(on))

    def set_offloads(self, offloads: int) -> None:
        """TUNSETOFFLOAD: Offload bits, of the whole link. Raises OSError."""
        fcntl.ioctl(self.fd, TUNSETOFFLOAD, offloads)

    def mac(self) -> str:
        """SIOCGIFHWADDR: address of the link. Raises OSError."""
        return self._ifreq(SIOCGIFHWADDR)[18:24].hex(":")

    def set_mac(self, mac: str) -> None:
        """SIOCSIFHWADDR: change the address of the link. Raises OSError."""
        address = struct.pack("=H6s", _ARPHRD_ETHER, bytes.fromhex(mac.replace(":", "")))
        fcntl.ioctl(self.fd, SIOCSIFHWADDR, bytes(16) + address.ljust(24, b"\0"))

    def _get(self, request: int) -> int:
        answer = bytearray(_INT.size)
        fcntl.ioctl(self.fd, request, answer)
        value: int = _INT.unpack(answer)[0]
        return value

    def _ifreq(self, request: int) -> bytes:
        answer = bytearray(_IFREQ.size)
        fcntl.ioctl(self.fd, request, answer)
        return bytes(answer)

    def alive(self) -> bool:
        """Whether the link behind the descriptor still exists (TUNGETIFF: ENOLINK when not)."""
        try:
            self.interface()
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


def device_number(ns: NetNS, name: str, kind: str = "macvtap") -> int:
    """Device number of the macvtap `name`, from the sysfs of its own namespace. Raises OSError."""
    folder = os.open(f"class/net/{name}/{kind}", os.O_RDONLY | os.O_DIRECTORY, dir_fd=ns.sysfs)
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


def _refuse_foreign(tap: Tap, name: str, mac: str) -> None:
    found, _ = tap.interface()
    if found != name:
        raise ForeignTapError(f"open tap {name}", f"the device belongs to {found!r}; not read")
    if not mac:
        return
    found_mac = tap.mac()
    if found_mac != mac:
        raise ForeignTapError(
            f"open tap {name}", f"the device's address is {found_mac}, not {mac}; not read"
        )
