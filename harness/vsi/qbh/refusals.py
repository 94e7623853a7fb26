"""Which errno a request for a port gets, from which function of the kernel, and since when."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import StrEnum

from harness.kernel.portfacts import PORT_SELF_VF, PortProfileRequest

__all__ = ["REFUSALS", "Device", "Refusal", "Shape", "refusal", "shape"]


class Shape(StrEnum):
    """What of a request decides on the answer."""

    SELF_ADDRESS = "the link's own port, with an address or a VLAN"
    SELF = "the link's own port"
    VF_ADDRESS = "a virtual function's port, with an address or a VLAN"
    VF = "a virtual function's port"


class Device(StrEnum):
    """What of a link decides on the answer: what its driver can do, whatever kind it is of."""

    PLAIN = "no virtual functions, no ports"  # veth, tap, macvtap, bridge, vlan, dummy, lo, …
    PORTS = "takes ports"  # enic


@dataclass(frozen=True)
class Refusal:
    """`errno` from `function` (net/core/rtnetlink.c) since that Linux, and why."""

    shape: Shape
    device: Device
    since: tuple[int, int]
    errno: int
    function: str
    why: str

    def __str__(self) -> str:
        since = ".".join(map(str, self.since))
        return f"{_NAMES[self.errno]} from {self.function}, since Linux {since}: {self.why}"


# As the kernel's source has them: to Python EOPNOTSUPP is ENOTSUP.
_NAMES = {errno.EINVAL: "EINVAL", errno.EOPNOTSUPP: "EOPNOTSUPP"}
# 57b610805ce9 ("net: Add netlink support for virtual port management"), 2.6.35
_ALWAYS = (2, 6)
# "net: rtnetlink: prevent underflows in do_setvfinfo()"; in stable kernels of that time as well
_SIGNED = (5, 4)
_NEGATIVE = "the address is for virtual function -1, which is none: numbers go to 2147483646"
_NO_VFS = "the driver has no virtual functions to give an address (ndo_set_vf_mac)"
_NO_PORTS = "the driver takes no port profiles (ndo_set_vf_port)"

REFUSALS: tuple[Refusal, ...] = (
    Refusal(Shape.SELF_ADDRESS, Device.PLAIN, _ALWAYS, errno.EOPNOTSUPP, "do_setvfinfo", _NO_VFS),
    Refusal(Shape.SELF_ADDRESS, Device.PLAIN, _SIGNED, errno.EINVAL, "do_setvfinfo", _NEGATIVE),
    # enic itself knows -1 (enic_set_vf_mac), but is not asked any more.
    Refusal(Shape.SELF_ADDRESS, Device.PORTS, _SIGNED, errno.EINVAL, "do_setvfinfo", _NEGATIVE),
    Refusal(Shape.SELF, Device.PLAIN, _ALWAYS, errno.EOPNOTSUPP, "do_setlink", _NO_PORTS),
    Refusal(Shape.VF_ADDRESS, Device.PLAIN, _ALWAYS, errno.EOPNOTSUPP, "do_setvfinfo", _NO_VFS),
    Refusal(Shape.VF, Device.PLAIN, _ALWAYS, errno.EOPNOTSUPP, "do_setlink", _NO_PORTS),
)
"""By shape and device, the oldest kernel first; what is not there the driver decides on."""


def shape(asked: PortProfileRequest) -> Shape:
    """What a request looks like to the kernel."""
    address = bool(asked.mac) or asked.vlan is not None
    if asked.vf == PORT_SELF_VF:
        return Shape.SELF_ADDRESS if address else Shape.SELF
    return Shape.VF_ADDRESS if address else Shape.VF


def refusal(
    asked: PortProfileRequest, device: Device = Device.PLAIN, *, kernel: tuple[int, int]
) -> Refusal | None:
    """The answer of a `kernel` (major, minor); None where the driver decides.

    Before all of this rtnetlink_rcv_msg says EPERM to who has no CAP_NET_ADMIN, and rtnl_setlink
    ENODEV where there is no such link.
    """
    known = [x for x in REFUSALS if (x.shape, x.device) == (shape(asked), device)]
    held = [x for x in known if x.since <= kernel]
    return held[-1] if held else None
