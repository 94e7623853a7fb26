"""Ways to receive frames: read until there are none left, without an object for a frame."""

from __future__ import annotations

import io
import os
import select
from abc import abstractmethod
from collections import deque
from functools import partial
from itertools import count, islice
from struct import Struct

from harness.kernel.engine.pool import STAMP_AFTER_NUMBER
from harness.kernel.engine.uring import OP_READ, RWF_NOWAIT, Uring
from harness.kernel.syscalls import address_of
from harness.resource import Resource

__all__ = ["ReadReceiver", "Receiver", "UringReceiver"]

_AGAIN = (1 << 32) - 11  # -EAGAIN, as a completion says it
_consume = deque[object](maxlen=0).extend
_number = Struct("=I").unpack_from
_stamp = Struct("=Q").unpack_from
_ERRORS = 1 << 31  # results from here on are negative
_FEWEST = 4  # reads in a batch
_MOST = 4096
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
    def receive(self, expected: int = 0) -> int:
        """Read what is there now, up to a batch; how many frames. Raises OSError.

        Whoever knows how many are `expected` spares it looking for more.
        """

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
    """read(2) until EAGAIN, looped by the interpreter: where io_uring is forbidden.

    A batch has an end even where frames come faster than they are read: `_MOST` of them.
    """

    name = "read"

    def __init__(self, fd: int, length: int, *, number_at: int) -> None:
        super().__init__(fd, length, number_at=number_at)
        self._buffer = bytearray(length)
        self._file = io.FileIO(fd, "r", closefd=False)
        # readinto gives None where there is nothing to read: iter() takes that for the end.
        self._read = partial(self._file.readinto, self._buffer)

    def receive(self, expected: int = 0) -> int:
        """See Receiver."""
        counter = count()
        frames = islice(iter(self._read, None), expected or _MOST)
        _consume(zip(frames, counter, strict=False))
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

    A read that finds the queue empty comes back with EAGAIN, at half of a read's cost: the batch
    follows what came last, so that little is asked for in vain. All reads share one buffer,
    unless the `stamps` of every frame are wanted: then each has its own.
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
        self._batch: tuple[int, list[int]] = (0, [])  # first slot, results
        self._newest = 0  # slot

    def receive(self, expected: int = 0) -> int:
        """See Receiver."""
        asked = min(expected, self._slots) or self._ask
        self._uring.submit(asked)
        results = self._uring.results()
        self._batch = self._next, results
        self._next = (self._next + asked) % self._slots
        empty = results.count(_AGAIN)
        if empty:
            self._ask = min(max(asked - empty, _FEWEST), self._slots)
            if empty == asked:
                return 0
        else:
            self._ask = min(2 * asked, self._slots)
        # Those with EAGAIN are last, unless frames came meanwhile.
        if max(results[: asked - empty]) >= _ERRORS:
            self._raise_if_any(results)
        if self._stride:
            self._newest = self._arrived()[-1]
        return asked - empty

    def _raise_if_any(self, results: list[int]) -> None:
        for result in results:
            if result >= _ERRORS and result != _AGAIN:
                code = (1 << 32) - result
                raise OSError(code, os.strerror(code))

    def _arrived(self) -> list[int]:
        """Slots that the last `receive` has filled, in order."""
        first, results = self._batch
        return [(first + at) % self._slots for at, result in enumerate(results) if result != _AGAIN]

    @property
    def last(self) -> int:
        """See Receiver."""
        number: int = _number(self._buffer, self._newest * self._stride + self.number_at)[0]
        return number

    def stamps(self) -> list[int]:
        """See Receiver; all, if made with `stamped`."""
        at = self.number_at + STAMP_AFTER_NUMBER
        return [_stamp(self._buffer, slot * self._stride + at)[0] for slot in self._arrived()]

    def close(self) -> None:
        """See Receiver."""
        self._uring.close()
