"""Requests that make and change macvtaps (macvlan_common_newlink, macvlan_changelink)."""

from __future__ import annotations

from harness.kernel.links.message import (
    CHANGE,
    IFF_ALLMULTI,
    IFF_PROMISC,
    IFF_UP,
    Asked,
    Attributes,
    info,
    link_request,
    remembered,
    set_request,
    words,
)
from harness.kernel.links.template import Template
from harness.kernel.netlink import Request
from harness.parts import Guest, Mode

__all__ = [
    "add_macvtap",
    "change_guest",
    "configure_macvtap",
    "new_macvtap",
    "set_guest",
]

_FLAG_NOPROMISC = 1  # MACVLAN_FLAG_NOPROMISC
_FLAG_NODST = 2  # MACVLAN_FLAG_NODST
_MACADDR_SET = 3  # MACVLAN_MACADDR_SET
_ANY_MAC = "02:00:00:00:00:00"
_MODES = {
    Mode.PRIVATE: 1,
    Mode.VEPA: 2,
    Mode.BRIDGE: 4,
    Mode.PASSTHRU: 8,
    Mode.SOURCE: 16,
}


def add_macvtap(guest: Guest, *, index: int, lower: int) -> Request:
    """The macvtap of `guest` on the link with index `lower`, up if the guest is.

    Raises ValueError for a guest without an address, unless it is in passthru.
    """
    # Not remembered: hundreds of guests are alike but for what the template leaves open.
    name = guest.name
    template = _template(
        len(name.encode()),
        guest.mode,
        guest.sources,
        _FLAG_NOPROMISC * guest.nopromisc | _FLAG_NODST * guest.nodst,
        guest.bcqueuelen,
        guest.bc_cutoff,
        _state(guest),
    )
    return template.request(
        f"add macvtap {name}", name=name, mac=guest.mac, index=index, lower=lower
    )


@remembered
def _template(
    name_length: int,
    mode: Mode,
    sources: tuple[str, ...],
    flags: int,
    bcqueuelen: int | None,
    bc_cutoff: int | None,
    state: int,
) -> Template:
    """Positional, as a call by name costs the cache as much again."""
    data: Attributes = [("IFLA_MACVTAP_MODE", _MODES[mode])]
    if flags:
        data.append(("IFLA_MACVTAP_FLAGS", flags))
    if sources:
        data.append(("IFLA_MACVTAP_MACADDR_MODE", _MACADDR_SET))
        listed = [("IFLA_MACVLAN_MACADDR", mac) for mac in sources]
        data.append(("IFLA_MACVTAP_MACADDR_DATA", {"attrs": listed}))
    if bcqueuelen is not None:
        data.append(("IFLA_MACVTAP_BC_QUEUE_LEN", bcqueuelen))
    if bc_cutoff is not None:
        data.append(("IFLA_MACVTAP_BC_CUTOFF", bc_cutoff))
    attributes: Attributes = [
        ("IFLA_IFNAME", "x" * name_length),
        ("IFLA_LINK", 1),
        info("macvtap", data),
    ]
    addressed = mode is not Mode.PASSTHRU
    if addressed:
        attributes.append(("IFLA_ADDRESS", _ANY_MAC))
    return Template(
        link_request("template", attributes, index=1, set_flags=state), addressed=addressed
    )


def _state(guest: Guest) -> int:
    return IFF_UP * guest.up | IFF_PROMISC * guest.promiscuous | IFF_ALLMULTI * guest.allmulticast


@remembered
def set_guest(guest: Guest, *, index: int) -> Request:
    """Bring the guest's macvtap up or down, and set what it wants to hear."""
    return set_request(
        f"set guest {guest.name}",
        [],
        index=index,
        set_flags=_state(guest),
        change=IFF_UP | IFF_PROMISC | IFF_ALLMULTI,
    )


@remembered
def change_guest(guest: Guest, *, index: int) -> Request:
    """Make a live macvtap what `guest` says: mode, flags, sources, queue (macvlan_changelink).

    The list of sources is set as a whole, and only in source mode: others refuse one.
    """
    flags = _FLAG_NOPROMISC * guest.nopromisc | _FLAG_NODST * guest.nodst
    data: Attributes = [
        ("IFLA_MACVTAP_MODE", _MODES[guest.mode]),
        ("IFLA_MACVTAP_FLAGS", flags),
    ]
    if guest.mode is Mode.SOURCE:
        data.append(("IFLA_MACVTAP_MACADDR_MODE", _MACADDR_SET))
        listed = [("IFLA_MACVLAN_MACADDR", mac) for mac in guest.sources]
        data.append(("IFLA_MACVTAP_MACADDR_DATA", {"attrs": listed}))
    if guest.bcqueuelen is not None:
        data.append(("IFLA_MACVTAP_BC_QUEUE_LEN", guest.bcqueuelen))
    return link_request(
        f"change macvtap {guest.name}",
        [info("macvtap", data)],
        index=index,
        flags=CHANGE,
    )


def new_macvtap(
    name: str,
    *,
    index: int,
    lower: int | None,
    data: Asked = (),
    attributes: Asked = (),
    kind: str = "macvtap",
) -> Request:
    """A macvtap asked for attribute by attribute, down: for what `add_macvtap` would not say.

    `data` is IFLA_INFO_DATA, `attributes` what stands beside it; without `lower` there is no
    IFLA_LINK. `kind` may be one of macvtap's relatives, macvlan or ipvlan.
    """
    asked: Attributes = [("IFLA_IFNAME", name), *attributes, info(kind, list(data) or None)]
    if lower is not None:
        asked.append(("IFLA_LINK", lower))
    return link_request(f"add {kind} {name}", asked, index=index)


def configure_macvtap(name: str, *, index: int, data: Asked) -> Request:
    """Change a live macvtap's IFLA_INFO_DATA attribute by attribute (macvlan_changelink)."""
    return link_request(
        f"configure macvtap {name}: {words(data)}",
        [info("macvtap", list(data))],
        index=index,
        flags=CHANGE,
    )
