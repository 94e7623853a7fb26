"""vhost-net as a way of sending and receiving: what a hypervisor makes of a tap.

Sending or receiving a batch is one number written to the ring and one kick.
"""

from __future__ import annotations

import struct
from contextlib import ExitStack

from harness.kernel.engine.pool import STAMP_AFTER_NUMBER, Pool
from harness.kernel.engine.receivers import Receiver
from harness.kernel.engine.senders import Sender
from harness.kernel.vhost import RX, TX, VHOST_NODE, VhostNet, Virtqueue

__all__ = ["VHOST_NODE", "VhostReceiver", "VhostSender"]

_number = struct.Struct("=I").unpack_from
_stamp = struct.Struct("=Q").unpack_from
_LINE = 64  # bytes of a cache line
_LOOK_AGAIN = 1  # milliseconds


def _served(queue: Virtqueue, fd: int) -> ExitStack:
    """The queue, served from now on by a vhost-net whose tap is `fd`: both end with it."""
    with ExitStack() as undo:
        undo.enter_context(queue)
        undo.enter_context(VhostNet(queue)).attach(fd)
        return undo.pop_all()


class VhostSender(Sender):
    """Frames of a pool, header included, sent by vhost-net's thread. The tap has a header of 12.

    Sending waits for room in the ring; `flush` for all to be sent. Raises OSError where there is no
    vhost-net.
    """

    name = "vhost-net"

    def __init__(self, fd: int, pool: Pool) -> None:
        super().__init__(fd, pool)
        self._queue = Virtqueue(
            pool.buffer, index=TX, slots=pool.slots, stride=pool.stride, length=pool.length
        )
        self._undo = _served(self._queue, fd)

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
        self._undo.close()


class VhostReceiver(Receiver):
    """Frames that vhost-net's thread has put into our memory: nothing is asked of the kernel."""

    name = "vhost-net"

    def __init__(self, fd: int, length: int, *, number_at: int, slots: int = 256) -> None:
        self._stride = -(-length // _LINE) * _LINE
        self._buffer = bytearray(slots * self._stride)
        self._queue = Virtqueue(
            self._buffer, index=RX, slots=slots, stride=self._stride, length=length
        )
        self._undo = _served(self._queue, fd)
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
        self._undo.close()
