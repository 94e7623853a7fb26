"""What a network adapter is asked of its ports, and says of them (linux/if_link.h, IFLA_PORT_*)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from harness.errors import PortProfileError

__all__ = [
    "PORT_SELF_VF",
    "PortProfileRequest",
    "PortRequest",
    "PortResponse",
    "PortState",
    "VsiType",
]

PORT_SELF_VF = -1
"""Instead of the number of a virtual function: the link itself (linux/if_link.h)."""

_MOST_PROFILE = 39  # PORT_PROFILE_MAX is 40, with the terminating zero
_MOST_NAME = 15  # IFNAMSIZ is 16
_MOST_VLAN = 4095
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)


class PortRequest(IntEnum):
    """What is to become of the port: PORT_REQUEST_* (linux/if_link.h)."""

    PREASSOCIATE = 0
    PREASSOCIATE_RR = 1
    ASSOCIATE = 2
    DISASSOCIATE = 3


class PortResponse(IntEnum):
    """What became of it: PORT_VDP_RESPONSE_* below 256, PORT_PROFILE_RESPONSE_* from there."""

    VDP_SUCCESS = 0
    VDP_INVALID_FORMAT = 1
    VDP_INSUFFICIENT_RESOURCES = 2
    VDP_UNUSED_VTID = 3
    VDP_VTID_VIOLATION = 4
    VDP_VTID_VERSION_VIOALTION = 5  # spelt so in linux/if_link.h
    VDP_OUT_OF_SYNC = 6
    PROFILE_SUCCESS = 0x100
    PROFILE_INPROGRESS = 0x101
    PROFILE_INVALID = 0x102
    PROFILE_BADSTATE = 0x103
    PROFILE_INSUFFICIENT_RESOURCES = 0x104
    PROFILE_ERROR = 0x105


@dataclass(frozen=True, slots=True, kw_only=True)
class VsiType:
    """IFLA_PORT_VSI_TYPE, for 802.1Qbg: `manager` and `version` of 8 bits, `type_id` of 24.

    Raises PortProfileError for others.
    """

    manager: int
    type_id: int
    version: int

    def __post_init__(self) -> None:
        for name, bits in (("manager", 8), ("type_id", 24), ("version", 8)):
            value = getattr(self, name)
            if not 0 <= value < 1 << bits:
                raise PortProfileError(f"{name} {value} has not {bits} bits")


@dataclass(frozen=True, slots=True, kw_only=True)
class PortProfileRequest:
    """One request, as virNetDevVPortProfileOpSetLink (libvirt) puts it together.

    `mac` and `vlan` are those behind the virtual function `vf` of the link with that `index`, or
    behind the link itself. `profile` (802.1Qbh, up to 39 bytes) or `vsi_type` (802.1Qbg) is what
    the port is to be, `instance` whose it is (802.1Qbh: the guest's UUID), `host` the host's UUID.
    `listed` puts the link's own port among those of virtual functions, as lldpad wants it; `link`
    is its name, which lldpad goes by. Raises PortProfileError for what cannot be said so.
    """

    index: int
    request: PortRequest
    link: str = ""
    mac: str = ""
    vlan: int | None = None
    profile: str = ""
    vsi_type: VsiType | None = None
    instance: UUID | None = None
    host: UUID | None = None
    vf: int = PORT_SELF_VF
    listed: bool = False

    def __post_init__(self) -> None:
        wrong = {
            f"{self.index} is no index of a link": not 0 < self.index < 1 << 31,
            f"{self.vf} is no virtual function": not PORT_SELF_VF <= self.vf < 1 << 31,
            f"{self.mac!r} is no MAC address": self.mac and not _MAC.fullmatch(self.mac),
            f"{self.vlan} is no VLAN": not 0 <= (self.vlan or 0) <= _MOST_VLAN,
            f"{self.link!r} is no name of a link": not _is_text(self.link, _MOST_NAME),
            f"{self.profile!r} is no profile of up to {_MOST_PROFILE} bytes": not _is_text(
                self.profile, _MOST_PROFILE
            ),
            "a virtual function's port is always listed": self.vf >= 0 and not self.listed,
        }
        for problem, holds in wrong.items():
            if holds:
                raise PortProfileError(problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortState:
    """What a network adapter says of a port; `vf` is PORT_SELF_VF for its own.

    `response` is the raw number where linux/if_link.h has no name for it, None while there is none.
    """

    vf: int
    profile: str = ""
    request: int | None = None
    response: PortResponse | int | None = None
    instance: UUID | None = None
    host: UUID | None = None


def _is_text(text: str, most: int) -> bool:
    writable = all(x != "\0" and not "\ud800" <= x <= "\udfff" for x in text)
    return writable and len(text.encode()) <= most
