"""The kernel's log from now on: /dev/kmsg, of which every reader has all."""

from __future__ import annotations

import errno
import os

from harness.errors import UnfitError
from harness.resource import Resource

__all__ = ["KernelLog"]

_RECORD = 8192  # what one is at most (PRINTKRB_RECORD_MAX and LOG_LINE_MAX, kernel/printk)


class KernelLog(Resource):
    """What the kernel logs after this was made. Raises UnfitError where it may not be read."""

    def __init__(self, path: str = "/dev/kmsg") -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            raise UnfitError(
                f"the kernel's log cannot be read ({path}: {error.strerror})",
                remedy="run it as root, or without --dmesg",
            ) from error

    def read(self) -> list[str]:
        """The lines since the last time, without the time of day. Raises OSError."""
        lines: list[str] = []
        while True:
            try:
                record = os.read(self._fd, _RECORD)
            except BlockingIOError:
                return lines
            except OSError as error:
                if error.errno != errno.EPIPE:  # some were overwritten before they were read
                    raise
                continue
            # "priority,number,time,flags;text", then lines of what it was logged with.
            text = record.decode(errors="replace").split("\n", 1)[0].partition(";")[2]
            lines += text.replace("\\x0a", "\n").splitlines() or [""]

    def close(self) -> None:
        """Read no more; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
