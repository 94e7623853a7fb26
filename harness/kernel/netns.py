"""Anonymous network namespaces: held by a descriptor, gone with the process.

Nothing is named or mounted, so the kernel removes a namespace and all its links when the last
descriptor into it is closed, even by SIGKILL. Entering one happens on a thread made for the
purpose: whatever interrupts the main thread, it is never left in the wrong namespace.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from harness.errors import KernelError
from harness.kernel.netlink import Rtnl
from harness.kernel.syscalls import CLONE_NEWNET, detached_mount, setns, unshare
from harness.resource import Resource

__all__ = ["NetNS", "all_at_once", "on_thread"]

T = TypeVar("T")


def on_thread(work: Callable[[], T]) -> Future[T]:
    """`work()` on a thread of its own; its outcome is in the future."""
    future: Future[T] = Future()

    def body() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  (raised again by whoever asks)
            future.set_exception(error)

    threading.Thread(target=body, name="hairpin").start()
    return future


def all_at_once(works: Iterable[Callable[[], object]]) -> None:
    """Each of `works` on a thread of its own: for what waits rather than works.

    All are done when it returns. Raises what the first that failed has raised.
    """
    for outcome in [on_thread(work) for work in works]:
        outcome.result()


class NetNS(Resource):
    """A network namespace. Use `NetNS.create()` in a `with` statement."""

    def __init__(self, fd: int, rtnl: Rtnl) -> None:
        self.fd = fd
        self.rtnl = rtnl
        self._sysfs: int | None = None

    @classmethod
    def create(cls) -> NetNS:
        """A new namespace without IPv6 chatter, loopback down. Raises KernelError."""

        def make() -> NetNS:
            unshare(CLONE_NEWNET)
            with ExitStack() as undo:
                fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                undo.callback(os.close, fd)
                for scope in ("all", "default"):
                    knob = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
                    if knob.exists():  # a kernel without IPv6 needs no silencing
                        knob.write_text("1")
                namespace = cls(fd, Rtnl())
                undo.pop_all()
                return namespace

        try:
            return on_thread(make).result()
        except OSError as error:
            raise KernelError("create a network namespace", error.errno or 0) from error

    @classmethod
    def current(cls) -> NetNS:
        """The namespace that the calling thread is in. Raises OSError."""
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return cls(fd, Rtnl())
        except BaseException:
            os.close(fd)
            raise

    def start(self, work: Callable[[], T]) -> Future[T]:
        """`work()` on a thread that is inside, while the caller goes on."""

        def inside() -> T:
            setns(self.fd, CLONE_NEWNET)
            return work()

        return on_thread(inside)

    def run(self, work: Callable[[], T]) -> T:
        """`work()` on a thread that is inside: to open descriptors, not to stay."""
        return self.start(work).result()

    def sysctl(self, name: str, value: str) -> None:
        """Write a setting of this namespace, named as sysctl(8) does. Raises OSError."""
        path = Path("/proc/sys", *name.split("."))
        self.run(lambda: path.write_text(value))

    @property
    def sysfs(self) -> int:
        """Descriptor of a sysfs that shows this namespace, mounted nowhere. Raises OSError."""
        if self._sysfs is None:
            self._sysfs = self.run(lambda: detached_mount("sysfs"))
        return self._sysfs

    def close(self) -> None:
        """Let go of the namespace; idempotent."""
        self.rtnl.close()
        for fd in (self._sysfs, self.fd):
            if fd is not None and fd >= 0:
                os.close(fd)
        self.fd, self._sysfs = -1, None
