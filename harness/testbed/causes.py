"""Why a verdict differs, in words: what changed behind our back, or which rule the kernel broke."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.errors import HairpinError
from harness.model import Rule, predict
from harness.parts import LowerKind
from harness.testbed.verdict import Barrier, Verdict, fits
from harness.testbed.wiring import Wiring

__all__ = ["causes", "drift", "explaining_rules"]

_IFF_UP = 0x1
_MOST_RULES = 4


def causes(verdict: Verdict, wiring: Wiring) -> tuple[str, ...]:
    """Likely causes of the differences of `verdict`, the surest first.

    First whatever on the live links is not as declared; failing that, each rule of the model
    which, turned round, would make it predict exactly what was seen.
    """
    found = list(drift(wiring))
    if not found:
        found = [
            f"the kernel behaves as if this were turned round: {rule.says}  [{rule.where}]"
            for rule in explaining_rules(verdict)
        ]
    lost = [name for name, b in verdict.observation.barriers.items() if b is Barrier.LOST]
    if lost:
        found.append(f"no sentinel reached {', '.join(lost)}: the path there is cut")
    return tuple(found) or ("no single rule explains it; see the trace",)


def explaining_rules(verdict: Verdict) -> list[Rule]:
    """Up to four rules of which each alone, turned round, predicts what was seen."""
    found = []
    for rule in Rule:
        turned = predict(verdict.topology, verdict.stimulus, inverted=frozenset({rule}))
        if fits(turned, verdict.observation):
            found.append(rule)
    return found[:_MOST_RULES]


def drift(wiring: Wiring) -> Iterator[str]:
    """What on the live links is not as the topology declares it."""
    try:
        host = {link.get_attr("IFLA_IFNAME"): link for link in wiring.host.rtnl.links()}
        ports = {link.get_attr("IFLA_IFNAME"): link for link in wiring.switch.rtnl.links()}
    except (HairpinError, OSError) as error:
        yield f"the links cannot be read back ({error})"
        return
    for lower in wiring.topology.lowers:
        yield from _link_drift(lower.name, host.get(lower.name), up=True, mac=lower.mac)
        if lower.kind is LowerKind.VETH:
            yield from _port_drift(wiring, lower.name, ports.get(lower.name))
    for guest in wiring.topology.guests:
        link = host.get(guest.name)
        yield from _link_drift(guest.name, link, up=guest.up, mac=guest.mac)
        mode = link and _nested(link, "IFLA_INFO_DATA", "IFLA_MACVTAP_MODE")
        if mode and mode != guest.mode.value:
            yield f"{guest.name} is in {mode} mode, the topology says {guest.mode}"
    for name in wiring.outside:
        yield from _port_drift(wiring, name, ports.get(name))


def _link_drift(name: str, link: Any, *, up: bool, mac: str) -> Iterator[str]:
    if link is None:
        yield f"{name} is gone"
        return
    if bool(link["flags"] & _IFF_UP) is not up:
        yield f"{name} is {'down' if up else 'up'}, the topology says {'up' if up else 'down'}"
    if link.get_attr("IFLA_ADDRESS") != mac:
        yield f"{name} has the address {link.get_attr('IFLA_ADDRESS')}, the topology says {mac}"


def _port_drift(wiring: Wiring, name: str, link: Any) -> Iterator[str]:
    if link is None:
        yield f"switch port {name} is gone"
        return
    if not link["flags"] & _IFF_UP:
        yield f"switch port {name} is down"
    declared = wiring.topology.port(name)
    for setting, attribute, wanted in (
        ("hairpin", "IFLA_BRPORT_MODE", bool(declared.hairpin)),
        ("learning", "IFLA_BRPORT_LEARNING", declared.learning),
        ("flood", "IFLA_BRPORT_UNICAST_FLOOD", declared.flood),
        ("multicast_flood", "IFLA_BRPORT_MCAST_FLOOD", declared.multicast_flood),
    ):
        live = _nested(link, "IFLA_INFO_SLAVE_DATA", attribute)
        if live is not None and bool(live) is not wanted:
            yield (
                f"switch port {name} has {setting} {'on' if live else 'off'}, "
                f"the topology says {'on' if wanted else 'off'}"
            )


def _nested(link: Any, data: str, attribute: str) -> Any:
    info = link.get_attr("IFLA_LINKINFO")
    inner = info and info.get_attr(data)
    return inner.get_attr(attribute) if inner and not isinstance(inner, str) else None
