"""Ways to receive frames: read until there are none left, without an object for a frame."""

from __future__ import annotations

import io
import os
import select
from abc import abstractmethod
from collections import deque
from functools import partial
from itertools import count
from struct import Struct

from harness.kernel.engine.pool import STAMP_AFTER_NUMBER
from harness.kernel.engine.uring import OP_READ, RWF_NOWAIT, Uring, address_of
from harness.resource import Resource

__all__ = ["ReadReceiver", "Receiver", "UringReceiver"]

_AGAIN = (1 << 32) - 11  # -EAGAIN, as a completion says it
_consume = deque[object](maxlen=0).extend
_number = Struct("=I").unpack_from
_stamp = Struct("=Q").unpack_from
_ERRORS = 1 << 31  # results from here on are negative
_FEWEST = 32  # reads in a batch
_LINE = 64  # bytes of a cache line


class Receiver(Resource):
    """Receives frames of up to `length` bytes from a descriptor that does not block."""

    name: str

    def __init__(self, fd: int, length: int, *, number_at: int) -> None:
        self.fd = fd
        self.length = length
        self.number_at = number_at
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    @abstractmethod
    def receive(self) -> int:
        """Read what is there now, up to a batch; how many frames. Raises OSError."""

    @property
    @abstractmethod
    def last(self) -> int:
        """The number in the frame that was read last."""

    @abstractmethod
    def stamps(self) -> list[int]:
        """What stamps the frames of the last `receive` bear, in order, 0 for none."""

    def wait(self, seconds: float) -> bool:
        """Block until a frame is there, or that long; whether one is."""
        return bool(self._poll.poll(seconds * 1000))

    def close(self) -> None:
        """Give back what was made for receiving; the descriptor stays open. Idempotent."""


class ReadReceiver(Receiver):
    """read(2) until EAGAIN, looped by the interpreter: where io_uring is forbidden."""

    name = "read"

    def __init__(self, fd: int, length: int, *, number_at: int) -> None:
        super().__init__(fd, length, number_at=number_at)
        self._buffer = bytearray(length)
        self._file = io.FileIO(fd, "r", closefd=False)
        # readinto gives None where there is nothing to read: iter() takes that for the end.
        self._read = partial(self._file.readinto, self._buffer)

    def receive(self) -> int:
        """See Receiver; there is no limit to the batch."""
        counter = count()
        _consume(zip(iter(self._read, None), counter, strict=False))
        return next(counter)

    @property
    def last(self) -> int:
        """See Receiver."""
        number: int = _number(self._buffer, self.number_at)[0]
        return number

    def stamps(self) -> list[int]:
        """See Receiver; the last frame's only."""
        return [_stamp(self._buffer, self.number_at + STAMP_AFTER_NUMBER)[0]]

    def close(self) -> None:
        """See Receiver."""
        self._file.close()


class UringReceiver(Receiver):
    """io_uring: a batch of reads in one system call. Raises OSError where there is no io_uring.

    A read that finds the queue empty comes back with EAGAIN, at a fraction of a read's cost:
    the batch follows what came last, so that little is asked for in vain. All reads share
    one buffer, unless the `stamps` of every frame are wanted: then each has its own.
    """

    name = "io_uring"

    def __init__(
        self, fd: int, length: int, *, number_at: int, slots: int = 256, stamped: bool = False
    ) -> None:
        super().__init__(fd, length, number_at=number_at)
        self._slots = slots
        self._stride = -(-length // _LINE) * _LINE if stamped else 0
        self._buffer = bytearray(self._stride * slots or length)
        self._uring = Uring(slots)
        base = address_of(self._buffer)
        for slot in range(slots):
            address = base + slot * self._stride
            self._uring.prepare(slot, OP_READ, fd, address, length, flags=0, rwf=RWF_NOWAIT)
        self._next = 0  # slot
        self._ask = min(_FEWEST, slots)
        self._results: list[int] = []

    def receive(self) -> int:
        """See Receiver."""
        asked = self._ask
        self._uring.submit(asked)
        self._results = results = self._uring.results()
        empty = results.count(_AGAIN)
        self._next = (self._next + len(results)) % self._slots
        if not empty:
            self._ask = min(2 * asked, self._slots)
        elif 2 * empty > asked > _FEWEST:
            self._ask = asked // 2
        if results and results[0] >= _ERRORS and results[0] != _AGAIN:
            self._raise()
        return len(results) - empty

    def _raise(self) -> None:
        code = (1 << 32) - self._results[0]
        raise OSError(code, os.strerror(code))

    def _arrived(self) -> list[int]:
        """Slots that the last `receive` has filled, in order."""
        first = self._next - len(self._results)
        return [
            (first + at) % self._slots
            for at, result in enumerate(self._results)
            if result != _AGAIN
        ]

    @property
    def last(self) -> int:
        """See Receiver."""
        slot = self._arrived()[-1] if self._stride else 0
        number: int = _number(self._buffer, slot * self._stride + self.number_at)[0]
        return number

    def stamps(self) -> list[int]:
        """See Receiver; all, if made with `stamped`."""
        at = self.number_at + STAMP_AFTER_NUMBER
        return [_stamp(self._buffer, slot * self._stride + at)[0] for slot in self._arrived()]

    def close(self) -> None:
        """See Receiver."""
        self._uring.close()
