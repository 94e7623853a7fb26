"""Domains: their macvtap interfaces as facts, everything else left as it is.

    text ── parse_domain ──► Domain ── with_interfaces, map_devices ──► Domain ── .text ──► text

A change is made in a copy of the XML, at the places that it is about: what is not understood
stays, where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn, TypeAlias
from uuid import UUID

from lxml import etree

from harness.errors import DomainError
from harness.guests import values
from harness.guests.codec import new_element, read_nic, write_nic
from harness.guests.document import Document, Element, line_of, load_document, parse_document
from harness.guests.nic import DirectInterface, NetworkInterface
from harness.guests.scalars import At, Complain, add_child
from harness.guests.values import Misread

__all__ = [
    "Domain",
    "Interface",
    "domain_of",
    "dump_interface",
    "interface_elements",
    "load_domain",
    "map_devices",
    "parse_domain",
    "parse_interface",
    "raising",
    "read_uuid",
]

Interface: TypeAlias = DirectInterface | NetworkInterface
_ROOTS = ("domain", "devices", "interface")


@dataclass(frozen=True)
class Domain:
    """A domain, or the part of one that holds its interfaces (`<devices>`, `<interface>`).

    `interfaces` are those of type direct and network, in their order.
    """

    name: str
    uuid: UUID | None
    interfaces: tuple[Interface, ...]
    document: Document = field(compare=False, repr=False)

    @property
    def direct(self) -> tuple[DirectInterface, ...]:
        """The interfaces of type direct."""
        return tuple(x for x in self.interfaces if isinstance(x, DirectInterface))

    @property
    def text(self) -> str:
        """The domain's XML."""
        return self.document.text

    def with_interfaces(self, interfaces: Iterable[Interface]) -> Domain:
        """The domain with these instead, one for one; further ones are added.

        Raises DomainError where there are fewer, the type of one changes, or there is no
        `<devices>` to add to.
        """
        wanted = tuple(interfaces)
        tree = deepcopy(self.document.root.getroottree())
        root = tree.getroot()
        elements = list(_ours(root))
        if len(wanted) < len(elements):
            _refuse(self, f"{len(elements)} interfaces cannot become {len(wanted)}", "no fewer")
        for element, nic in zip(elements, wanted, strict=False):
            if element.get("type") != _kind(nic):
                _refuse(self, "the type of an interface cannot change", element.get("type", ""))
            _write(element, nic)
        for nic in wanted[len(elements) :]:
            devices = root if root.tag == "devices" else root.find("devices")
            if devices is None:
                _refuse(self, "there is nothing to add an interface to", "<devices>")
            _add(devices, nic)
        text = etree.tostring(tree, encoding="unicode")
        return parse_domain(text, file=self.document.file)


def _refuse(domain: Domain, problem: str, allowed: str) -> NoReturn:
    file = domain.document.file
    raise DomainError(domain.document.kind, problem, allowed=allowed, file=file)


def _kind(nic: Interface) -> str:
    return "direct" if isinstance(nic, DirectInterface) else "network"


def _add(devices: Element, nic: Interface) -> None:
    child = add_child(devices, "interface")
    made = _element(nic)
    tail, child.text = child.tail, made.text
    child.attrib.update(made.attrib)
    child.extend(made)
    child.tail = tail


def load_domain(path: Path) -> Domain:
    """The domain in the file `path`. Raises DomainError naming file, line and element."""
    return domain_of(load_document(path, roots=_ROOTS))


def parse_domain(text: str | bytes, *, file: str = "domain.xml") -> Domain:
    """The domain that `text` describes; `file` is for messages. Raises DomainError."""
    return domain_of(parse_document(text, file=file, roots=_ROOTS))


def domain_of(document: Document, complain: Complain | None = None) -> Domain:
    """The domain in a document.

    Raises DomainError for the first value that cannot be read; with `complain`, such values go
    there and are left out instead, and with them an interface that is nothing without one.
    """
    report = complain or raising(document.file)
    root = document.root
    found = [read_nic(x, report, file=document.file) for x in _ours(root)]
    return Domain(
        name=(root.findtext("name") or "").strip(),
        uuid=read_uuid(root, report),
        interfaces=tuple(x for x in found if isinstance(x, DirectInterface | NetworkInterface)),
        document=document,
    )


def read_uuid(root: Element, complain: Complain) -> UUID | None:
    """The `<uuid>` of a domain or network; None without one."""
    text = root.findtext("uuid")
    try:
        return None if text is None else values.uuid(text.strip())
    except Misread as misread:
        complain(misread, root, "uuid")
        return None


def raising(file: str) -> Complain:
    """A complaint about a value that raises DomainError."""

    def complain(misread: Misread, element: Element, path: str) -> None:
        at = At(element, file)
        raise DomainError(
            at.name(path), misread.problem, allowed=misread.allowed, file=file, line=at.line(path)
        ) from misread

    return complain


def interface_elements(root: Element) -> Iterator[Element]:
    """All `<interface>` elements under a domain's root, of whatever type."""
    if root.tag == "interface":
        yield root
    else:
        yield from root.iterfind("interface" if root.tag == "devices" else "devices/interface")


def _ours(root: Element) -> Iterator[Element]:
    return (x for x in interface_elements(root) if x.get("type") in ("direct", "network"))


# ---------------------------------------------------------------------- one interface


def parse_interface(text: str | bytes, *, file: str = "interface.xml") -> Interface:
    """The interface that `text`, an `<interface>`, describes. Raises DomainError."""
    document = parse_document(text, file=file, roots=("interface",))
    interfaces = domain_of(document).interfaces
    if not interfaces:
        raise DomainError(
            "interface/@type",
            f"{document.root.get('type', 'none')!r} is not a type that can be a macvtap",
            allowed="direct, network",
            file=file,
            line=line_of(document.root),
        )
    return interfaces[0]


def dump_interface(nic: Interface) -> str:
    """The XML of an interface; where it was read from XML, with all that stood there."""
    return etree.tostring(_element(nic), encoding="unicode")


def _element(nic: Interface) -> Element:
    if nic.origin:
        element = parse_document(nic.origin, file=nic.file, roots=("interface",)).root
        if element.get("type") == _kind(nic):
            _write(element, nic)
            return element
    with _writing(nic):
        return new_element(nic)


def _write(element: Element, nic: Interface) -> None:
    with _writing(nic):
        write_nic(element, nic)


@contextmanager
def _writing(nic: Interface) -> Iterator[None]:
    """Misread, or lxml's error for what XML has no characters for, becomes a DomainError."""
    try:
        yield
    except ValueError as error:
        allowed = error.allowed if isinstance(error, Misread) else ""
        raise DomainError("interface", str(error), allowed=allowed, file=nic.file) from error


def map_devices(domain: Domain, devices: Mapping[str, str]) -> Domain:
    """The domain with its direct interfaces on other links: {"eth0": "low0"}.

    Links that `devices` does not name stay as they are.
    """
    return domain.with_interfaces(
        replace(x, source=devices.get(x.source, x.source)) if isinstance(x, DirectInterface) else x
        for x in domain.interfaces
    )
