"""What domain XML says of a guest's NIC, as frozen facts.

    <interface type='direct'>                         DirectInterface
      <source dev='eth0.2' mode='vepa'/>                source, mode
      <virtualport type='802.1Qbg'>                     VirtualPort
        <parameters managerid='11' typeid='1193047' typeidversion='2' instanceid='…'/>
      </virtualport>
    </interface>

A value that may be left out is None, or empty for words. Facts hold what can be read at all;
what of it makes sense is for `harness.guests.check` to say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from harness.parts import Mode

__all__ = [
    "Bandwidth",
    "DirectInterface",
    "Filter",
    "LinkState",
    "NativeVlan",
    "NetworkInterface",
    "Nic",
    "Rate",
    "Tag",
    "VirtualPort",
    "VirtualPortType",
    "Vlan",
]


class LinkState(StrEnum):
    """Whether the guest sees a carrier."""

    UP = "up"
    DOWN = "down"


class NativeVlan(StrEnum):
    """How frames of the native VLAN leave."""

    TAGGED = "tagged"
    UNTAGGED = "untagged"


class VirtualPortType(StrEnum):
    """Who associates the NIC with a port profile, and how."""

    QBG = "802.1Qbg"
    QBH = "802.1Qbh"
    OPENVSWITCH = "openvswitch"
    MIDONET = "midonet"


@dataclass(frozen=True, kw_only=True)
class VirtualPort:
    """A `<virtualport>`.

    802.1Qbg takes `manager_id` (the database of VSI types), `type_id`, `type_version` and
    `instance_id`, 802.1Qbh a `profile_id`, others an `interface_id`. Without a `type` it adds to
    what the network says.
    """

    type: VirtualPortType | None = None
    manager_id: int | None = None
    type_id: int | None = None
    type_version: int | None = None
    instance_id: UUID | None = None
    interface_id: UUID | None = None
    profile_id: str = ""


@dataclass(frozen=True)
class Tag:
    """One VLAN, and whether it is the native one."""

    id: int
    native: NativeVlan | None = None


@dataclass(frozen=True)
class Vlan:
    """The VLANs of a NIC; `trunk` is whether the XML says that there may be several."""

    tags: tuple[Tag, ...]
    trunk: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Limits of one direction: `average`, `peak`, `floor` in KiB/s, `burst` in KiB."""

    average: int | None = None
    peak: int | None = None
    burst: int | None = None
    floor: int | None = None


@dataclass(frozen=True, kw_only=True)
class Bandwidth:
    """Limits of both directions, as the guest sees them."""

    inbound: Rate | None = None
    outbound: Rate | None = None


@dataclass(frozen=True)
class Filter:
    """A reference to a network filter, with its parameters as (name, value)."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Nic:
    """What every kind of interface can say.

    `mac` is in lower case; `target` is the name asked for the link in the host; `queues` and
    `driver` are those of `<driver>`; `boot` is the place in the boot order, from 1. `file`,
    `line` and `origin` (the XML that it was read from, which keeps what is not understood) take
    no part in comparisons.
    """

    mac: str = ""
    model: str = ""
    mtu: int | None = None
    driver: str = ""
    queues: int | None = None
    link: LinkState | None = None
    target: str = ""
    boot: int | None = None
    trust_guest_rx_filters: bool | None = None
    vlan: Vlan | None = None
    bandwidth: Bandwidth | None = None
    filter: Filter | None = None
    virtualport: VirtualPort | None = None
    file: str = field(default="", compare=False, repr=False)
    line: int = field(default=0, compare=False, repr=False)
    origin: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class DirectInterface(Nic):
    """A macvtap on the host's link `source`. Without a mode in the XML it is vepa."""

    source: str
    mode: Mode = Mode.VEPA


@dataclass(frozen=True, kw_only=True)
class NetworkInterface(Nic):
    """An interface of a libvirt network: a macvtap where that network has a direct mode."""

    network: str
    portgroup: str = ""
