"""vhost-net(4): a tap's frames moved by a kernel thread, as most hypervisors have it done.

    this process                       kernel
    .--------------------------.      .--------------------------.
    | rings of descriptors ----|----->| vhost thread ---- [tap]  |
    '--------------------------'      '--------------------------'

We are the guest's driver and the hypervisor at once: the rings (split virtqueues, virtio 1.0,
2.7) lie in our memory, and each descriptor says once and for all where its frame is. Sending or
receiving a batch is one number written to the ring and one kick.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import struct
import sys
from contextlib import ExitStack, suppress

from harness.kernel.engine.pool import STAMP_AFTER_NUMBER, Pool
from harness.kernel.engine.receivers import Receiver
from harness.kernel.engine.senders import Sender
from harness.kernel.engine.uring import address_of
from harness.resource import Resource

__all__ = ["VHOST_NODE", "VhostReceiver", "VhostSender"]

VHOST_NODE = "/dev/vhost-net"

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
_RX, _TX = 0, 1
_DEVICE_WRITES = 2  # VRING_DESC_F_WRITE
_NO_INTERRUPT = 1  # VRING_AVAIL_F_NO_INTERRUPT

_PAIR = struct.Struct("=Ii")  # struct vhost_vring_state, struct vhost_vring_file
_ADDRESSES = struct.Struct("=IIQQQQ")  # index, flags, descriptors, used, available, log
_REGION = struct.Struct("=QQQQ")  # guest address, size, our address, flags
_DESCRIPTOR = struct.Struct("<QIHH")  # address, length, flags, next
_number = struct.Struct("=I").unpack_from
_stamp = struct.Struct("=Q").unpack_from
_LINE = 64  # bytes of a cache line
_KICK = struct.pack("=Q", 1)
_LOOK_AGAIN = 1  # milliseconds


class _Queue(Resource):
    """One virtqueue of a vhost-net instance whose backend is the tap `fd`.

    Slot i of `buffer` (`stride` bytes apart, `length` long) is what descriptor i is about. Raises
    OSError where there is no vhost-net or it refuses; ValueError when `slots` is no power of two.
    """

    def __init__(
        self,
        fd: int,
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
        self.slots = slots
        available = 16 * slots
        used = -(-(available + 6 + 2 * slots) // _LINE) * _LINE
        with ExitStack() as undo:
            self._memory = mmap.mmap(-1, used + 6 + 8 * slots)
            undo.callback(self._memory.close)
            base = address_of(buffer)
            for slot in range(slots):
                flags = _DEVICE_WRITES if index == _RX else 0
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
            self._kick = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            undo.callback(os.close, self._kick)
            self.call = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            undo.callback(os.close, self.call)
            self._vhost = os.open(VHOST_NODE, os.O_RDWR | os.O_CLOEXEC)
            undo.callback(os.close, self._vhost)
            start = address_of(self._memory)
            regions = ((base, len(buffer)), (start, len(self._memory)))
            self._set_up(index, regions, (start, start + used, start + available))
            fcntl.ioctl(self._vhost, _NET_SET_BACKEND, _PAIR.pack(index, fd))
            self._undo = undo.pop_all()
        self._poll = select.poll()
        self._poll.register(self.call, select.POLLIN)

    def _set_up(
        self, index: int, regions: tuple[tuple[int, int], ...], places: tuple[int, int, int]
    ) -> None:
        """Tell vhost of the memory, which has the same addresses for both, and of the ring."""
        vhost = self._vhost
        fcntl.ioctl(vhost, _SET_OWNER)
        fcntl.ioctl(vhost, _SET_FEATURES, struct.pack("=Q", _VERSION_1))
        table = struct.pack("=II", len(regions), 0)
        table += b"".join(_REGION.pack(at, size, at, 0) for at, size in regions)
        fcntl.ioctl(vhost, _SET_MEM_TABLE, table)
        fcntl.ioctl(vhost, _SET_VRING_NUM, _PAIR.pack(index, self.slots))
        fcntl.ioctl(vhost, _SET_VRING_BASE, _PAIR.pack(index, 0))
        descriptors, used, available = places
        addresses = _ADDRESSES.pack(index, 0, descriptors, used, available, 0)
        fcntl.ioctl(vhost, _SET_VRING_ADDR, addresses)
        fcntl.ioctl(vhost, _SET_VRING_KICK, _PAIR.pack(index, self._kick))
        fcntl.ioctl(vhost, _SET_VRING_CALL, _PAIR.pack(index, self.call))

    def offer(self, count: int) -> None:
        """Let vhost have the next `count` descriptors."""
        words = self._words
        words[self._available] = (words[self._available] + count) & 0xFFFF
        os.write(self._kick, _KICK)

    @property
    def offered(self) -> int:
        """How many descriptors vhost has, and has not done with."""
        return (self._words[self._available] - self._words[self._used]) & 0xFFFF

    @property
    def done(self) -> int:
        """How many descriptors vhost has ever done with, modulo 65,536."""
        return self._words[self._used]

    def wait(self, milliseconds: float) -> None:
        """Wait until vhost has done with one more, or that long."""
        done = self.done
        self._words[self._flags] = 0
        if self.done == done:
            self._poll.poll(milliseconds)
        self._words[self._flags] = _NO_INTERRUPT
        with suppress(BlockingIOError):
            os.eventfd_read(self.call)

    def close(self) -> None:
        """End the kernel's thread and give everything back; idempotent."""
        self._undo.close()


class VhostSender(Sender):
    """Frames of a pool, header included, sent by vhost-net's thread. The tap has a header of 12.

    Sending waits for room in the ring; `flush` for all to be sent. Raises as `_Queue` does.
    """

    name = "vhost-net"

    def __init__(self, fd: int, pool: Pool) -> None:
        super().__init__(fd, pool)
        self._queue = _Queue(
            fd, pool.buffer, index=_TX, slots=pool.slots, stride=pool.stride, length=pool.length
        )

    def _send(self, count: int) -> None:
        queue = self._queue
        while queue.offered + count > queue.slots:
            queue.wait(_LOOK_AGAIN)
        queue.offer(count)

    def flush(self) -> None:
        """Return once everything has been sent."""
        while self._queue.offered:
            self._queue.wait(_LOOK_AGAIN)

    def close(self) -> None:
        """See Sender; what has not been sent yet will not be."""
        self._queue.close()


class VhostReceiver(Receiver):
    """Frames that vhost-net's thread has put into our memory: nothing is asked of the kernel."""

    name = "vhost-net"

    def __init__(self, fd: int, length: int, *, number_at: int, slots: int = 256) -> None:
        self._stride = -(-length // _LINE) * _LINE
        self._buffer = bytearray(slots * self._stride)
        self._queue = _Queue(
            fd, self._buffer, index=_RX, slots=slots, stride=self._stride, length=length
        )
        super().__init__(self._queue.call, length, number_at=number_at)
        self._at = 0  # frames received
        self._several = 0  # of them in the last batch
        self._last = 0
        self._queue.offer(slots)

    def receive(self, expected: int = 0) -> int:
        """See Receiver; frames are given back at the next call."""
        self._give_back()
        self._several = (self._queue.done - self._at) & 0xFFFF
        self._at += self._several
        return self._several

    def _give_back(self) -> None:
        if self._several:
            self._last = self.last
            self._queue.offer(self._several)
            self._several = 0

    def wait(self, seconds: float) -> bool:
        """See Receiver; what was received is given back."""
        self._give_back()
        if (self._queue.done - self._at) & 0xFFFF == 0:
            self._queue.wait(seconds * 1000)
        return (self._queue.done - self._at) & 0xFFFF != 0

    @property
    def last(self) -> int:
        """See Receiver."""
        if self._several:
            slot = (self._at - 1) % self._queue.slots
            self._last = _number(self._buffer, slot * self._stride + self.number_at)[0]
        return self._last

    def stamps(self) -> list[int]:
        """See Receiver."""
        slots, at = self._queue.slots, self.number_at + STAMP_AFTER_NUMBER
        return [
            _stamp(self._buffer, n % slots * self._stride + at)[0]
            for n in range(self._at - self._several, self._at)
        ]

    def close(self) -> None:
        """See Receiver."""
        self._queue.close()
