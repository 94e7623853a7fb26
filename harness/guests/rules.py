"""What must hold of one interface by itself.

Each rule names who decides it. Values that cannot even be read are told of before, by
`harness.guests.values`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness.guests.nic import (
    Bandwidth,
    DirectInterface,
    Nic,
    Rate,
    VirtualPort,
    VirtualPortType,
    Vlan,
)
from harness.guests.problem import Problem
from harness.guests.scribe import Scribe
from harness.parts import Mode, is_multicast

__all__ = [
    "LINK_NAME",
    "mac_rules",
    "nic_rules",
    "port_rules",
    "source_rules",
    "vid_rules",
    "vlan_rules",
]

_MOST_NAME = 15  # IFNAMSIZ is 16, with the terminating zero
_NAME = re.compile(r"[^/:\s\0]+")  # dev_valid_name, net/core/dev.c
LINK_NAME = f"1 to {_MOST_NAME} bytes without white space, / or :"
_MOST_QUEUES = 256
_MOST_PROFILE = 39
_MOST_TAG = 4095
_GENERATED = ("macvtap", "macvlan", "vnet")

_QBG = "IEEE 802.1Qbg, VDP TLV"
_COMPLETE = "libvirt virNetDevVPortProfileCheckComplete"
_EXTRAS = "libvirt virNetDevVPortProfileCheckNoExtras"
_RATE = "libvirt virNetDevBandwidthParseRate"


def nic_rules(nic: Nic, scribe: Scribe) -> Iterator[Problem]:
    """Everything that one interface alone can break."""
    yield from mac_rules(nic, scribe)
    yield from _link_rules(nic, scribe)
    yield from _target_rules(nic, scribe)
    if nic.vlan:
        yield from vlan_rules(nic.vlan, scribe)
    if nic.bandwidth:
        yield from _bandwidth_rules(nic.bandwidth, scribe)
    if nic.virtualport:
        typed = isinstance(nic, DirectInterface)
        yield from port_rules(nic.virtualport, scribe, complete=typed)
    if isinstance(nic, DirectInterface):
        yield from source_rules(nic.source, scribe, "source/@dev")
        yield from _direct_rules(nic, scribe)


def mac_rules(nic: Nic, scribe: Scribe) -> Iterator[Problem]:
    """A guest's address is a station's."""
    if nic.mac and is_multicast(nic.mac):
        yield scribe.error(
            "mac/@address",
            f"{nic.mac} is a multicast address",
            allowed="one whose first byte is even",
            source="libvirt virDomainNetDefParseXML; IEEE 802, 8.2",
        )
    if nic.mac == "00:00:00:00:00:00":
        yield scribe.error(
            "mac/@address",
            f"{nic.mac} is nobody's address",
            allowed="any other unicast address",
            source="kernel is_valid_ether_addr",
        )


def source_rules(name: str, scribe: Scribe, path: str) -> Iterator[Problem]:
    """The name of a link of the host."""
    if not _is_link_name(name):
        yield scribe.error(
            path,
            f"{name!r} cannot be the name of a link",
            allowed=LINK_NAME,
            source="kernel dev_valid_name, IFNAMSIZ",
        )


def _is_link_name(name: str) -> bool:
    return (
        len(name.encode()) <= _MOST_NAME and bool(_NAME.fullmatch(name)) and name not in (".", "..")
    )


def _link_rules(nic: Nic, scribe: Scribe) -> Iterator[Problem]:
    if nic.mtu is not None:
        yield scribe.error(
            "mtu/@size",
            "the MTU of a macvtap cannot be set",
            allowed="none: it is that of its source",
            source="libvirt qemuDomainNetSupportsMTU",
        )
    if nic.queues is not None:
        if not 1 <= nic.queues <= _MOST_QUEUES:
            yield scribe.error(
                "driver/@queues",
                f"a tap cannot have {nic.queues} queues",
                allowed=f"1 to {_MOST_QUEUES}",
                source="kernel tap_set_queue (MAX_TAP_QUEUES); domain.rng",
            )
        if not nic.model.startswith("virtio"):
            yield scribe.warning(
                "driver/@queues",
                f"queues are ignored with the model {nic.model or 'that libvirt chooses'}",
                allowed="<model type='virtio'/>",
                source="libvirt virDomainNetDefParseXML",
            )
    if nic.boot == 0:
        yield scribe.error(
            "boot/@order",
            "the boot order begins with 1",
            allowed="1 and up",
            source="libvirt virDomainDeviceBootParseXML",
        )


def _target_rules(nic: Nic, scribe: Scribe) -> Iterator[Problem]:
    if not nic.target:
        return
    if nic.target.startswith(_GENERATED):
        yield scribe.warning(
            "target/@dev",
            f"libvirt ignores {nic.target!r}, as it makes such names up itself",
            allowed=f"a name that does not begin with {', '.join(_GENERATED)}",
            source="libvirt virDomainNetDefParseXML",
        )
    if not _is_link_name(nic.target):
        yield scribe.error(
            "target/@dev",
            f"{nic.target!r} cannot be the name of a link",
            allowed=LINK_NAME,
            source="kernel dev_valid_name, IFNAMSIZ",
        )


def vlan_rules(vlan: Vlan, scribe: Scribe) -> Iterator[Problem]:
    """Tags are VLAN ids; several make a trunk; one of them at most is native."""
    source = "libvirt virNetDevVlanParse"
    for tag in vlan.tags:
        if tag.id > _MOST_TAG:
            allowed = "1 to 4094"
            yield scribe.error(
                "vlan/tag/@id", f"{tag.id} is no VLAN", allowed=allowed, source=source
            )
        elif tag.id in (0, _MOST_TAG):
            yield scribe.warning(
                "vlan/tag/@id",
                f"VLAN {tag.id} is reserved",
                allowed="1 to 4094",
                source="IEEE 802.1Q, table 9-2",
            )
    native = [tag for tag in vlan.tags if tag.native]
    if len(native) > 1:
        yield scribe.error(
            "vlan/tag/@nativeMode", "there are two native VLANs", allowed="one", source=source
        )
    if vlan.trunk is False and (len(vlan.tags) > 1 or native):
        yield scribe.error(
            "vlan/@trunk",
            "several VLANs, or a native one, make a trunk",
            allowed="yes, or nothing",
            source=source,
        )


def _bandwidth_rules(bandwidth: Bandwidth, scribe: Scribe) -> Iterator[Problem]:
    for direction in ("inbound", "outbound"):
        rate: Rate | None = getattr(bandwidth, direction)
        if rate is None:
            continue
        path = f"bandwidth/{direction}"
        if rate.average is None and rate.floor is None:
            yield scribe.error(path, "average is missing", allowed="average='…'", source=_RATE)
        elif rate.average is None and (rate.peak is not None or rate.burst is not None):
            yield scribe.error(
                path, "peak and burst take an average", allowed="average='…'", source=_RATE
            )
        for name in ("average", "peak", "burst", "floor"):
            if getattr(rate, name) == 0:
                yield scribe.error(
                    f"{path}/@{name}",
                    "0 is no limit",
                    allowed="1 and up",
                    source="networkcommon.rng",
                )
        if rate.floor is not None and direction == "outbound":
            yield scribe.error(
                f"{path}/@floor",
                "only incoming traffic can have a floor",
                allowed="in <inbound>",
                source="libvirt virNetDevBandwidthParse",
            )


# ---------------------------------------------------------------------- direct


def _direct_rules(nic: DirectInterface, scribe: Scribe) -> Iterator[Problem]:
    if nic.vlan and nic.mode is not Mode.PASSTHRU:
        yield scribe.error(
            "vlan",
            f"a macvtap in mode {nic.mode} cannot tag",
            allowed="mode='passthrough', or a VLAN device as the source",
            source="libvirt virDomainActualNetDefValidate",
        )
    if nic.filter:
        yield scribe.error(
            "filterref",
            "frames of a macvtap pass no filter, so it is refused when the guest starts",
            allowed="no filterref",
            source="libvirt qemuDomainValidateActualNetDef",
        )
    if nic.bandwidth and nic.bandwidth.inbound and nic.bandwidth.inbound.floor is not None:
        yield scribe.error(
            "bandwidth/inbound/@floor",
            "a macvtap has no floor, since nobody shares out its link",
            allowed="average, peak, burst",
            source="libvirt virNetDevBandwidthSupportsFloor",
        )
    if (
        nic.virtualport
        and nic.virtualport.type is VirtualPortType.QBG
        and nic.mode is not Mode.VEPA
    ):
        yield scribe.error(
            "source/@mode",
            f"802.1Qbg leaves forwarding to the switch, which mode {nic.mode} does not",
            allowed="vepa",
            source="IEEE 802.1Qbg, reflective relay; kernel macvlan_queue_xmit",
        )


# ---------------------------------------------------------------------- virtual ports


def port_rules(port: VirtualPort, scribe: Scribe, *, complete: bool) -> Iterator[Problem]:
    """The parameters of a virtual port; `complete` where nothing else could add to them."""
    if port.type is None and complete:
        yield scribe.error(
            "virtualport/@type",
            "this is missing",
            allowed=", ".join(VirtualPortType),
            source="libvirt virNetDevVPortProfileParse",
        )
    if port.type in (VirtualPortType.OPENVSWITCH, VirtualPortType.MIDONET):
        yield scribe.warning(
            "virtualport/@type",
            f"{port.type} means nothing to a macvtap, and is ignored",
            allowed="802.1Qbg, 802.1Qbh",
            source="libvirt virNetDevVPortProfileAssociate",
        )
        return
    yield from _ranges(port, scribe)
    if complete:
        yield from _missing(port, scribe)
    yield from _extra(port, scribe)


def vid_rules(nic: DirectInterface, scribe: Scribe, vlans: Mapping[str, int]) -> Iterator[Problem]:
    """The VLAN that 802.1Qbg asks for, of links whose VLAN is known: that of `vlans`, 0 for none.

    It is that of the VLAN device that the source is; <vlan> has no say in it.
    """
    qbg = nic.virtualport is not None and nic.virtualport.type is VirtualPortType.QBG
    if qbg and vlans.get(nic.source) == 0:
        yield scribe.warning(
            "source/@dev",
            f"{nic.source} is no VLAN device, so libvirt asks for VLAN 0: the guest's frames are "
            "untagged, and the switch chooses their VLAN or refuses",
            allowed=f"a VLAN device: ip link add link {nic.source} type vlan id 1 to 4094",
            source="libvirt virNetDevVPortProfileOp8021Qbg; IEEE 802.1Qbg, 41.2.9: null VID",
        )


def _ranges(port: VirtualPort, scribe: Scribe) -> Iterator[Problem]:
    parse = "libvirt virNetDevVPortProfileParse"
    path = "virtualport/parameters/@"
    if port.manager_id == 0:
        yield scribe.error(
            f"{path}managerid",
            "0 is reserved",
            allowed="1 to 255",
            source=f"{_QBG}: VSI Manager ID",
        )
    for name, attribute, most in (
        ("manager_id", "managerid", 0xFF),
        ("type_id", "typeid", 0xFFFFFF),
        ("type_version", "typeidversion", 0xFF),
    ):
        value = getattr(port, name)
        if value is not None and value > most:
            least = 1 if name == "manager_id" else 0
            yield scribe.error(
                f"{path}{attribute}",
                f"{value} has more than {most.bit_length()} bits",
                allowed=f"{least} to {most}",
                source=f"{parse}; {_QBG}",
            )
    if port.instance_id is not None and port.instance_id.int == 0:
        yield scribe.warning(
            f"{path}instanceid",
            "the nil UUID is nobody's",
            allowed="any other UUID, or none: libvirt makes one up",
            source=f"IETF RFC 9562, 5.9; {_QBG}: VSI Instance ID",
        )
    if len(port.profile_id.encode()) > _MOST_PROFILE:
        yield scribe.error(
            f"{path}profileid",
            f"it is {len(port.profile_id.encode())} bytes long",
            allowed=f"1 to {_MOST_PROFILE} characters",
            source=f"{parse}; kernel PORT_PROFILE_MAX",
        )


def _missing(port: VirtualPort, scribe: Scribe) -> Iterator[Problem]:
    """What has to be there. An instance id that is missing is made up by libvirt."""
    if port.type is VirtualPortType.QBG:
        for name, attribute in (
            ("manager_id", "managerid"),
            ("type_id", "typeid"),
            ("type_version", "typeidversion"),
        ):
            if getattr(port, name) is None and not scribe.says("virtualport/parameters", attribute):
                path = f"virtualport/parameters/@{attribute}"
                yield scribe.error(path, "802.1Qbg takes this", source=_COMPLETE)
    if port.type is VirtualPortType.QBH and not port.profile_id:
        yield scribe.error(
            "virtualport/parameters/@profileid",
            "802.1Qbh takes a profile",
            allowed=f"1 to {_MOST_PROFILE} characters",
            source=_COMPLETE,
        )


def _extra(port: VirtualPort, scribe: Scribe) -> Iterator[Problem]:
    """What belongs to another type."""
    qbg = (
        ("manager_id", "managerid"),
        ("type_id", "typeid"),
        ("type_version", "typeidversion"),
        ("instance_id", "instanceid"),
    )
    others = {
        VirtualPortType.QBG: (("profile_id", "profileid"), ("interface_id", "interfaceid")),
        VirtualPortType.QBH: (*qbg, ("interface_id", "interfaceid")),
    }
    for name, attribute in others.get(port.type, ()) if port.type else ():
        if getattr(port, name) not in (None, ""):
            path = f"virtualport/parameters/@{attribute}"
            yield scribe.error(path, f"this is not for {port.type}", source=_EXTRAS)
