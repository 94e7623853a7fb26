"""Ways to send frames from a pool: all do the same, and the fastest that works is taken.

No sender makes an object for a frame or looks at one: the loop over a batch runs in the kernel
(io_uring, a transmit ring) or in C inside the interpreter (write).
"""

from __future__ import annotations

import errno
import os
from abc import abstractmethod
from collections import deque
from itertools import repeat

from harness.kernel.engine.pool import Pool
from harness.kernel.engine.uring import OP_WRITE, RWF_NOWAIT, SKIP_SUCCESS, Uring
from harness.kernel.syscalls import address_of
from harness.resource import Resource

__all__ = ["NO_ROOM", "Sender", "UringSender", "WriteSender"]

NO_ROOM = (errno.EAGAIN, errno.ENOBUFS)
_consume = deque[object](maxlen=0).extend


class Sender(Resource):
    """Sends a pool's frames in turn. `name` says how."""

    name: str

    def __init__(self, fd: int, pool: Pool) -> None:
        self.fd = fd
        self.pool = pool
        self.at = 0
        """The slot that is sent next."""
        self.refused = 0
        """Frames that the descriptor did not take."""

    def send(self, count: int) -> None:
        """Send the next `count` frames, at most as many as the pool has. Raises OSError.

        A frame that finds no room (EAGAIN, ENOBUFS) is passed over and counted.
        """
        self._send(count)
        self.at = (self.at + count) % self.pool.slots

    @abstractmethod
    def _send(self, count: int) -> None: ...

    def close(self) -> None:
        """Give back what was made for sending; the descriptor stays open. Idempotent."""


class WriteSender(Sender):
    """write(2), looped over the batch inside the interpreter: where io_uring is forbidden."""

    name = "write"

    def __init__(self, fd: int, pool: Pool) -> None:
        super().__init__(fd, pool)
        self._frames = [pool.frame(slot) for slot in range(pool.slots)] * 2

    def _send(self, count: int) -> None:
        batch = iter(self._frames[self.at : self.at + count])
        writes = map(os.write, repeat(self.fd), batch)
        while True:
            try:
                _consume(writes)
                return
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                self.refused += 1  # and the map goes on with the frame behind it


class UringSender(Sender):
    """io_uring: one system call for a batch. Raises OSError where there is none.

    The pool's slots are a power of two (ValueError), and the thread that makes it sends.
    """

    name = "io_uring"

    def __init__(self, fd: int, pool: Pool) -> None:
        super().__init__(fd, pool)
        self._uring = Uring(pool.slots)
        base = address_of(pool.buffer)
        for slot in range(pool.slots):
            self._uring.prepare(
                slot,
                OP_WRITE,
                fd,
                base + slot * pool.stride,
                pool.length,
                flags=SKIP_SUCCESS,
                rwf=RWF_NOWAIT,
            )

    def _send(self, count: int) -> None:
        uring = self._uring
        uring.submit(count)
        failed = uring.failures()
        if failed:
            for number in failed:
                if (1 << 32) - number not in NO_ROOM:
                    code = (1 << 32) - number
                    raise OSError(code, os.strerror(code))
            self.refused += len(failed)

    def close(self) -> None:
        """See Sender."""
        self._uring.close()
