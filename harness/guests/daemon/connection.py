"""libvirt's own client library, with errors of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any

from harness.errors import LibvirtError, UnfitError
from harness.guests.domain import Domain, Interface, dump_interface, parse_domain
from harness.guests.remedies import remedy
from harness.resource import Resource

try:
    import libvirt
except ImportError as error:
    raise UnfitError(
        f"real guests take libvirt's client for Python ({error})",
        remedy="apt install libvirt-dev gcc pkg-config; pip install 'hairpin[libvirt]'",
    ) from error

__all__ = ["Connection", "Running", "State"]

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
        said = _SHOWN.sub(" ", str(error)).strip()
        raise LibvirtError(what, said, code=number, remedy=remedy(said)) from error


class State(StrEnum):
    """What libvirt says of a guest: virDomainState in its own words, or that it knows none."""

    RUNNING = "running"
    PAUSED = "paused"
    SHUT_DOWN = "in shutdown"
    SHUT_OFF = "shut off"
    CRASHED = "crashed"
    OTHER = "another"
    GONE = "gone"


_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: State.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: State.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: State.SHUT_DOWN,
    libvirt.VIR_DOMAIN_SHUTOFF: State.SHUT_OFF,
    libvirt.VIR_DOMAIN_CRASHED: State.CRASHED,
}


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

    @property
    def state(self) -> State:
        """What libvirt says of it. Raises LibvirtError."""
        try:
            with self.asking("look at the state"):
                return _STATES.get(self.handle.state()[0], State.OTHER)
        except LibvirtError as error:
            if error.code != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            return State.GONE

    # ------------------------------------------------------------------ its life

    def start(self) -> None:
        """Start a guest that is defined; it outlives the connection. Raises LibvirtError."""
        with self.asking("start the guest"):
            self.handle.create()

    def undefine(self) -> None:
        """Forget its definition; one that runs goes on, and is then gone. Raises LibvirtError."""
        with self.asking("undefine the guest"):
            self.handle.undefine()

    def suspend(self) -> None:
        """Stop its processors. Raises LibvirtError."""
        with self.asking("suspend the guest"):
            self.handle.suspend()

    def resume(self) -> None:
        """Let its processors go on. Raises LibvirtError."""
        with self.asking("resume the guest"):
            self.handle.resume()

    def save(self, path: str) -> None:
        """Write it to a file, as the daemon names that, and end it. Raises LibvirtError."""
        with self.asking("save the guest"):
            self.handle.save(path)

    # ------------------------------------------------------------------ its interfaces, live

    def attach(self, nic: Interface) -> None:
        """Plug an interface in. Raises LibvirtError."""
        with self.asking("attach an interface"):
            live = libvirt.VIR_DOMAIN_AFFECT_LIVE
            self.handle.attachDeviceFlags(dump_interface(nic), live)

    def detach(self, nic: Interface) -> None:
        """Ask the guest to let an interface go; it has when its XML has none any more.

        Raises LibvirtError.
        """
        with self.asking("detach an interface"):
            live = libvirt.VIR_DOMAIN_AFFECT_LIVE
            self.handle.detachDeviceFlags(dump_interface(nic), live)

    def update(self, nic: Interface) -> None:
        """Change an interface, which is told by its address. Raises LibvirtError."""
        with self.asking("update an interface"):
            live = libvirt.VIR_DOMAIN_AFFECT_LIVE
            self.handle.updateDeviceFlags(dump_interface(nic), live)

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
        version = connection.version
        if version < _OLDEST:
            connection.close()
            found, oldest = (".".join(map(str, x)) for x in (version, _OLDEST))
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

    def ready_schemas(self) -> None:
        """Have the daemon validate something, which it refuses: then it can do so on any thread.

        The first that validates sets the types of XML Schema up, for which libxml2 takes no lock
        (xmlSchemaInitTypes, 2.9.14): of guests that are started at once, one was refused because
        of a type that "is not exported by type library", with 1 daemon in 250.
        """
        with suppress(LibvirtError):
            self.start("<domain/>")

    def define(self, domain: Domain | str) -> Running:
        """Define a guest, which stays until it is undefined; not started. Raises LibvirtError."""
        text = domain if isinstance(domain, str) else domain.text
        with _refusals("define a guest"):
            handle = self.handle.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
            return Running(handle, handle.name())

    def restore(self, path: str, name: str) -> Running:
        """The guest `name` from the file that it was saved to. Raises LibvirtError."""
        with _refusals(f"restore the guest {name}"):
            self.handle.restore(path)
        return self.find(name)

    def define_filter(self, xml: str) -> None:
        """Define a network filter. Raises LibvirtError."""
        with _refusals("define a network filter"):
            self.handle.nwfilterDefineXML(xml)

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
