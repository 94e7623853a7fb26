"""What EVB stations and bridges tell each other, as values.

Two dialects are spoken: the ratified one (IEEE 802.1Qbg-2012, now in IEEE 802.1Q: clause 41 is VDP,
clause 43 ECP, Annex D.2 the EVB TLV) and draft 0.2, which came first and which switches and lldpad
still speak. The words are the standard's; a dialect's numbers are in `harness.vsi.numbers`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

__all__ = [
    "Association",
    "Command",
    "Dialect",
    "DraftEvb",
    "EcpFrame",
    "Evb",
    "EvbMode",
    "FilterFormat",
    "FilterInfo",
    "IdFormat",
    "LldpFrame",
    "Malformed",
    "Refusal",
    "Status",
    "Vsi",
    "manager_of",
]


class Dialect(StrEnum):
    """Which of the two encodings a frame is in."""

    RATIFIED = "ratified"
    DRAFT = "draft"


class Command(StrEnum):
    """What a VDP association TLV asks for (41.2.1)."""

    PRE_ASSOCIATE = "pre-associate"
    PRE_ASSOCIATE_RR = "pre-associate-rr"
    """Pre-associate with resource reservation."""
    ASSOCIATE = "associate"
    DE_ASSOCIATE = "de-associate"


class FilterFormat(IntEnum):
    """What an entry of a filter info field has (41.2.9)."""

    VID = 1
    MAC_VID = 2
    GROUP_VID = 3
    GROUP_MAC_VID = 4


class IdFormat(IntEnum):
    """What a VSI is named by (41.2.6); libvirt and lldpad use UUID."""

    IPV4 = 1
    IPV6 = 2
    MAC = 3
    LOCAL = 4
    UUID = 5


class EvbMode(IntEnum):
    """Who sent an EVB TLV."""

    NOT_SUPPORTED = 0
    BRIDGE = 1
    STATION = 2


class Refusal(StrEnum):
    """Why a bridge refuses; each dialect has its own number for it, or the nearest to it."""

    INVALID_FORMAT = "invalid format"
    INSUFFICIENT_RESOURCES = "insufficient resources"
    UNKNOWN_MANAGER = "unknown VSI manager"
    UNKNOWN_TYPE = "unknown VSI type"
    UNKNOWN_VERSION = "unknown VSI type version"
    FILTER = "VID, group or MAC address not allowed"
    IN_USE = "VSI instance is in use elsewhere"
    OUT_OF_SYNC = "out of sync"


@dataclass(frozen=True, slots=True)
class Status:
    """The status field of a VDP association TLV (41.2.3), one octet.

    In a draft's TLV it is the response, and has neither flags nor an acknowledge bit.
    """

    value: int = 0

    @property
    def code(self) -> int:
        """The error code of an answer; 0 is success."""
        return self.value & 0x0F

    @property
    def acknowledge(self) -> bool:
        """It answers a command."""
        return bool(self.value & 0x40)

    @property
    def keep(self) -> bool:
        """In an answer: the command failed, and what was associated before is kept."""
        return bool(self.value & 0x20)

    @property
    def hard(self) -> bool:
        """In an answer: asking again will not help."""
        return bool(self.value & 0x10)

    @property
    def migrating_to(self) -> bool:
        """In a request: the M-bit, the VSI's guest is on its way here."""
        return bool(self.value & 0x10)

    @property
    def migrating_from(self) -> bool:
        """In a request: the S-bit, the VSI's guest is suspended, and may leave."""
        return bool(self.value & 0x20)


@dataclass(frozen=True, slots=True)
class FilterInfo:
    """One entry of a filter info field: frames that are the VSI's.

    `mac` is 6 octets, empty in the formats without; `group` is None in those without; `pcp` is the
    priority, None unless the PS bit says that there is one. A `vid` of 0 is the null VID: the
    bridge is to choose.
    """

    vid: int
    mac: bytes = b""
    group: int | None = None
    pcp: int | None = None


@dataclass(frozen=True, slots=True)
class Vsi:
    """Which virtual station interface, and of which type (41.1, 41.2.4 to 41.2.7).

    `manager` and `instance` are 16 octets. libvirt's manager id is the first octet of `manager`,
    the others 0; a draft's TLV has no more than that octet.
    """

    manager: bytes
    type_id: int
    type_version: int
    instance: bytes
    id_format: int = IdFormat.UUID

    @property
    def manager_id(self) -> int | None:
        """The manager as libvirt writes it, 0 to 255; None where it has more than one octet."""
        return None if any(self.manager[1:]) else self.manager[0]

    @property
    def uuid(self) -> str:
        """The instance as people write UUIDs."""
        text = self.instance.hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def manager_of(number: int) -> bytes:
    """The 16 octets of libvirt's manager id. Raises ValueError outside of 0 to 255."""
    return bytes([number]).ljust(16, b"\0")


@dataclass(frozen=True, slots=True)
class Association:
    """A VDP association TLV (41.2), asked or answered.

    `problem` is what the rules of 41.4 find wrong with it, empty where nothing is; its
    `filters` are then empty.
    """

    command: Command
    vsi: Vsi
    filters: tuple[FilterInfo, ...]
    filter_format: int = FilterFormat.MAC_VID
    status: Status = Status()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class EcpFrame:
    """An ECPDU (43.3), with the VDP TLVs in it.

    `dst` and `src` are 6 octets. `faults` tells what in it could not be read.
    """

    dialect: Dialect
    src: bytes
    dst: bytes
    sequence: int
    acknowledge: bool = False
    associations: tuple[Association, ...] = ()
    subtype: int = 1
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evb:
    """The ratified EVB TLV (Annex D.2; LLDP organizationally specific 00-80-C2, subtype 13).

    Exponents are of tens of microseconds: `rte` of the ECP acknowledge timer, `rwd` of the
    resource wait delay, `rka` of the reinit keepalive. `rr_status` is 0 (off), 1 (on) or 3 (not
    known). `remote_rwd` and `remote_rka` are the ROL bits: the peer's value is the one in use.
    """

    mode: EvbMode | int = EvbMode.BRIDGE
    rr_capable: bool = False
    rr_control: bool = False
    bridge_groups: bool = False
    rr_request: bool = False
    rr_status: int = 0
    station_groups: bool = False
    retries: int = 3
    rte: int = 14
    remote_rwd: bool = False
    rwd: int = 20
    remote_rka: bool = False
    rka: int = 20


@dataclass(frozen=True, slots=True)
class DraftEvb:
    """Draft 0.2's EVB TLV (00-1B-3F, subtype 0): s… is supported, c… is configured.

    Modes: 0x80 standard, 0x40 reflective relay. Capabilities: 4 RTE, 2 ECP, 1 VDP.
    """

    smode: int = 0xC0
    scap: int = 7
    cmode: int = 0x80
    ccap: int = 7
    svsi: int = 0
    cvsi: int = 0
    rte: int = 15


@dataclass(frozen=True, slots=True)
class LldpFrame:
    """An LLDPDU (IEEE 802.1AB, 8), as far as EVB is concerned.

    `chassis` and `port` begin with the octet of their subtype; `ttl` is in seconds, 0 says goodbye.
    """

    src: bytes
    dst: bytes
    chassis: bytes
    port: bytes
    ttl: int
    evb: Evb | None = None
    draft: DraftEvb | None = None
    faults: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame with the ethertype of LLDP or ECP of which nothing can be read, and why."""

    reason: str
