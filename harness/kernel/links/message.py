"""What every request about links is made with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from harness.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    RTM_NEWLINK,
    RTM_SETLINK,
    LinkMessage,
    Request,
)

__all__ = [
    "CHANGE",
    "CREATE",
    "IFF_ALLMULTI",
    "IFF_PROMISC",
    "IFF_UP",
    "NESTED",
    "Asked",
    "Attributes",
    "info",
    "link_request",
    "remembered",
    "set_request",
    "words",
]

IFF_UP = 0x1
IFF_PROMISC = 0x100
IFF_ALLMULTI = 0x200
NESTED = 0x8000

# Testbeds are much alike: a request once made, and encoded, serves again.
remembered = lru_cache(maxsize=4096)

CREATE = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
CHANGE = NLM_F_REQUEST | NLM_F_ACK
Attributes = list[Any]
Asked = tuple[tuple[str, Any], ...]
"""Attributes by name, as they are asked for: sensible or not."""


def link_request(
    purpose: str,
    attributes: Attributes,
    *,
    index: int = 0,
    kind: int = RTM_NEWLINK,
    flags: int = CREATE,
    set_flags: int = 0,
    change: int | None = None,
    family: int = 0,
) -> Request:
    """A request about one link, of `kind` RTM_NEWLINK or another; `change` masks `set_flags`."""
    message = LinkMessage()
    message["family"] = family
    message["index"] = index
    message["flags"] = set_flags
    message["change"] = set_flags if change is None else change
    message["attrs"] = attributes
    return Request.of(purpose, message, kind, flags)


def set_request(
    purpose: str,
    attributes: Attributes,
    *,
    index: int,
    set_flags: int = 0,
    change: int | None = None,
    family: int = 0,
) -> Request:
    """A request to set what a link has whatever its kind (RTM_SETLINK reads no IFLA_LINKINFO)."""
    return link_request(
        purpose,
        attributes,
        index=index,
        kind=RTM_SETLINK,
        flags=CHANGE,
        set_flags=set_flags,
        change=change,
        family=family,
    )


def info(kind: str, data: Attributes | None = None) -> tuple[str, dict[str, Attributes]]:
    """IFLA_LINKINFO of a link of that kind."""
    attributes: Attributes = [("IFLA_INFO_KIND", kind)]
    if data is not None:
        attributes.append(("IFLA_INFO_DATA", {"attrs": data}))
    return "IFLA_LINKINFO", {"attrs": attributes}


def words(asked: Asked) -> str:
    """`asked`, for the words of a purpose."""
    return ", ".join(f"{name} {value}" for name, value in asked)
