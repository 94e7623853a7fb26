"""The macvtap that libvirt made, as the kernel shows it, in the words of `Expected`."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import KernelError
from harness.guests.expected import Expected, expected
from harness.guests.nic import DirectInterface
from harness.kernel.linkstate import LinkState, link_state
from harness.kernel.netns import NetNS

__all__ = ["Seen", "differences", "macvtaps"]


@dataclass(frozen=True)
class Seen:
    """A macvtap, and the link that it sits on; None where that is elsewhere."""

    link: LinkState
    lower: LinkState | None

    @property
    def mode(self) -> str:
        """Its mode as the kernel names it; empty where it is no macvtap."""
        return str(self.link.macvtap.mode) if self.link.macvtap else ""


def macvtaps(ns: NetNS) -> dict[str, Seen]:
    """MAC to macvtap, of all in `ns`. Raises KernelError."""
    states = []
    for message in ns.rtnl.links():
        try:
            states.append(link_state(ns, message.get_attr("IFLA_IFNAME")))
        except KernelError:  # gone since
            continue
    by_index = {x.index: x for x in states}
    return {x.mac: Seen(x, by_index.get(x.lower)) for x in states if x.macvtap}


def differences(ns: NetNS, interface: DirectInterface) -> list[str]:
    """Where the kernel departs from what `interface` asks for; empty when it is as asked.

    The guest must run, and `interface` have a MAC.
    """
    wanted = expected(interface)
    seen = macvtaps(ns).get(wanted.mac)
    if seen is None:
        return [f"no macvtap has the address {wanted.mac}"]
    return [
        f"{name}: {is_so}, expected {should}"
        for name, should, is_so in _compared(wanted, seen)
        if is_so != should
    ]


def _compared(wanted: Expected, seen: Seen) -> list[tuple[str, object, object]]:
    link, lower = seen.link, seen.lower
    pairs: list[tuple[str, object, object]] = [
        ("lower", wanted.lower, lower.name if lower else ""),
        ("mode", str(wanted.mode), seen.mode),
        ("up", wanted.up, link.up),
    ]
    if wanted.name:
        pairs.append(("name", wanted.name, link.name))
    if wanted.mtu is not None or lower:
        pairs.append(("mtu", wanted.mtu or (lower.mtu if lower else 0), link.mtu))
    if wanted.lower_mac and lower:
        pairs.append(("address of lower", wanted.lower_mac, lower.mac))
    if wanted.promiscuity and lower:
        pairs.append(("lower is promiscuous", True, lower.promiscuity >= wanted.promiscuity))
    return pairs
