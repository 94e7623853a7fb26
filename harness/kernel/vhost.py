"""vhost-net(4): a tap's frames moved by a kernel thread, as most hypervisors have it done.

    this process                       kernel
    .--------------------------.      .--------------------------.
    | rings of descriptors ----|----->| vhost thread ---- [tap]  |
    '--------------------------'      '--------------------------'

We are the guest's driver and the hypervisor at once: the rings (split virtqueues, virtio 1.0,
2.7) lie in our memory, and each descriptor says once and for all where its frame is.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import struct
import sys
from contextlib import ExitStack, suppress

from harness.kernel.syscalls import address_of
from harness.resource import Resource

__all__ = ["HEADER", "RX", "TX", "VHOST_NODE", "VhostGuest", "VhostNet", "Virtqueue"]

VHOST_NODE = "/dev/vhost-net"
RX, TX = 0, 1
"""Numbers of the queues: what the guest receives, what it sends."""
HEADER = 12
"""Bytes of virtio-net header that the tap must have: VIRTIO_F_VERSION_1 has it so."""

_SET_OWNER = 0xAF01
_SET_FEATURES = 0x4008AF00
_SET_MEM_TABLE = 0x4008AF03
_SET_VRING_NUM = 0x4008AF10
_SET_VRING_ADDR = 0x4028AF11
_SET_VRING_BASE = 0x4008AF12
_SET_VRING_KICK = 0x4008AF20
_SET_VRING_CALL = 0x4008AF21
_NET_SET_BACKEND = 0x4008AF30
_VERSION_1 = 1 << 32  # VIRTIO_F_VERSION_1: little-endian, a header of 12 bytes
_DEVICE_WRITES = 2  # VRING_DESC_F_WRITE
_NO_INTERRUPT = 1  # VRING_AVAIL_F_NO_INTERRUPT
_NOBODY = -1

_PAIR = struct.Struct("=Ii")  # struct vhost_vring_state, struct vhost_vring_file
_ADDRESSES = struct.Struct("=IIQQQQ")  # index, flags, descriptors, used, available, log
_REGION = struct.Struct("=QQQQ")  # guest address, size, our address, flags
_DESCRIPTOR = struct.Struct("<QIHH")  # address, length, flags, next
_LENGTH = struct.Struct("<I")
_LENGTH_AT = 8  # in a descriptor
_USED = struct.Struct("<II")  # struct vring_used_elem: descriptor, bytes written
_LINE = 64  # bytes of a cache line
_KICK = struct.pack("=Q", 1)
_SLOTS, _STRIDE = 64, 1 << 17  # of a VhostGuest: a large frame and its header fit


class Virtqueue(Resource):
    """One virtqueue in our memory, number `index`, all of whose descriptors are the driver's yet.

    Slot i of `buffer` (`stride` bytes apart, `length` long) is what descriptor i is about. Raises
    OSError; ValueError when `slots` is no power of two.
    """

    def __init__(
        self,
        buffer: bytearray | mmap.mmap,
        *,
        index: int,
        slots: int,
        stride: int,
        length: int,
    ) -> None:
        if slots < 1 or slots & (slots - 1):
            raise ValueError(f"vhost: {slots} descriptors; allowed: a power of two")
        if sys.byteorder != "little":
            raise OSError("vhost: rings are little-endian, this machine is not")
        self.index = index
        self.slots = slots
        available = 16 * slots
        used = -(-(available + 6 + 2 * slots) // _LINE) * _LINE
        with ExitStack() as undo:
            self._memory = mmap.mmap(-1, used + 6 + 8 * slots)
            undo.callback(self._memory.close)
            base = address_of(buffer)
            for slot in range(slots):
                flags = _DEVICE_WRITES if index == RX else 0
                address = base + slot * stride
                _DESCRIPTOR.pack_into(self._memory, 16 * slot, address, length, flags, 0)
            self._words = memoryview(self._memory).cast("H")
            undo.callback(self._words.release)
            self._flags = available // 2
            self._available = self._flags + 1
            for slot in range(slots):
                self._words[self._available + 1 + slot] = slot
            self._used = used // 2 + 1
            self._words[self._flags] = _NO_INTERRUPT
            self.kick = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            undo.callback(os.close, self.kick)
            self.call = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            undo.callback(os.close, self.call)
            start = address_of(self._memory)
            self.regions = ((base, len(buffer)), (start, len(self._memory)))
            self.places = (start, start + used, start + available)
            self._undo = undo.pop_all()
        self._poll = select.poll()
        self._poll.register(self.call, select.POLLIN)

    def offer(self, count: int) -> None:
        """Let vhost have the next `count` descriptors."""
        words = self._words
        words[self._available] = (words[self._available] + count) & 0xFFFF
        os.write(self.kick, _KICK)

    @property
    def offered(self) -> int:
        """How many descriptors vhost has, and has not done with."""
        return (self._words[self._available] - self._words[self._used]) & 0xFFFF

    @property
    def done(self) -> int:
        """How many descriptors vhost has ever done with, modulo 65,536."""
        return self._words[self._used]

    def set_length(self, slot: int, length: int) -> None:
        """Let the descriptor be about so many bytes; it must not be vhost's."""
        _LENGTH.pack_into(self._memory, 16 * slot + _LENGTH_AT, length)

    def used(self, number: int) -> tuple[int, int]:
        """Which descriptor it was that vhost was done with then, and bytes written; from 0."""
        at = 2 * (self._used + 1) + 8 * (number % self.slots)
        slot, written = _USED.unpack_from(self._memory, at)
        return slot, written

    def interrupt(self, *, on: bool) -> None:
        """Whether `call` is to be readable when vhost is done with more. At first it is not."""
        self._words[self._flags] = 0 if on else _NO_INTERRUPT

    def wait(self, milliseconds: float) -> None:
        """Wait until vhost has done with one more, or that long."""
        done = self.done
        self.interrupt(on=True)
        if self.done == done:
            self._poll.poll(milliseconds)
        self.interrupt(on=False)
        with suppress(BlockingIOError):
            os.eventfd_read(self.call)

    def close(self) -> None:
        """Give everything back; idempotent. No VhostNet must have it any more."""
        self._undo.close()


class VhostNet(Resource):
    """A vhost-net instance with these queues, and no tap yet. Use it in a `with` statement.

    Raises OSError where there is no vhost-net or it refuses.
    """

    def __init__(self, *queues: Virtqueue) -> None:
        self._queues = queues
        self._fd = os.open(VHOST_NODE, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(self._fd, _SET_OWNER)
            fcntl.ioctl(self._fd, _SET_FEATURES, struct.pack("=Q", _VERSION_1))
            # It has the same addresses for both.
            regions = [region for queue in queues for region in queue.regions]
            table = struct.pack("=II", len(regions), 0)
            table += b"".join(_REGION.pack(at, size, at, 0) for at, size in regions)
            fcntl.ioctl(self._fd, _SET_MEM_TABLE, table)
            for queue in queues:
                self._set_up(queue)
        except OSError:
            self.close()
            raise

    def _set_up(self, queue: Virtqueue) -> None:
        descriptors, used, available = queue.places
        addresses = _ADDRESSES.pack(queue.index, 0, descriptors, used, available, 0)
        for request, argument in (
            (_SET_VRING_NUM, _PAIR.pack(queue.index, queue.slots)),
            (_SET_VRING_BASE, _PAIR.pack(queue.index, 0)),
            (_SET_VRING_ADDR, addresses),
            (_SET_VRING_KICK, _PAIR.pack(queue.index, queue.kick)),
            (_SET_VRING_CALL, _PAIR.pack(queue.index, queue.call)),
        ):
            fcntl.ioctl(self._fd, request, argument)

    def attach(self, fd: int) -> None:
        """Move the frames of the tap `fd` from now on. Raises OSError."""
        for queue in self._queues:
            fcntl.ioctl(self._fd, _NET_SET_BACKEND, _PAIR.pack(queue.index, fd))

    def detach(self) -> None:
        """Leave the tap alone; what vhost is doing it ends first. Raises OSError."""
        self.attach(_NOBODY)

    def close(self) -> None:
        """End the kernel's thread; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


class VhostGuest(Resource):
    """A guest's network interface: both queues, and the vhost-net that serves them.

    Frames have a header of HEADER bytes before them. Use it in a `with` statement. Raises OSError
    where there is no vhost-net.
    """

    def __init__(self) -> None:
        with ExitStack() as undo:
            # Not closed: the queues' descriptors point into them until the last.
            self._buffers = [bytearray(_SLOTS * _STRIDE) for _ in (RX, TX)]
            self.rx, self.tx = (
                undo.enter_context(
                    Virtqueue(buffer, index=index, slots=_SLOTS, stride=_STRIDE, length=_STRIDE)
                )
                for index, buffer in enumerate(self._buffers)
            )
            self.vhost = undo.enter_context(VhostNet(self.rx, self.tx))
            self.rx.interrupt(on=True)
            self._undo = undo.pop_all()
        self._received = 0
        self.rx.offer(_SLOTS)

    def send(self, data: bytes) -> None:
        """Put a header and a frame into the queue. Raises BlockingIOError when it is full."""
        if self.tx.offered == _SLOTS:
            raise BlockingIOError("vhost: the queue is full")
        slot = (self.tx.done + self.tx.offered) % _SLOTS
        self._buffers[TX][slot * _STRIDE : slot * _STRIDE + len(data)] = data
        self.tx.set_length(slot, len(data))
        self.tx.offer(1)

    def receive(self) -> bytes | None:
        """The next header and frame that vhost has put into our memory; None when there is none."""
        if self.rx.done == self._received & 0xFFFF:
            with suppress(BlockingIOError):
                os.eventfd_read(self.rx.call)
            if self.rx.done == self._received & 0xFFFF:
                return None
        slot, written = self.rx.used(self._received)
        data = bytes(memoryview(self._buffers[RX])[slot * _STRIDE :][:written])
        self._received += 1
        self.rx.offer(1)
        return data

    def close(self) -> None:
        """End it; idempotent."""
        self._undo.close()
