"""libvirt networks whose guests have macvtaps: forward mode bridge, vepa, private, passthrough.

    <network>                                         Network
      <name>outside</name>                              name
      <forward mode='vepa'>                             mode
        <interface dev='eth0'/>                         devices: the pool
        <interface dev='eth1'/>
      </forward>
    </network>

An interface of type network gets the link of the pool that libvirt would choose
(networkAllocatePort), and what it does not say itself from its portgroup and the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields
from heapq import heapreplace
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

from lxml import etree

from harness.errors import DomainError
from harness.guests import values
from harness.guests.codec import read_parts
from harness.guests.document import Document, Element, load_document, parse_document
from harness.guests.domain import Interface, raising, read_uuid
from harness.guests.nic import (
    Bandwidth,
    DirectInterface,
    NetworkInterface,
    Nic,
    VirtualPort,
    VirtualPortType,
    Vlan,
)
from harness.guests.scalars import Complain, Scalar, read
from harness.guests.values import Misread
from harness.parts import Mode

__all__ = [
    "FORWARD_MODES",
    "Network",
    "Pools",
    "Portgroup",
    "load_network",
    "map_pool",
    "network_of",
    "parse_network",
    "resolve",
]

FORWARD_MODES = ("nat", "route", "open", "bridge", "private", "vepa", "passthrough", "hostdev")
_TRUST = Scalar(
    "trust_guest_rx_filters", "", "trustGuestRxFilters", values.yes_no, values.write_yes_no
)
_PORTGROUP = (
    Scalar("name", "", "name", required=True),
    Scalar("default", "", "default", values.yes_no),
    _TRUST,
)


@dataclass(frozen=True, kw_only=True)
class Portgroup:
    """Settings that an interface can choose by name; `default` is for those that name none."""

    name: str
    default: bool = False
    virtualport: VirtualPort | None = None
    vlan: Vlan | None = None
    bandwidth: Bandwidth | None = None
    trust_guest_rx_filters: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network.

    `mode` is None where its guests get no macvtap (a bridge, NAT, assigned devices); `pf` is the
    physical function whose virtual functions are the pool.
    """

    name: str
    uuid: UUID | None = None
    mode: Mode | None = None
    devices: tuple[str, ...] = ()
    pf: str = ""
    virtualport: VirtualPort | None = None
    vlan: Vlan | None = None
    trust_guest_rx_filters: bool | None = None
    portgroups: tuple[Portgroup, ...] = ()
    document: Document = field(compare=False, repr=False)

    @property
    def text(self) -> str:
        """The network's XML."""
        return self.document.text

    def portgroup(self, name: str) -> Portgroup | None:
        """The portgroup of that name; for no name the default one, if there is any."""
        return next((x for x in self.portgroups if (x.name == name if name else x.default)), None)


def load_network(path: Path) -> Network:
    """The network in the file `path`. Raises DomainError naming file, line and element."""
    return network_of(load_document(path, roots=("network",)))


def parse_network(text: str | bytes, *, file: str = "network.xml") -> Network:
    """The network that `text` describes; `file` is for messages. Raises DomainError."""
    return network_of(parse_document(text, file=file, roots=("network",)))


def network_of(document: Document, complain: Complain | None = None) -> Network:
    """The network in a document; `complain` as for `domain_of`."""
    report = complain or raising(document.file)
    root = document.root
    parts = read_parts(root, report)
    forward = root.find("forward")
    pf = None if forward is None else forward.find("pf")
    return Network(
        name=(root.findtext("name") or "").strip(),
        uuid=read_uuid(root, report),
        mode=_mode(root, report),
        devices=() if forward is None else _pool(forward),
        pf="" if pf is None else str(pf.get("dev", "")),
        virtualport=parts.get("virtualport"),
        vlan=parts.get("vlan"),
        portgroups=_portgroups(root, report),
        document=document,
        **read(root, (_TRUST,), report),
    )


def _mode(root: Element, complain: Complain) -> Mode | None:
    """A bridge of that name is a bridge; without one, mode bridge means macvtaps."""
    forward = root.find("forward")
    text = None if forward is None else forward.get("mode", "nat")
    if text is None or (text == "bridge" and root.find("bridge") is not None):
        return None
    if text not in FORWARD_MODES:
        wrong = Misread(
            f"{text!r}: there is no such mode",
            allowed=", ".join(FORWARD_MODES),
            source="libvirt virNetworkForwardDefParseXML",
        )
        complain(wrong, root, "forward/@mode")
    return values.MODES.get(str(text))


def _pool(forward: Element) -> tuple[str, ...]:
    """`<forward dev>` is short for a pool of one, and repeats the first one of a larger pool."""
    devices = [forward.get("dev", ""), *(x.get("dev", "") for x in forward.iterfind("interface"))]
    return tuple(dict.fromkeys(str(x) for x in devices if x))


def _portgroups(root: Element, complain: Complain) -> tuple[Portgroup, ...]:
    groups = []
    for element in root.iterfind("portgroup"):
        found = read(element, _PORTGROUP, complain)
        parts = read_parts(element, complain)
        parts.pop("filter", None)
        if "name" in found:
            groups.append(Portgroup(**found, **parts))
    return tuple(groups)


def map_pool(network: Network, devices: Mapping[str, str]) -> Network:
    """The network with other links in its pool: {"eth0": "low0"}; those not named stay."""
    tree = deepcopy(network.document.root.getroottree())
    root = tree.getroot()
    for element in (*root.iterfind("forward"), *root.iterfind("forward/interface")):
        name = str(element.get("dev", ""))
        if name in devices:
            element.set("dev", devices[name])
    text = etree.tostring(tree, encoding="unicode")
    return parse_network(text, file=network.document.file)


# ---------------------------------------------------------------------- interfaces of a network


def resolve(
    interfaces: Iterable[Interface], networks: Iterable[Network]
) -> tuple[DirectInterface, ...]:
    """The macvtaps that libvirt would make for `interfaces`, started in this order.

    Interfaces of networks without macvtaps are left out. Raises DomainError for a network or a
    portgroup that is not there, a pool that is empty or used up, and settings that contradict
    those of the network.
    """
    pools = Pools(networks)
    made = (x if isinstance(x, DirectInterface) else pools.take(x) for x in interfaces)
    return tuple(x for x in made if x is not None)


class Pools:
    """The pools of some networks, and how many interfaces each link of theirs has."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = {x.name: x for x in networks}
        # (users, place in the pool): the smallest is the one that libvirt takes
        self._links = {
            x.name: [(0, i) for i in range(len(x.devices))] for x in self._networks.values()
        }

    def take(self, nic: NetworkInterface) -> DirectInterface | None:
        """The macvtap for one interface more; None where its network has none.

        Raises DomainError as `resolve` does; nothing is taken then.
        """
        if nic.network not in self._networks:
            allowed = ", ".join(self._networks)
            _refuse(nic, "network", f"there is no network {nic.network!r}", allowed)
        network = self._networks[nic.network]
        if network.mode is None:
            return None
        group = network.portgroup(nic.portgroup)
        if nic.portgroup and group is None:
            names = ", ".join(x.name for x in network.portgroups)
            _refuse(nic, "portgroup", f"{network.name} has no portgroup {nic.portgroup!r}", names)
        port = _merged(nic, network.virtualport, group.virtualport if group else None)
        said = _said(nic, group, network)
        device = self._chosen(nic, network, port)
        return DirectInterface(source=device, mode=network.mode, virtualport=port, **said)

    def _chosen(self, nic: NetworkInterface, network: Network, port: VirtualPort | None) -> str:
        """The link with the fewest users, or one without any where it cannot be shared."""
        if network.pf:
            problem = f"only the host knows the virtual functions of {network.pf}"
            _refuse(nic, "network", problem, "a pool")
        links = self._links[network.name]
        if not links:
            problem = f"{network.name} has no pool of links"
            _refuse(nic, "network", problem, "<interface dev='…'/>")
        qbh = port is not None and port.type is VirtualPortType.QBH
        alone = network.mode is Mode.PASSTHRU or (network.mode is Mode.PRIVATE and qbh)
        users, place = links[0]
        if alone and users:
            allowed = f"{len(links)} interfaces"
            _refuse(nic, "network", f"all links of {network.name} are in use", allowed)
        heapreplace(links, (users + 1, place))
        return network.devices[place]


def _said(nic: NetworkInterface, *above: Portgroup | Network | None) -> dict[str, Any]:
    """What the interface says itself, and of what it does not, what its portgroup or network does.

    A network's own bandwidth is that of its bridge.
    """
    left = ("origin", "virtualport")
    said = {x.name: getattr(nic, x.name) for x in fields(Nic) if x.name not in left}
    for name in ("vlan", "bandwidth", "trust_guest_rx_filters"):
        values_above = (getattr(x, name, None) for x in above)
        if said[name] is None:
            said[name] = next((x for x in values_above if x is not None), None)
    return said


def _merged(nic: NetworkInterface, *others: VirtualPort | None) -> VirtualPort | None:
    """What interface, network and portgroup say together (virNetDevVPortProfileMerge3)."""
    merged: dict[str, Any] = {}
    for port in (nic.virtualport, *others):
        for name in (x.name for x in fields(VirtualPort)):
            value = None if port is None else getattr(port, name)
            if value is None or value == "":
                continue
            if merged.setdefault(name, value) != value:
                _refuse(
                    nic,
                    "virtualport",
                    f"{name} is {merged[name]} here and {value} in the network",
                    "the same, or only one of them",
                )
    return VirtualPort(**merged) if merged else None


def _refuse(nic: NetworkInterface, what: str, problem: str, allowed: str) -> NoReturn:
    element = "interface/virtualport" if what == "virtualport" else f"interface/source/@{what}"
    raise DomainError(element, problem, allowed=allowed, file=nic.file, line=nic.line)
