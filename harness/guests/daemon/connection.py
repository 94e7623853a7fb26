"""libvirt's own client library, with errors of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import LibvirtError, UnfitError
from harness.guests.domain import Domain, parse_domain
from harness.resource import Resource

try:
    import libvirt
except ImportError as error:
    raise UnfitError(
        f"real guests take libvirt's client for Python ({error})",
        remedy="apt install libvirt-dev gcc pkg-config; pip install 'hairpin[libvirt]'",
    ) from error

__all__ = ["Connection", "Running"]

libvirt.registerErrorHandler(lambda _context, _error: None, None)  # it would print them as well
# Since then a direct interface is validated as the schemas say (VIR_DOMAIN_START_VALIDATE, 5.10).
_OLDEST = (5, 10, 0)
_SHOWN = re.compile(r"\s+")


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    try:
        yield
    except libvirt.libvirtError as error:
        number = error.get_error_code() or 0
        raise LibvirtError(what, _SHOWN.sub(" ", str(error)).strip(), code=number) from error


class Running(Resource):
    """A guest that runs. Use it in a `with` statement: it is destroyed at the end."""

    def __init__(self, domain: Any, name: str) -> None:
        self.handle = domain
        """libvirt's own object (virDomain), for what has no method here."""
        self.name = name

    @property
    def domain(self) -> Domain:
        """Its XML as libvirt has it now. Raises LibvirtError."""
        return parse_domain(self.xml(), file=f"{self.name} (live)")

    def xml(self, *, inactive: bool = False) -> str:
        """Its XML as text: of now, or of its next start. Raises LibvirtError."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE if inactive else 0
        with self.asking("show the XML"):
            text: str = self.handle.XMLDesc(flags)
        return text

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Errors of libvirt inside, as LibvirtError about `what`."""
        with _refusals(f"{what} of {self.name}"):
            yield

    @property
    def active(self) -> bool:
        """Whether it still runs. Raises LibvirtError."""
        with self.asking("look at the state"):
            return bool(self.handle.isActive())

    def destroy(self) -> None:
        """Pull the plug; nothing when it does not run any more. Raises LibvirtError."""
        try:
            with self.asking("destroy the guest"):
                self.handle.destroy()
        except LibvirtError as error:
            gone = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)
            if error.code not in gone:
                raise

    def close(self) -> None:
        """See destroy."""
        self.destroy()


class Connection(Resource):
    """A connection to a libvirtd. Use `Connection.open` in a `with` statement."""

    def __init__(self, handle: Any, uri: str) -> None:
        self.handle = handle
        """libvirt's own object (virConnect), for what has no method here."""
        self.uri = uri

    @classmethod
    def open(cls, uri: str) -> Connection:
        """Connect. Raises LibvirtError, UnfitError when what answers is too old."""
        with _refusals(f"connect to {uri}"):
            connection = cls(libvirt.open(uri), uri)
        if connection.version < _OLDEST:
            connection.close()
            found, oldest = (".".join(map(str, x)) for x in (connection.version, _OLDEST))
            raise UnfitError(f"libvirt there is {found}", remedy=f"it takes {oldest} or newer")
        return connection

    @property
    def version(self) -> tuple[int, int, int]:
        """The daemon's version. Raises LibvirtError."""
        with _refusals("ask for the version"):
            number: int = self.handle.getLibVersion()
        return number // 1_000_000, number // 1000 % 1000, number % 1000

    def start(self, domain: Domain | str, *, paused: bool = False, bound: bool = True) -> Running:
        """Start a guest that is gone with this connection (transient, AUTODESTROY).

        One that is not `bound` stays when the connection goes; only such a one can be migrated
        (qemuMigrationSrcIsAllowed refuses the others). libvirt validates the XML with its schemas
        first. Raises LibvirtError.
        """
        flags = libvirt.VIR_DOMAIN_START_VALIDATE
        if bound:
            flags |= libvirt.VIR_DOMAIN_START_AUTODESTROY
        if paused:
            flags |= libvirt.VIR_DOMAIN_START_PAUSED
        text = domain if isinstance(domain, str) else domain.text
        with _refusals("start a guest"):
            handle = self.handle.createXML(text, flags)
            return Running(handle, handle.name())

    def define(self, domain: Domain | str) -> Running:
        """Define a guest, which stays until it is undefined; not started. Raises LibvirtError."""
        text = domain if isinstance(domain, str) else domain.text
        with _refusals("define a guest"):
            handle = self.handle.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
            return Running(handle, handle.name())

    def find(self, name: str) -> Running:
        """The guest of this name. Raises LibvirtError when there is none."""
        with _refusals(f"find the guest {name}"):
            return Running(self.handle.lookupByName(name), name)

    def close(self) -> None:
        """Disconnect; idempotent."""
        if self.handle is not None:
            handle, self.handle = self.handle, None
            with _refusals(f"disconnect from {self.uri}"):
                handle.close()
