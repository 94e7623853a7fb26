"""One CPU for a thread, for as long as what it sends must stay in order."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness.kernel.syscalls import current_cpu

__all__ = ["pinned"]


@contextmanager
def pinned() -> Iterator[None]:
    """Keep the calling thread on the CPU that it runs on; nothing where it has one only.

    Afterwards the same thread may run where it could before, whichever thread ends the context:
    testbeds are closed on threads of their own.
    """
    before = os.sched_getaffinity(0)
    if len(before) == 1:
        yield
        return
    thread, number = threading.current_thread(), threading.get_native_id()
    os.sched_setaffinity(0, {current_cpu()})
    try:
        yield
    finally:
        # A thread's number is given again once it has ended, perhaps to somebody else's.
        if thread.is_alive():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(number, before)
