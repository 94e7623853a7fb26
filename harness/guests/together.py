"""What must hold of several interfaces together, in whatever domains they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from harness.guests.document import Document
from harness.guests.nic import DirectInterface, Nic
from harness.guests.problem import Problem
from harness.guests.scalars import At
from harness.guests.scribe import Scribe
from harness.parts import Mode

__all__ = ["Placed", "boot_rules", "together_rules"]


@dataclass(frozen=True)
class Placed:
    """An interface, and where it stands."""

    nic: Nic
    scribe: Scribe


def together_rules(placed: Iterable[Placed]) -> Iterator[Problem]:
    """Addresses, instances, names and links that only one interface can have."""
    interfaces = tuple(placed)
    yield from _unique_macs(interfaces)
    yield from _unique_instances(interfaces)
    yield from _unique_targets(interfaces)
    yield from _alone(interfaces)


def _repeated(pairs: Iterable[tuple[Hashable, Placed]]) -> Iterator[tuple[Placed, Placed]]:
    """Each interface whose key an earlier one has, with the first of those."""
    first: dict[Hashable, Placed] = {}
    for key, placed in pairs:
        if first.setdefault(key, placed) is not placed:
            yield placed, first[key]


def _unique_macs(interfaces: tuple[Placed, ...]) -> Iterator[Problem]:
    path = "mac/@address"
    for again, before in _repeated((x.nic.mac, x) for x in interfaces if x.nic.mac):
        yield again.scribe.error(
            path,
            f"{again.nic.mac} is the address of {before.scribe.place(path)} too",
            allowed="an address of its own",
            source="kernel macvlan_open (EADDRINUSE); IEEE 802, 8.2",
        )


def _unique_instances(interfaces: tuple[Placed, ...]) -> Iterator[Problem]:
    path = "virtualport/parameters/@instanceid"
    pairs = (
        (x.nic.virtualport.instance_id, x)
        for x in interfaces
        if x.nic.virtualport and x.nic.virtualport.instance_id
    )
    for again, before in _repeated(pairs):
        yield again.scribe.error(
            path,
            f"this is the instance of {before.scribe.place(path)} too",
            allowed="a UUID of its own",
            source="IEEE 802.1Qbg, VDP TLV: VSI Instance ID",
        )


def _unique_targets(interfaces: tuple[Placed, ...]) -> Iterator[Problem]:
    path = "target/@dev"
    ignored = ("macvtap", "macvlan", "vnet")
    pairs = (
        (x.nic.target, x)
        for x in interfaces
        if x.nic.target and not x.nic.target.startswith(ignored)
    )
    for again, before in _repeated(pairs):
        yield again.scribe.error(
            path,
            f"{again.nic.target!r} is the name of {before.scribe.place(path)} too",
            allowed="a name of its own",
            source="libvirt virNetDevMacVLanCreateWithVPortProfile (EEXIST)",
        )


def _alone(interfaces: tuple[Placed, ...]) -> Iterator[Problem]:
    """A link that is passed through has one guest (macvlan_common_newlink)."""
    on: dict[str, list[tuple[DirectInterface, Scribe]]] = defaultdict(list)
    for x in interfaces:
        if isinstance(x.nic, DirectInterface):
            on[x.nic.source].append((x.nic, x.scribe))
    for source, users in on.items():
        through = next((i for i, (nic, _) in enumerate(users) if nic.mode is Mode.PASSTHRU), None)
        if through is None:
            continue
        for i, (_, scribe) in enumerate(users):
            if i < through or i == 0:
                continue
            other = users[0 if i == through else through][1]
            yield scribe.error(
                "source/@dev",
                f"{source!r} is passed through to one guest; {other.place('source')} has it too",
                allowed="a link of its own",
                source="kernel macvlan_common_newlink (EINVAL)",
            )


def boot_rules(document: Document) -> Iterator[Problem]:
    """A domain's devices have one place each in the boot order."""
    source = "libvirt virDomainDefCollectBootOrder"
    first: dict[str, Scribe] = {}
    for device in document.root.iterfind("devices/*"):
        boot = device.find("boot")
        order = None if boot is None else boot.get("order")
        if order is None:
            continue
        scribe = Scribe(At(device, document.file))
        if not first and document.root.find("os/boot") is not None:
            yield scribe.error(
                "boot/@order",
                "an order of devices and <boot> in <os> exclude each other",
                allowed="one of them",
                source="libvirt virDomainDefBootOrderPostParse",
            )
        before = first.setdefault(str(order), scribe)
        if before is not scribe:
            yield scribe.error(
                "boot/@order",
                f"{order} is the place of {before.place('boot')} too",
                allowed="a place of its own",
                source=source,
            )
