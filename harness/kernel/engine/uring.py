"""io_uring(7) as the frame engine needs it: prepared requests, submitted again and again.

The submission queue holds the same requests for as long as the ring lives; submitting a batch is
one store to the queue's tail and one system call, whatever its size. No object is made for a
frame, and a frame costs no system call of its own.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct

from harness.kernel.syscalls import io_uring_enter, io_uring_setup
from harness.resource import Resource

__all__ = ["OP_READ", "OP_WRITE", "RWF_NOWAIT", "SKIP_SUCCESS", "Uring"]

OP_READ = 22  # IORING_OP_READ
OP_WRITE = 23  # IORING_OP_WRITE
SKIP_SUCCESS = 1 << 6  # IOSQE_CQE_SKIP_SUCCESS (5.17): only what fails is told
RWF_NOWAIT = 0x8
"""EAGAIN at once rather than waiting; O_NONBLOCK alone makes io_uring poll (io_rw_init_file)."""

_SETUP_CQSIZE = 1 << 3
_SETUP_SINGLE_ISSUER = 1 << 12
_SETUP_DEFER_TASKRUN = 1 << 13  # 6.1
_FEAT_SINGLE_MMAP = 1 << 0  # 5.4
_OFF_SQ_RING = 0
_OFF_SQES = 0x10000000
_HERE = 0xFFFFFFFFFFFFFFFF  # the file's own position; a tap has none

# struct io_uring_params: sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features,
# wq_fd, resv[3], then struct io_sqring_offsets and struct io_cqring_offsets.
_PARAMS = 120
_HEAD = struct.Struct("=6I")
_SQ_OFFSETS = struct.Struct("=7I")  # head, tail, ring_mask, ring_entries, flags, dropped, array
_CQ_OFFSETS = struct.Struct("=6I")  # head, tail, ring_mask, ring_entries, overflow, cqes
_SQE = struct.Struct("=BBHiQQIIQHHiQQ")
_SQE_SIZE = 64
_CQE_WORDS = 4  # struct io_uring_cqe: user_data (2 words), res, flags


class Uring(Resource):
    """A ring of up to `entries` prepared requests. Raises OSError.

    ENOSYS, or EPERM where kernel.io_uring_disabled or a seccomp filter forbids it. The thread
    that makes it is the only one that may submit. Raises ValueError when `entries` is no power of
    two: the kernel's queue would be longer, and go round another way (io_uring_fill_params).
    """

    def __init__(self, entries: int) -> None:
        if entries < 1 or entries & (entries - 1):
            raise ValueError(f"io_uring: {entries} requests; allowed: a power of two")
        self.entries = entries
        parameters = bytearray(_PARAMS)
        flags = _SETUP_CQSIZE | _SETUP_SINGLE_ISSUER | _SETUP_DEFER_TASKRUN
        _HEAD.pack_into(parameters, 0, entries, 2 * entries, flags, 0, 0, 0)
        self._fd = io_uring_setup(entries, parameters)
        try:
            _, completions, _, _, _, features = _HEAD.unpack_from(parameters)
            if not features & _FEAT_SINGLE_MMAP:
                raise OSError(errno.ENOSYS, "io_uring: kernel older than 5.4")
            _, tail, _, _, _, _, array = _SQ_OFFSETS.unpack_from(parameters, 40)
            chead, ctail, _, _, _, cqes = _CQ_OFFSETS.unpack_from(parameters, 80)
            size = max(array + 4 * entries, cqes + 4 * _CQE_WORDS * completions)
            self._ring = mmap.mmap(self._fd, size, offset=_OFF_SQ_RING)
            self._requests = mmap.mmap(self._fd, entries * _SQE_SIZE, offset=_OFF_SQES)
        except OSError:
            os.close(self._fd)
            raise
        self._words = memoryview(self._ring).cast("I")
        for slot in range(entries):
            self._words[array // 4 + slot] = slot
        self._tail = tail // 4
        self._chead, self._ctail = chead // 4, ctail // 4
        self._results = cqes // 4 + 2  # of the first completion's `res`
        self._completions = completions

    def prepare(
        self, slot: int, operation: int, fd: int, address: int, length: int, *, flags: int, rwf: int
    ) -> None:
        """What slot `slot` asks for, whenever it is submitted: `operation` on `length` bytes."""
        _SQE.pack_into(
            self._requests,
            slot * _SQE_SIZE,
            operation,
            flags,
            0,
            fd,
            _HERE,
            address,
            length,
            rwf,
            *(0,) * 6,
        )

    def submit(self, count: int) -> None:
        """Submit the next `count` slots, round and round, and have them done. Raises OSError."""
        words, tail = self._words, self._tail
        words[tail] = (words[tail] + count) & 0xFFFFFFFF
        taken = io_uring_enter(self._fd, count)
        if taken != count:
            raise OSError(errno.EBUSY, f"io_uring took {taken} of {count} requests")

    def results(self) -> list[int]:
        """Results of what has been completed since last asked, as unsigned 32-bit numbers."""
        words = self._words
        head, tail = words[self._chead], words[self._ctail]
        if head == tail:
            return []
        first, last = head % self._completions, tail % self._completions
        at = self._results
        if first < last:
            found = words[at + 4 * first : at + 4 * last - 3 : 4].tolist()
        else:
            found = words[at + 4 * first : at + 4 * self._completions - 3 : 4].tolist()
            if last:
                found += words[at : at + 4 * last - 3 : 4].tolist()
        words[self._chead] = tail
        return found

    def failures(self) -> list[int]:
        """`results`, all of them, where only failures are told.

        A write that fails is completed as task work, of which a system call does 20 or 40 and
        leaves the rest to the next (io_complete_rw; IO_LOCAL_TW_DEFAULT_MAX, Linux 6.13).
        """
        found = more = self.results()
        while more:
            io_uring_enter(self._fd, 0)
            more = self.results()
            found = found + more
        return found

    def close(self) -> None:
        """Give everything back; idempotent."""
        if self._fd >= 0:
            self._words.release()
            self._ring.close()
            self._requests.close()
            os.close(self._fd)
            self._fd = -1
