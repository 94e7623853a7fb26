"""What the kernel shows of a guest's macvtap, held against what its XML asks for.

    domain XML ── expected ──► Expected ──┐
                                          ├── unlike ──► differences, in words
    kernel ───── look ───────► Seen ──────┘

libvirt's own word is not taken for any of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.guests.expected import Expected, expected
from harness.guests.nic import DirectInterface
from harness.kernel.linkstate import LinkState, link_state, macvtaps
from harness.kernel.netns import NetNS
from harness.kernel.openers import read_openers
from harness.kernel.taps import device_number
from harness.parts import Mode

__all__ = ["Seen", "by_mac", "differences", "look", "unlike"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A macvtap, its lower device, and the processes that have its tap open, by name.

    `queues` is how many descriptors they hold on it.
    """

    link: LinkState
    lower: LinkState
    holders: tuple[str, ...]
    queues: int

    @property
    def mode(self) -> Mode:
        """Delivery mode. Raises ValueError for a link that is no macvtap."""
        if self.link.macvtap is None:
            raise ValueError(f"{self.link.name} is no macvtap")
        return self.link.macvtap.mode


def look(ns: NetNS, name: str) -> Seen:
    """The macvtap `name` in `ns`, as it is now. Raises KernelError when there is none."""
    link = link_state(ns, name)
    names = {found["index"]: found.get_attr("IFLA_IFNAME") for found in ns.rtnl.links()}
    # A descriptor whose node is gone is of an earlier device with the same number.
    openers = [x for x in read_openers({device_number(ns, name)}) if not x.since]
    return Seen(
        link=link,
        lower=link_state(ns, names[link.lower]),
        holders=tuple(sorted({x.process for x in openers})),
        queues=len(openers),
    )


def by_mac(ns: NetNS) -> dict[str, str]:
    """MAC address to name, of every macvtap in `ns`. Raises KernelError."""
    return {x.mac: x.name for x in macvtaps(ns)}


def differences(ns: NetNS, interface: DirectInterface) -> list[str]:
    """In what the kernel's macvtap is not as `interface`, which has a MAC, asks for."""
    name = by_mac(ns).get(interface.mac)
    if name is None:
        return [f"no macvtap has the address {interface.mac}"]
    return unlike(expected(interface), look(ns, name))


def unlike(asked: Expected, seen: Seen, *, lower_was: LinkState | None = None) -> list[str]:
    """In what the kernel's link is not as `asked`, one clause each; empty when all is.

    `lower_was` is the lower device before the guest was started, where that is known.
    """
    link = seen.link
    before = lower_was or seen.lower
    # In passthrough it is that of the macvtap, whoever has made it up.
    lower_mac = link.mac if asked.mode is Mode.PASSTHRU else before.mac
    wanted: list[tuple[str, object, object]] = [
        ("lower device", asked.lower, seen.lower.name),
        ("mode", asked.mode, seen.mode),
        ("state", asked.up, link.up),
        ("MTU", asked.mtu or before.mtu, link.mtu),
        ("queues", asked.queues, seen.queues),
        ("address of the lower device", asked.lower_mac or lower_mac, seen.lower.mac),
    ]
    if asked.name:
        wanted.append(("name", asked.name, link.name))
    if asked.mac:
        wanted.append(("address", asked.mac, link.mac))
    if asked.promiscuity and asked.up:  # macvlan_open; a guest that stands still has it down
        more = seen.lower.promiscuity - (lower_was.promiscuity if lower_was else 0)
        wanted.append(("promiscuous lower device", True, more >= asked.promiscuity))
    found = [
        f"{what}: {wish} was asked for, {there} is there"
        for what, wish, there in wanted
        if wish != there
    ]
    if not any("qemu" in holder for holder in seen.holders):
        found.append(f"owner: no QEMU has its tap open, but {', '.join(seen.holders) or 'nobody'}")
    return found
