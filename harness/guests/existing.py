"""A libvirtd that is there already: guests of ours on a link of this machine.

    this machine                                 the world
    .----------------------------------.        .--------------------.
    | hairpin-N-a [macvtap] --.        |        |                    |
    |                        eth1 -----|--------|-- a switch, maybe  |
    | hairpin-N-b [macvtap] --'        |        |   one with hairpin |
    '----------------------------------'        '--------------------'

Nothing is defined: the guests are transient, and gone with the connection (AUTODESTROY), so that
whatever ends us ends them. What is on the link and in libvirt is read first, and only what we have
made is changed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import UnfitError, UsageError
from harness.guests.daemon import Connection
from harness.guests.domain import Domain
from harness.guests.host import Host, RealGuest, Wanted
from harness.guests.tiny.image import Image
from harness.guests.tiny.spec import tiny_domain
from harness.kernel.netns import NetNS
from harness.machines.accelerator import Accelerator

__all__ = ["ExistingHost"]

_PUBLIC = "/var/tmp"
_PREFIX = "hairpin-guest-"
_CHANNEL = "devices/channel/source"


class ExistingHost(Host):
    """The libvirtd at `uri`, on this machine. Use it in a `with` statement.

    Raises UsageError for a libvirtd elsewhere, LibvirtError when it cannot be reached, UnfitError
    when it is too old.
    """

    def __init__(
        self, uri: str, image: Image, *, accelerator: Accelerator = Accelerator.TCG
    ) -> None:
        if urlsplit(uri).netloc:
            raise UsageError(f"{uri} is elsewhere; hairpin has to run on the machine of the link")
        self._undo = ExitStack()
        try:
            folder = self._undo.enter_context(_public_folder())
            ns = NetNS.current()
            self._undo.callback(ns.close)
            connection = self._undo.enter_context(Connection.open(uri))
            super().__init__(ns, connection, _readable(image, folder), accelerator=accelerator)
        except BaseException:
            self._undo.close()
            raise

    def domain(self, wanted: Wanted) -> Domain:
        """See Host: libvirt finds a place for the agent's socket that its QEMU may use."""
        return tiny_domain(
            wanted.name,
            self.image,
            wanted.interfaces,
            accelerator=self.accelerator,
            agent_socket="",
            console_log="",
        )

    def agent_path(self, guest: RealGuest) -> Path:
        """See Host."""
        source = guest.running.domain.document.root.find(_CHANNEL)
        if source is None or not source.get("path"):
            raise UnfitError(
                "libvirt made no socket for the agent", remedy="use libvirt 5.10 or newer"
            )
        return Path(str(source.get("path")))

    def close(self) -> None:
        """Destroy the guests and disconnect; idempotent."""
        while self.guests:
            self.guests.popitem()[1].close()
        self._undo.close()


@contextmanager
def _public_folder() -> Iterator[Path]:
    """A folder for what QEMU reads. What a killed run has left is removed first.

    Each is locked while it is in use; the lock goes with whoever holds it.
    """
    for left in Path(_PUBLIC).glob(f"{_PREFIX}*"):
        with _locked(left) as free:
            if free:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_PUBLIC))
    with _locked(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(fd)


def _readable(image: Image, folder: Path) -> Image:
    """The image where a QEMU that is not root may read it; libvirt makes it the owner."""
    folder.chmod(0o755)
    copies = [Path(shutil.copy(path, folder)) for path in (image.kernel, image.initramfs)]
    for copy in copies:
        copy.chmod(0o644)
    return Image(
        architecture=image.architecture,
        kernel=copies[0],
        initramfs=copies[1],
        packages=image.packages,
        iperf3=image.iperf3,
    )
