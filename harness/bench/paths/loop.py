"""The engine without any network: what it sends through a pipe, it receives.

Whatever a path costs, the engine costs this much on this machine already.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from contextlib import ExitStack

from harness.bench.ends import End, EndKind, Path

__all__ = ["loop_path"]

_ROOM = 1 << 20  # bytes: fs.pipe-max-size, as it is by default
_A, _B = b"\x02hp\x0b\0\1", b"\x02hp\x0b\0\2"


def loop_path(length: int) -> Path:
    """A pipe for frames of `length` bytes, header included, as a path. Raises OSError.

    Up to a page, one is a packet of its own (O_DIRECT). Longer ones are a stream, whose receiver
    must ask for exactly `length` bytes, and whose sender must not send more than `Path.queue`
    frames ahead: beyond that the pipe would take a part of one.
    """
    small = length <= mmap.PAGESIZE
    flags = os.O_NONBLOCK | os.O_CLOEXEC | (os.O_DIRECT if small else 0)
    reader, writer = os.pipe2(flags)
    with ExitStack() as closing:
        closing.callback(os.close, reader)
        closing.callback(os.close, writer)
        room = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _ROOM)
        undo = closing.pop_all()
    pages = -(-length // mmap.PAGESIZE)
    return Path(
        name="loop",
        a=End(fd=writer, kind=EndKind.PIPE, mac=_A),
        b=End(fd=reader, kind=EndKind.PIPE, mac=_B),
        undo=undo,
        queue=room // mmap.PAGESIZE // pages,
        mtu=length,
    )
