"""Facts that are one attribute each: read from an element, and written in place.

What is equal to what stands there already is not touched, so a MAC in upper case, a number in
hexadecimal and the order of things stay as their author had them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree

from harness.guests import values
from harness.guests.document import Element, line_of
from harness.guests.values import Misread

__all__ = ["At", "Complain", "Scalar", "add_child", "drop_child", "read", "write"]

Complain = Callable[[Misread, Element, str], None]  # what, the element, the path from it


@dataclass(frozen=True)
class Scalar:
    """The field `name`: `attribute` of the child element `child` (empty: of the element itself).

    `default` is what it means when it is not there.
    """

    name: str
    child: str
    attribute: str
    parse: Callable[[str], Any] = values.word
    format: Callable[[Any], str] = str
    required: bool = False
    default: Any = None

    @property
    def path(self) -> str:
        """Where it stands, as an XPath."""
        return f"{self.child}/@{self.attribute}" if self.child else f"@{self.attribute}"


@dataclass(frozen=True)
class At:
    """An element of a file, to say where things are."""

    element: Element
    file: str

    def line(self, path: str = "") -> int:
        """The line of what `path` leads to, or of the nearest that is there above it."""
        steps = [step for step in path.split("/") if step and not step.startswith("@")]
        found = self.element
        for step in steps:
            child = found.find(step)
            if child is None:
                break
            found = child
        return line_of(found)

    def name(self, path: str = "") -> str:
        """What `path` leads to, counted from the interface or the root that it is in."""
        steps = [str(self.element.tag)]
        parent = self.element.getparent()
        while parent is not None and steps[0] != "interface":
            steps.insert(0, str(parent.tag))
            parent = parent.getparent()
        return "/".join([*steps, path] if path else steps)


def read(element: Element, table: Iterable[Scalar], complain: Complain) -> dict[str, Any]:
    """Field to value, for what is there and can be read; the rest goes to `complain`."""
    found = {}
    for scalar in table:
        child = element.find(scalar.child) if scalar.child else element
        text = None if child is None else child.get(scalar.attribute)
        if text is None or (scalar.required and not text):
            if scalar.required:
                missing = Misread(
                    "this is missing",
                    allowed="",
                    source="libvirt virDomainNetDefParseXMLRequireSource",
                )
                complain(missing, element, scalar.path)
            continue
        try:
            found[scalar.name] = scalar.parse(str(text))
        except Misread as misread:
            complain(misread, element, scalar.path)
    return found


def _keep_quiet(*_: object) -> None:
    """What cannot be read is overwritten."""


def write(element: Element, table: Iterable[Scalar], wanted: Mapping[str, Any]) -> None:
    """Make `element` say what is `wanted`, field by field; None and "" are said by nothing."""
    found = read(element, table, _keep_quiet)
    for scalar in table:
        value = wanted[scalar.name]
        empty = value is None or value == ""
        if found.get(scalar.name, scalar.default) == value or (empty and scalar.name not in found):
            continue
        child = element.find(scalar.child) if scalar.child else element
        if not empty:
            if child is None:
                child = add_child(element, scalar.child)
            child.set(scalar.attribute, scalar.format(value))
        elif child is not None:
            del child.attrib[scalar.attribute]
            if scalar.child and not child.attrib and not len(child):
                drop_child(child)


def add_child(element: Element, tag: str) -> Element:
    """A new last child, indented as its siblings are."""
    child = etree.SubElement(element, tag)
    before = child.getprevious()
    if before is not None:
        child.tail, before.tail = before.tail, element.text
    elif element.text is not None and not element.text.strip() and "\n" in element.text:
        child.tail = element.text
    return child


def drop_child(child: Element) -> None:
    """Remove an element and the indentation before it."""
    parent, before = child.getparent(), child.getprevious()
    if parent is None:
        return
    if before is not None:
        before.tail = child.tail
    elif child.getnext() is None:
        parent.text = None
    parent.remove(child)
