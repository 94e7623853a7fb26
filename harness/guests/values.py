"""Values in domain XML: from their text and back.

Each is read as libvirt reads it, so a number that libvirt takes for octal is octal here.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from harness.guests.nic import LinkState, NativeVlan, VirtualPortType
from harness.parts import Mode

__all__ = [
    "MODES",
    "Misread",
    "link_state",
    "mac",
    "mode",
    "native_vlan",
    "number",
    "port_number",
    "port_type",
    "unnumber",
    "uuid",
    "word",
    "write_mode",
    "write_yes_no",
    "yes_no",
]

E = TypeVar("E", bound=StrEnum)

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
_ANY_BASE = re.compile(r"0[xX][0-9a-fA-F]{1,8}|0[0-7]{0,11}|[1-9][0-9]{0,9}", re.ASCII)
_BEFORE_NUMBER = re.compile(r"[ \t\n\v\f\r]*\+?")  # as strtoul(3), which libvirt reads with
_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I | re.ASCII)

# virNetDevMacVLanMode, libvirt's list. The kernel's fifth mode, source, libvirt does not know.
MODES = {
    "vepa": Mode.VEPA,
    "private": Mode.PRIVATE,
    "bridge": Mode.BRIDGE,
    "passthrough": Mode.PASSTHRU,
}


# Named after what happened, as it never leaves the package.
class Misread(ValueError):  # noqa: N818
    """A text that stands for no value; becomes a Problem, or a DomainError."""

    def __init__(self, problem: str, *, allowed: str, source: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.allowed = allowed
        self.source = source


def word(text: str) -> str:
    """Any text."""
    return text


def number(text: str) -> int:
    """A decimal number that is not negative."""
    if not _NUMBER.fullmatch(text):
        raise Misread(
            f"{text!r} is not a number", allowed="decimal digits", source="libvirt virXPathUInt"
        )
    return int(text)


def unnumber(value: int) -> str:
    """The text of a number."""
    return str(value)


def port_number(text: str) -> int:
    """A parameter of a virtual port: decimal, 0x… hexadecimal, or 0… octal."""
    digits = _BEFORE_NUMBER.sub("", text, count=1)
    if not _ANY_BASE.fullmatch(digits):
        negative = digits[:1] == "-" and _ANY_BASE.fullmatch(digits[1:])
        raise Misread(
            f"{text!r} is {'less than 0' if negative else 'not a number'}",
            allowed="decimal digits, or 0x and hexadecimal ones",
            source="libvirt virNetDevVPortProfileParse",
        )
    if digits[:2] in ("0x", "0X"):
        return int(digits, 16)
    return int(digits, 8 if digits[0] == "0" else 10)


def mac(text: str) -> str:
    """A MAC address in lower case."""
    lowered = text.lower()
    if not _MAC.fullmatch(lowered):
        raise Misread(
            f"{text!r} is not a MAC address",
            allowed="six pairs of hexadecimal digits with colons",
            source="libvirt virMacAddrParse",
        )
    return lowered


def uuid(text: str) -> UUID:
    """A UUID, with dashes or without."""
    if not _UUID.fullmatch(text):
        raise Misread(
            f"{text!r} is not a UUID",
            allowed="32 hexadecimal digits, in groups of 8-4-4-4-12 or in one",
            source="libvirt virUUIDParse; IETF RFC 9562",
        )
    return UUID(text)


def mode(text: str) -> Mode:
    """A mode in libvirt's spelling."""
    if text not in MODES:
        known = "libvirt spells it passthrough" if text == "passthru" else "there is no such mode"
        if text == "source":
            known = "the kernel has this mode, libvirt has not"
        raise Misread(
            f"{text!r}: {known}",
            allowed=", ".join(MODES),
            source="libvirt virDomainNetDefParseXML (virNetDevMacVLanMode)",
        )
    return MODES[text]


def write_mode(value: Mode) -> str:
    """A mode in libvirt's spelling. Raises Misread for the one that libvirt has not."""
    for text, known in MODES.items():
        if known is value:
            return text
    return mode(value).value


def yes_no(text: str) -> bool:
    """A yes or no."""
    if text not in ("yes", "no"):
        raise Misread(
            f"{text!r} is neither yes nor no", allowed="yes, no", source="libvirt virXMLPropEnum"
        )
    return text == "yes"


def write_yes_no(value: bool) -> str:  # noqa: FBT001
    """The text of a yes or no."""
    return "yes" if value else "no"


def _choice(text: str, kind: type[E], what: str, source: str) -> E:
    if text not in list(kind):
        raise Misread(f"{text!r} is no {what}", allowed=", ".join(kind), source=source)
    return kind(text)


def link_state(text: str) -> LinkState:
    """Up or down."""
    return _choice(text, LinkState, "link state", "libvirt virDomainNetDefParseXML")


def native_vlan(text: str) -> NativeVlan:
    """Tagged or untagged."""
    return _choice(text, NativeVlan, "native mode", "libvirt virNetDevVlanParse")


def port_type(text: str) -> VirtualPortType:
    """A type of virtual port."""
    source = "libvirt virNetDevVPortProfileParse"
    return _choice(text, VirtualPortType, "type of virtual port", source)
