"""What the kernel shows of a guest's macvtap, held against what its XML asks for.

    domain XML ── expected ──► Expected ──┐
                                          ├── unlike ──► differences, in words
    kernel ───── look ───────► Seen ──────┘

libvirt's own word is not taken for any of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.guests.expected import Expected
from harness.kernel.linkstate import LinkState, link_state
from harness.kernel.netns import NetNS
from harness.kernel.taps import device_number
from harness.parts import Mode

__all__ = ["Seen", "look", "tap_holders", "unlike"]


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
    holders = tap_holders(ns, name)
    return Seen(
        link=link,
        lower=link_state(ns, names[link.lower]),
        holders=tuple(sorted({name for name, _ in holders})),
        queues=sum(count for _, count in holders),
    )


def tap_holders(ns: NetNS, name: str) -> list[tuple[str, int]]:
    """Name of each process that has the tap of the macvtap `name` open, and how often."""
    number = device_number(ns, name)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = sum(entry.stat().st_rdev == number for entry in (process / "fd").iterdir())
            if held and process.name != str(os.getpid()):
                found.append(((process / "comm").read_text().strip(), held))
        except OSError:  # it has ended, or is a thread of the kernel
            continue
    return found


def unlike(expected: Expected, seen: Seen, *, lower_was: LinkState) -> list[str]:
    """In what the kernel's link is not as expected, one clause each; empty when all is.

    `lower_was` is the lower device before the guest was started.
    """
    link = seen.link
    # In passthrough it is that of the macvtap, whoever has made it up.
    lower_mac = link.mac if expected.mode is Mode.PASSTHRU else lower_was.mac
    wanted: list[tuple[str, object, object]] = [
        ("lower device", expected.lower, seen.lower.name),
        ("mode", expected.mode, seen.mode),
        ("state", expected.up, link.up),
        ("MTU", expected.mtu or lower_was.mtu, link.mtu),
        ("queues", expected.queues, seen.queues),
        ("address of the lower device", expected.lower_mac or lower_mac, seen.lower.mac),
    ]
    if expected.name:
        wanted.append(("name", expected.name, link.name))
    if expected.mac:
        wanted.append(("address", expected.mac, link.mac))
    found = [
        f"{what}: {asked} was asked for, {there} is there"
        for what, asked, there in wanted
        if asked != there
    ]
    if not any("qemu" in holder for holder in seen.holders):
        found.append(f"owner: no QEMU has its tap open, but {', '.join(seen.holders) or 'nobody'}")
    return found
