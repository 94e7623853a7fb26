"""Addresses of stations: those asked for, checked, and those filled in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.errors import TopologyError
from harness.parts import (
    BEACON_MAC,
    NOWHERE_MAC,
    UNKNOWN_MAC,
    Guest,
    Lower,
    LowerKind,
    Mode,
    is_multicast,
    parse_mac,
)

__all__ = ["EXTERNAL", "ROUTER", "checked_mac", "with_guest_macs", "with_lower_macs"]

# Stations without an address of their own get a locally administered one: 02:h:p:kind:index.
_GUEST, _LOWER, EXTERNAL, ROUTER = 1, 2, 3, 4


def _derived_mac(kind: int, index: int) -> str:
    return f"02:68:70:{kind:02x}:{index >> 8:02x}:{index & 0xFF:02x}"


def checked_mac(where: str, mac: str, kind: int, index: int) -> str:
    """`mac` in canonical form, or a derived address when it is empty."""
    if not mac:
        return _derived_mac(kind, index)
    try:
        canonical = parse_mac(mac)
    except ValueError as error:
        raise TopologyError(where, str(error), allowed="six pairs of hex digits") from None
    if canonical in (BEACON_MAC, NOWHERE_MAC, UNKNOWN_MAC):
        raise TopologyError(where, f"{mac} is hairpin's own", allowed="any other unicast MAC")
    if is_multicast(canonical) or canonical == "00:00:00:00:00:00":
        raise TopologyError(where, f"{mac} cannot be a station's address", allowed="a unicast MAC")
    return canonical


def _checked_list(where: str, macs: Iterable[str], *, group: bool) -> tuple[str, ...]:
    """A list of group or unicast addresses in canonical form."""
    allowed = "group (multicast) MACs" if group else "unicast MACs"
    canonical = []
    for text in macs:
        try:
            mac = parse_mac(text)
        except ValueError as error:
            raise TopologyError(where, str(error), allowed=allowed) from None
        if is_multicast(mac) is not group:
            raise TopologyError(where, f"{text} does not belong here", allowed=allowed)
        canonical.append(mac)
    return tuple(canonical)


def with_lower_macs(lowers: tuple[Lower, ...]) -> tuple[Lower, ...]:
    """Addresses filled in; a vlan takes its parent's, as the kernel does (vlan_dev_init)."""
    macs = {
        x.name: checked_mac(f"lower[{i}].mac", x.mac, _LOWER, i) for i, x in enumerate(lowers, 1)
    }
    for lower in lowers:
        if lower.kind is LowerKind.VLAN and not lower.mac:
            macs[lower.name] = macs.get(lower.parent, macs[lower.name])
    return tuple(replace(x, mac=macs[x.name]) for x in lowers)


def with_guest_macs(guests: tuple[Guest, ...], lowers: dict[str, Lower]) -> tuple[Guest, ...]:
    """Addresses filled in.

    Passthru has its lower device's, whatever is asked for (macvlan_common_newlink).
    """
    filled = []
    for i, guest in enumerate(guests, 1):
        where = f"guest[{i}]"
        lower = lowers.get(guest.lower)
        if lower is None:
            raise TopologyError(
                f"{where}.lower", f"no lower device {guest.lower!r}", allowed=", ".join(lowers)
            )
        if guest.mode is Mode.PASSTHRU:
            if guest.mac not in ("", lower.mac):
                raise TopologyError(
                    f"{where}.mac",
                    "passthru ignores the address asked for",
                    allowed=f"none: it is the lower device's, {lower.mac}",
                )
            mac = lower.mac
        else:
            mac = checked_mac(f"{where}.mac", guest.mac, _GUEST, i)
        filled.append(
            replace(
                guest,
                mac=mac,
                sources=_checked_list(f"{where}.sources", guest.sources, group=False),
                groups=tuple(
                    dict.fromkeys(_checked_list(f"{where}.groups", guest.groups, group=True))
                ),
            )
        )
    return tuple(filled)
