"""Which way of sending and receiving: the fastest that this machine allows."""

from __future__ import annotations

import os
from functools import cache

from harness.kernel.engine.pool import Pool
from harness.kernel.engine.receivers import ReadReceiver, Receiver, UringReceiver
from harness.kernel.engine.senders import Sender, UringSender, WriteSender
from harness.kernel.engine.uring import OP_WRITE, RWF_NOWAIT, Uring
from harness.kernel.syscalls import address_of

__all__ = ["engine_name", "make_receiver", "make_sender", "uring_works"]


@cache
def uring_works() -> bool:
    """Whether io_uring is there, allowed, and new enough to write without waiting (tried)."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        with Uring(1) as uring:
            byte = bytearray(1)
            uring.prepare(0, OP_WRITE, writer, address_of(byte), 1, flags=0, rwf=RWF_NOWAIT)
            uring.submit(1)
            return uring.results() == [1]
    except OSError:
        return False
    finally:
        os.close(reader)
        os.close(writer)


def engine_name() -> str:
    """How frames are sent and received on this machine."""
    return UringSender.name if uring_works() else f"{WriteSender.name} and {ReadReceiver.name}"


def make_sender(fd: int, pool: Pool) -> Sender:
    """The fastest sender for a tap, a socket or a pipe. Raises OSError."""
    return UringSender(fd, pool) if uring_works() else WriteSender(fd, pool)


def make_receiver(fd: int, length: int, *, number_at: int, stamped: bool = False) -> Receiver:
    """The fastest receiver for a tap, a socket or a pipe. Raises OSError."""
    if uring_works():
        return UringReceiver(fd, length, number_at=number_at, stamped=stamped)
    return ReadReceiver(fd, length, number_at=number_at)
