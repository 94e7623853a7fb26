"""The pump: carries frames between two descriptors, both ways.

    stack of a namespace -- [tun device] == pump == [tap of the macvtap] -- lower device

It is started as a script, by path and without site packages, with two descriptor numbers. Both
ends bear the same virtio-net header, so a frame passes as it is: one that the stack has left to
be segmented goes as one of 64 KiB. What an end does not take is dropped, as a network card
does. It says ``ready`` when it is.

Each way is a process of its own that does nothing but block in read and write: answers are not
held up by what they answer, and a frame costs two system calls. Nothing is imported but what is
built in: one is started for every guest.
"""

from __future__ import annotations

import errno
import os
import sys

__all__ = ["carry"]

_BUFFER = 1 << 17  # bytes: header and the longest frame


def carry(source: int, sink: int) -> None:
    """Carry frames from one descriptor to another, until the device behind `source` is gone."""
    readv, write = os.readv, os.write
    buffer = bytearray(_BUFFER)
    buffers, view = [buffer], memoryview(buffer)
    while True:
        try:
            while True:
                length = readv(source, buffers)
                try:  # noqa: SIM105  (a context manager would be one more object per frame)
                    write(sink, view[:length])
                except OSError:
                    pass  # down, or too long: the frame is gone
        except OSError as error:
            if error.errno != errno.ENETDOWN:  # said once; the link may come up again
                return


if __name__ == "__main__":
    one, other = int(sys.argv[1]), int(sys.argv[2])
    for end in (one, other):
        os.set_blocking(end, True)
    if os.fork():
        print("ready", flush=True)
        carry(one, other)
    else:
        carry(other, one)
