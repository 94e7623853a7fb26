"""libvirt's own RELAX NG schemas, where libvirt is installed."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from lxml import etree

from harness.errors import UnfitError
from harness.guests.document import Document, Element, line_of
from harness.guests.domain import interface_elements
from harness.guests.problem import Problem, Severity

__all__ = ["SCHEMAS", "schema_problems"]

SCHEMAS = Path("/usr/share/libvirt/schemas")
_PART = """\
<grammar xmlns="http://relaxng.org/ns/structure/1.0">
  <start><ref name="{name}"/></start>
  <include href="domaincommon.rng"/>
</grammar>
"""
# What libxml2 says of each element around the one that is wrong.
_ECHOES = ("Invalid sequence in interleave", "failed to validate content")


def schema_problems(document: Document, *, schemas: Path = SCHEMAS) -> tuple[Problem, ...]:
    """Where a document departs from libvirt's schema.

    Raises UnfitError, naming the package, where the schemas are not installed.
    """
    if _valid(document.root, document.kind, schemas) is None:
        return ()
    if document.kind != "network":
        # Of the whole domain libxml2 says no more than that its devices are wrong.
        wrong = [
            problem
            for element in interface_elements(document.root)
            for problem in _problems(document, element, "interface", schemas)
        ]
        if wrong:
            return tuple(wrong)
    return tuple(_problems(document, document.root, document.kind, schemas))


def _problems(document: Document, element: Element, kind: str, schemas: Path) -> list[Problem]:
    log = _valid(element, kind, schemas)
    if log is None:
        return []
    said = {(entry.message, entry.line): entry for entry in log}
    telling = [x for x in said.values() if not any(echo in x.message for echo in _ECHOES)]
    return [
        Problem(
            severity=Severity.ERROR,
            file=document.file,
            line=entry.line or line_of(_meant(element, entry.message)),
            element=(entry.path or f"/{_meant(element, entry.message).tag}").lstrip("/"),
            message=entry.message,
            source=f"libvirt {_FILES.get(kind, 'domaincommon.rng')}",
        )
        for entry in telling or said.values()
    ]


def _meant(element: Element, message: str) -> Element:
    """What a message without a place is about: libxml2 has none for what is in an interleave."""
    extra = re.match(r"Extra element (\S+) in interleave", message)
    child = element.find(extra.group(1)) if extra else None
    return element if child is None else child


_FILES = {"domain": "domain.rng", "network": "network.rng"}


def _valid(element: Element, kind: str, schemas: Path) -> list[etree._LogEntry] | None:
    """None when it is valid, else what is wrong."""
    schema = _schema(kind, schemas)
    tree = element.getroottree() if element.getparent() is None else element
    return None if schema.validate(tree) else list(schema.error_log)


@lru_cache(maxsize=8)
def _schema(kind: str, schemas: Path) -> etree.RelaxNG:
    wanted = schemas / _FILES.get(kind, "domaincommon.rng")
    if not wanted.is_file():
        raise UnfitError(
            f"libvirt's schemas are not installed: there is no {wanted}",
            remedy="install the package libvirt0 (Debian, Ubuntu) or libvirt-libs (Fedora)",
        )
    try:
        if kind in _FILES:
            return etree.RelaxNG(etree.parse(str(wanted)))
        part = etree.fromstring(_PART.format(name=kind), base_url=str(schemas / "part.rng"))
        return etree.RelaxNG(part)
    except (etree.XMLSyntaxError, etree.RelaxNGError, OSError) as error:
        raise UnfitError(
            f"libvirt's schema {wanted} cannot be used: {error}",
            remedy="install its package anew",
        ) from error
