"""Port profiles, as rtnetlink has them: how a network adapter is asked for one, and its answer.

    RTM_SETLINK
      IFLA_VFINFO_LIST > IFLA_VF_INFO > IFLA_VF_MAC, IFLA_VF_VLAN    who is behind the port
      IFLA_PORT_SELF, or IFLA_VF_PORTS > IFLA_VF_PORT                which port; what it is to be

libvirt asks the kernel so for 802.1Qbh, and lldpad for 802.1Qbg. Octets are pyroute2's business,
whose message class has the ports' attributes (0.9.7) as hexadecimal text only.
"""

from __future__ import annotations

import struct
from typing import Any
from uuid import UUID

from pyroute2.netlink import nla
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from harness.errors import PortProfileError
from harness.kernel.netlink import NLM_F_ACK, NLM_F_REQUEST, RTM_SETLINK, Request
from harness.kernel.netns import NetNS
from harness.kernel.portfacts import (
    PORT_SELF_VF,
    PortProfileRequest,
    PortRequest,
    PortResponse,
    PortState,
    VsiType,
)

__all__ = ["decode", "encode", "no_port", "ports"]

_NESTED = 0x8000  # NLA_F_NESTED
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_IFINFO_SIZE = 16
_BODY_AT = _HEADER.size + _IFINFO_SIZE  # attributes
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_VSI_TYPE = struct.Struct("=B3sB3x")  # struct ifla_port_vsi


# ---------------------------------------------------------------------- attributes


class _Port(nla):  # type: ignore[misc]
    """IFLA_PORT_SELF and IFLA_VF_PORT hold the same."""

    nla_flags = _NESTED
    nla_map = (
        ("IFLA_PORT_UNSPEC", "none"),
        ("IFLA_PORT_VF", "int32"),
        ("IFLA_PORT_PROFILE", "cdata"),
        ("IFLA_PORT_VSI_TYPE", "cdata"),
        ("IFLA_PORT_INSTANCE_UUID", "cdata"),
        ("IFLA_PORT_HOST_UUID", "cdata"),
        ("IFLA_PORT_REQUEST", "cdata"),  # 8 bits when asked; enic (Cisco) answers with 16
        ("IFLA_PORT_RESPONSE", "uint16"),
    )


class _Ports(nla):  # type: ignore[misc]
    """IFLA_VF_PORTS."""

    nla_flags = _NESTED
    nla_map = (("IFLA_VF_PORT_UNSPEC", "none"), ("IFLA_VF_PORT", "port"))
    port = _Port


class _Info(nla):  # type: ignore[misc]
    """IFLA_VF_INFO; pyroute2's own has numbers of virtual functions without a sign."""

    class mac(nla):  # type: ignore[misc]  # noqa: N801  (pyroute2 looks it up by this name)
        """IFLA_VF_MAC: MAX_ADDR_LEN octets of address."""

        fields = (("vf", "i"), ("mac", "6s"), ("rest", "26s"))

    class vlan(nla):  # type: ignore[misc]  # noqa: N801
        """IFLA_VF_VLAN."""

        fields = (("vf", "i"), ("vlan", "I"), ("qos", "I"))

    nla_flags = _NESTED
    prefix = "IFLA_VF_"
    nla_map = (("IFLA_VF_UNSPEC", "none"), ("IFLA_VF_MAC", "mac"), ("IFLA_VF_VLAN", "vlan"))


class _InfoList(nla):  # type: ignore[misc]
    """IFLA_VFINFO_LIST."""

    nla_flags = _NESTED
    nla_map = (("IFLA_VF_INFO_UNSPEC", "none"), ("IFLA_VF_INFO", "info"))
    info = _Info


_OURS = {
    "IFLA_IFNAME": "cdata",
    "IFLA_VFINFO_LIST": "infolist",
    "IFLA_VF_PORTS": "vfports",
    "IFLA_PORT_SELF": "portself",
}


class _PortMessage(ifinfmsg):  # type: ignore[misc]
    """A link message whose ports are attributes."""

    nla_map = tuple((name, _OURS.get(name, kind)) for name, kind in ifinfmsg.nla_map)
    infolist, vfports, portself = _InfoList, _Ports, _Port


# ---------------------------------------------------------------------- octets


def encode(asked: PortProfileRequest) -> Request:
    """The request for `harness.kernel.netlink.Rtnl`, which gives it its sequence number."""
    attributes: list[Any] = [("IFLA_IFNAME", _zero_ended(asked.link))] if asked.link else []
    info: list[Any] = []
    if asked.mac:
        mac = bytes.fromhex(asked.mac.replace(":", ""))
        info.append(("IFLA_VF_MAC", {"vf": asked.vf, "mac": mac, "rest": bytes(26)}))
    if asked.vlan is not None:
        info.append(("IFLA_VF_VLAN", {"vf": asked.vf, "vlan": asked.vlan, "qos": 0}))
    if info:
        attributes.append(("IFLA_VFINFO_LIST", {"attrs": [("IFLA_VF_INFO", {"attrs": info})]}))
    port = {"attrs": _port(asked)}
    if asked.listed:
        attributes.append(("IFLA_VF_PORTS", {"attrs": [("IFLA_VF_PORT", port)]}))
    else:
        attributes.append(("IFLA_PORT_SELF", port))
    return _set(
        f"{asked.request.name.lower()} a port of link {asked.index}", asked.index, attributes
    )


def _port(asked: PortProfileRequest) -> list[Any]:
    port: list[Any] = []
    if asked.profile:
        port.append(("IFLA_PORT_PROFILE", _zero_ended(asked.profile)))
    if asked.vsi_type:
        kind = asked.vsi_type
        octets = _VSI_TYPE.pack(kind.manager, kind.type_id.to_bytes(3, "little"), kind.version)
        port.append(("IFLA_PORT_VSI_TYPE", octets))
    if asked.instance:
        port.append(("IFLA_PORT_INSTANCE_UUID", asked.instance.bytes))
    if asked.host:
        port.append(("IFLA_PORT_HOST_UUID", asked.host.bytes))
    if asked.vf != PORT_SELF_VF:
        port.append(("IFLA_PORT_VF", asked.vf))
    port.append(("IFLA_PORT_REQUEST", bytes([asked.request])))
    return port


def no_port(index: int) -> Request:
    """A request about no port at all: it has no effect, and the kernel answers all the same.

    Of an empty IFLA_VF_PORTS do_setlink (net/core/rtnetlink.c) looks whether the driver takes
    ports (ndo_set_vf_port), without calling it: EOPNOTSUPP where it does not. So since 2.6.35.
    """
    return _set(f"see whether link {index} has ports", index, [("IFLA_VF_PORTS", {"attrs": []})])


def _set(purpose: str, index: int, attributes: list[Any]) -> Request:
    message = _PortMessage()
    message["index"] = index
    message["attrs"] = attributes
    return Request.of(purpose, message, RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK)


def decode(octets: bytes) -> PortProfileRequest:
    """The request that a whole netlink message is.

    Raises PortProfileError for octets that libvirt would not write so: another message, anything
    more, another order.
    """
    if len(octets) < _BODY_AT or _HEADER.unpack_from(octets)[0] != len(octets):
        raise PortProfileError(f"{len(octets)} octets are not the length that the message says")
    if _HEADER.unpack_from(octets)[1] != RTM_SETLINK:
        raise PortProfileError("the message is no RTM_SETLINK")
    _check(octets[_BODY_AT:], _HELD)  # pyroute2 logs what is broken, and goes on with raw octets
    message = _PortMessage(octets)
    message.decode()
    try:
        found = _request(message)
    except ValueError as error:
        raise PortProfileError(f"an attribute is not what it should be ({error})") from error
    if encode(found).data[_HEADER.size :] != octets[_HEADER.size :]:
        raise PortProfileError("there is more in it than a request for a port, or other than usual")
    return found


_Held = dict[int, "int | _Held"]
_PORT: _Held = {1: 4, 2: 0, 3: _VSI_TYPE.size, 4: 16, 5: 16, 6: 1}
_HELD: _Held = {3: 0, 22: {1: {1: 36, 2: 12}}, 24: {1: _PORT}, 25: _PORT}
"""Attributes that a request may have: what is in each, or its length (0: that of a text)."""


def _check(octets: bytes, known: _Held) -> None:
    at, seen = 0, set()
    while at < len(octets):
        if at + _ATTRIBUTE.size > len(octets):
            raise PortProfileError("it ends within an attribute")
        length, kind = _ATTRIBUTE.unpack_from(octets, at)
        kind &= ~_NESTED
        if not _ATTRIBUTE.size <= length <= len(octets) - at:
            raise PortProfileError(f"attribute {kind} is longer than what it is in, or too short")
        if kind not in known or kind in seen:
            raise PortProfileError(f"attribute {kind} comes twice, or does not belong there")
        seen.add(kind)
        inside, wanted = octets[at + _ATTRIBUTE.size : at + length], known[kind]
        if isinstance(wanted, dict):
            _check(inside, wanted)
        elif len(inside) != wanted if wanted else not inside:
            raise PortProfileError(f"attribute {kind} has {len(inside)} octets")
        at += (length + 3) & ~3


def _request(message: Any) -> PortProfileRequest:
    given: dict[str, Any] = {}
    info = message.get_attr("IFLA_VFINFO_LIST")
    if info is not None:
        entry = _wanted(info, "IFLA_VF_INFO")
        mac, vlan = entry.get_attr("IFLA_VF_MAC"), entry.get_attr("IFLA_VF_VLAN")
        given["mac"] = bytes(mac["mac"]).hex(":") if mac is not None else ""
        given["vlan"] = vlan["vlan"] if vlan is not None else None
    listed = message.get_attr("IFLA_VF_PORTS")
    if listed is None:
        port = _wanted(message, "IFLA_PORT_SELF")
    else:
        port = _wanted(listed, "IFLA_VF_PORT")
    kind = port.get_attr("IFLA_PORT_VSI_TYPE")
    if kind is not None:
        manager, type_id, version = _VSI_TYPE.unpack(bytes(kind))
        type_id = int.from_bytes(type_id, "little")
        given["vsi_type"] = VsiType(manager=manager, type_id=type_id, version=version)
    vf = port.get_attr("IFLA_PORT_VF")
    (request,) = bytes(_wanted(port, "IFLA_PORT_REQUEST"))
    return PortProfileRequest(
        index=message["index"],
        request=PortRequest(request),
        link=_text(message, "IFLA_IFNAME"),
        profile=_text(port, "IFLA_PORT_PROFILE"),
        instance=_uuid(port, "IFLA_PORT_INSTANCE_UUID"),
        host=_uuid(port, "IFLA_PORT_HOST_UUID"),
        vf=PORT_SELF_VF if vf is None else vf,
        listed=listed is not None,
        **given,
    )


def _wanted(held: Any, name: str) -> Any:
    found = held.get_attr(name)
    if found is None:
        raise PortProfileError(f"there is no {name} in it")
    return found


def _zero_ended(text: str) -> bytes:
    return text.encode() + b"\0"


def _text(held: Any, name: str) -> str:
    octets = held.get_attr(name)
    return "" if octets is None else bytes(octets)[:-1].decode()


def _uuid(port: Any, name: str) -> UUID | None:
    octets = port.get_attr(name)
    return None if octets is None else UUID(bytes=bytes(octets))


# ---------------------------------------------------------------------- answers


def ports(ns: NetNS, link: str) -> tuple[PortState, ...]:
    """What the link says of its ports, its own first: read, so without any effect.

    A driver without ports says nothing (rtnl_port_fill); one that has them says nothing either of
    a port that nothing was asked for yet (ENODATA, enic_get_vf_port). Raises KernelError.
    """
    found = ns.rtnl.link(link, ports=True)
    states = []
    for name, of in (("IFLA_PORT_SELF", _Port), ("IFLA_VF_PORTS", _Ports)):
        text = found.get_attr(name)
        if not text:
            continue
        octets = bytes.fromhex(text.replace(":", ""))
        held = of(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(octets), 0) + octets)
        held.decode()
        nested = [held] if of is _Port else [port for _, port in held["attrs"]]
        states += [_state(port) for port in nested]
    return tuple(states)


def _state(port: Any) -> PortState:
    vf = port.get_attr("IFLA_PORT_VF")
    profile = port.get_attr("IFLA_PORT_PROFILE")
    request = port.get_attr("IFLA_PORT_REQUEST")
    response = port.get_attr("IFLA_PORT_RESPONSE")
    named = response in PortResponse.__members__.values()
    return PortState(
        vf=PORT_SELF_VF if vf is None else vf,
        profile="" if profile is None else bytes(profile).split(b"\0")[0].decode(errors="replace"),
        request=None if request is None else int.from_bytes(bytes(request), "little"),
        response=PortResponse(response) if named else response,
        instance=_uuid(port, "IFLA_PORT_INSTANCE_UUID"),
        host=_uuid(port, "IFLA_PORT_HOST_UUID"),
    )
