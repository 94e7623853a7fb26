"""Interfaces from XML elements, and back into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

from lxml import etree

from harness.guests import values
from harness.guests.document import Element, line_of
from harness.guests.nic import (
    Bandwidth,
    DirectInterface,
    Filter,
    NetworkInterface,
    Nic,
    Rate,
    Tag,
    VirtualPort,
    Vlan,
)
from harness.guests.scalars import Complain, Scalar, add_child, drop_child, read, write
from harness.guests.values import Misread
from harness.parts import Mode

__all__ = [
    "PARTS",
    "new_element",
    "read_nic",
    "read_parts",
    "read_port",
    "read_vlan",
    "write_nic",
]

_NIC = (
    Scalar("mac", "mac", "address", values.mac),
    Scalar("model", "model", "type"),
    Scalar("mtu", "mtu", "size", values.number),
    Scalar("driver", "driver", "name"),
    Scalar("queues", "driver", "queues", values.number),
    Scalar("link", "link", "state", values.link_state),
    Scalar("target", "target", "dev"),
    Scalar("boot", "boot", "order", values.number),
    Scalar("trust_guest_rx_filters", "", "trustGuestRxFilters", values.yes_no, values.write_yes_no),
)
_DIRECT = (
    Scalar("source", "source", "dev", required=True),
    Scalar("mode", "source", "mode", values.mode, values.write_mode, default=Mode.VEPA),
)
_NETWORK = (
    Scalar("network", "source", "network", required=True),
    Scalar("portgroup", "source", "portgroup"),
)
_PORT = (
    Scalar("type", "", "type", values.port_type),
    Scalar("manager_id", "parameters", "managerid", values.port_number),
    Scalar("type_id", "parameters", "typeid", values.port_number),
    Scalar("type_version", "parameters", "typeidversion", values.port_number),
    Scalar("instance_id", "parameters", "instanceid", values.uuid),
    Scalar("interface_id", "parameters", "interfaceid", values.uuid),
    Scalar("profile_id", "parameters", "profileid"),
)
_RATE = tuple(
    Scalar(name, "", name, values.number) for name in ("average", "peak", "burst", "floor")
)
_TRUNK = (Scalar("trunk", "", "trunk", values.yes_no, values.write_yes_no),)
_TAG = (
    Scalar("id", "", "id", values.number, required=True),
    Scalar("native", "", "nativeMode", values.native_vlan),
)


def read_nic(element: Element, complain: Complain, *, file: str = "") -> Nic | None:
    """The interface that `element` describes; a plain Nic where it is of no type of ours.

    What cannot be read goes to `complain` and is left out; None where nothing is left without it.
    """
    table, made = _kind(element)
    found = read(element, (*table, *_NIC), complain) | read_parts(element, complain)
    if any(scalar.required and scalar.name not in found for scalar in table):
        return None
    origin = etree.tostring(element, encoding="unicode", with_tail=False)
    return made(**found, file=file, line=line_of(element), origin=origin)


def _kind(element: Element) -> tuple[tuple[Scalar, ...], Callable[..., Nic]]:
    kind = element.get("type")
    if kind == "direct":
        return _DIRECT, DirectInterface
    return (_NETWORK, NetworkInterface) if kind == "network" else ((), Nic)


def write_nic(element: Element, nic: DirectInterface | NetworkInterface) -> None:
    """Make `element`, which describes an interface of the same type, describe `nic`."""
    table, _ = _kind(element)
    wanted = _values(nic)
    write(element, (*table, *_NIC), wanted)
    found = read_parts(element, lambda *_: None)
    for part in PARTS:
        if found.get(part.name) == wanted[part.name]:
            continue
        child = element.find(part.child)
        if wanted[part.name] is not None:
            part.write(
                add_child(element, part.child) if child is None else child, wanted[part.name]
            )
        elif child is not None:
            drop_child(child)


def new_element(nic: DirectInterface | NetworkInterface) -> Element:
    """An element that says what `nic` says, in the order in which libvirt writes."""
    direct = isinstance(nic, DirectInterface)
    element = etree.Element("interface", type="direct" if direct else "network")
    wanted = _values(nic)
    first, rest = _NIC[:1], _NIC[1:]
    write(element, first, wanted)
    write(element, _DIRECT if direct else _NETWORK, wanted)
    if isinstance(nic, DirectInterface) and (source := element.find("source")) is not None:
        source.set("mode", values.write_mode(nic.mode))  # the default too
    write(element, rest, wanted)
    write_nic(element, nic)
    etree.indent(element)
    return element


def _values(fact: Any) -> dict[str, Any]:
    """Field to value; not `dataclasses.asdict`, which takes the parts apart as well."""
    return {x.name: getattr(fact, x.name) for x in fields(fact)}


# ---------------------------------------------------------------------- parts


@dataclass(frozen=True)
class Part:
    """The field `name`: a child element with facts of its own."""

    name: str
    child: str
    read: Callable[[Element, Complain], Any]
    write: Callable[[Element, Any], None]


def read_parts(element: Element, complain: Complain) -> dict[str, Any]:
    """Field to value of the parts that are there."""
    found = {}
    for part in PARTS:
        child = element.find(part.child)
        value = None if child is None else part.read(child, complain)
        if value is not None:
            found[part.name] = value
    return found


def read_port(element: Element, complain: Complain) -> VirtualPort | None:
    """A `<virtualport>`; None without anything in it."""
    port = VirtualPort(**read(element, _PORT, complain))
    return None if port == VirtualPort() else port


def _write_port(element: Element, port: VirtualPort) -> None:
    write(element, _PORT, _values(port))


def read_vlan(element: Element, complain: Complain) -> Vlan | None:
    """A `<vlan>`."""
    tags = []
    for child in element.iterfind("tag"):
        found = read(child, _TAG, complain)
        if "id" in found:
            tags.append(Tag(**found))
    if element.find("tag") is None:
        empty = Misread(
            "there is no tag", allowed="<tag id='…'/>", source="libvirt virNetDevVlanParse"
        )
        complain(empty, element, "tag")
    return Vlan(tuple(tags), **read(element, _TRUNK, complain))


def _write_vlan(element: Element, vlan: Vlan) -> None:
    write(element, _TRUNK, _values(vlan))
    _write_list(element, "tag", _TAG, vlan.tags)


def _read_bandwidth(element: Element, complain: Complain) -> Bandwidth | None:
    found = {}
    for direction in ("inbound", "outbound"):
        child = element.find(direction)
        if child is not None:
            found[direction] = Rate(**read(child, _RATE, complain))
    return Bandwidth(**found) if found else None


def _write_bandwidth(element: Element, bandwidth: Bandwidth) -> None:
    for direction in ("inbound", "outbound"):
        rate, child = getattr(bandwidth, direction), element.find(direction)
        if rate is not None:
            write(add_child(element, direction) if child is None else child, _RATE, _values(rate))
        elif child is not None:
            drop_child(child)


def _read_filter(element: Element, complain: Complain) -> Filter | None:
    found = read(element, (Scalar("name", "", "filter", required=True),), complain)
    parameters = tuple(
        (str(child.get("name", "")), str(child.get("value", "")))
        for child in element.iterfind("parameter")
    )
    return Filter(found["name"], parameters) if found else None


def _write_filter(element: Element, wanted: Filter) -> None:
    element.set("filter", wanted.name)
    table = (Scalar("name", "", "name"), Scalar("value", "", "value"))
    parameters = [_Parameter(*pair) for pair in wanted.parameters]
    _write_list(element, "parameter", table, parameters)


@dataclass(frozen=True)
class _Parameter:
    name: str
    value: str


def _write_list(
    element: Element, tag: str, table: tuple[Scalar, ...], wanted: Iterable[Any]
) -> None:
    """Children of one kind, in order: those there are changed, added to or removed."""
    there = list(element.iterfind(tag))
    needed = list(wanted)
    for fact in needed:
        child = there.pop(0) if there else add_child(element, tag)
        write(child, table, _values(fact))
    for child in there:
        drop_child(child)


PARTS = (
    Part("virtualport", "virtualport", read_port, _write_port),
    Part("vlan", "vlan", read_vlan, _write_vlan),
    Part("bandwidth", "bandwidth", _read_bandwidth, _write_bandwidth),
    Part("filter", "filterref", _read_filter, _write_filter),
)
