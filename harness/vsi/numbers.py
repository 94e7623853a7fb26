"""The numbers on the wire: addresses, ethertypes, TLV types, error codes, exponents."""

from __future__ import annotations

from harness.vsi.facts import Command, Dialect, Refusal

__all__ = [
    "COMMANDS",
    "DRAFT_COMMANDS",
    "DRAFT_OUI",
    "ETHERTYPES",
    "ETHERTYPE_ECP",
    "ETHERTYPE_ECP_DRAFT",
    "ETHERTYPE_LLDP",
    "IEEE_OUI",
    "NEAREST_BRIDGE",
    "NEAREST_CUSTOMER_BRIDGE",
    "VDP_SUBTYPE",
    "code_name",
    "refusal_code",
    "seconds",
]

ETHERTYPE_LLDP = 0x88CC
ETHERTYPE_ECP = 0x8940
ETHERTYPE_ECP_DRAFT = 0x88B7  # IEEE 802's OUI extended ethertype, which draft 0.2 borrowed
ETHERTYPES = frozenset((ETHERTYPE_LLDP, ETHERTYPE_ECP, ETHERTYPE_ECP_DRAFT))

NEAREST_CUSTOMER_BRIDGE = bytes.fromhex("0180c2000000")
NEAREST_BRIDGE = bytes.fromhex("0180c200000e")

IEEE_OUI = bytes.fromhex("0080c2")
DRAFT_OUI = bytes.fromhex("001b3f")
VDP_SUBTYPE = 1
"""The ECP subtype of VDP (43.3); 2 is the port extender's."""

COMMANDS = {
    1: Command.PRE_ASSOCIATE,
    2: Command.PRE_ASSOCIATE_RR,
    3: Command.ASSOCIATE,
    4: Command.DE_ASSOCIATE,
}
"""TLV types of the ratified dialect (41.2.1)."""
DRAFT_COMMANDS = {number - 1: command for number, command in COMMANDS.items()}
"""Modes of draft 0.2 (lldpad, include/qbg_vdp.h)."""

_NAMES = {
    Dialect.RATIFIED: {
        0: "success",
        1: "invalid format",
        2: "insufficient resources",
        3: "unable to contact VSI manager",
        4: "other failure",
        5: "invalid VID, group or MAC address",
    },
    Dialect.DRAFT: {
        0: "success",
        1: "invalid format",
        2: "insufficient resources",
        3: "unused VSI type id",
        4: "VSI type id violation",
        5: "VSI type version violation",
        6: "out of sync",
    },
}
_CODES = {
    Dialect.RATIFIED: {
        Refusal.INVALID_FORMAT: 1,
        Refusal.INSUFFICIENT_RESOURCES: 2,
        Refusal.UNKNOWN_MANAGER: 3,
        Refusal.UNKNOWN_TYPE: 4,
        Refusal.UNKNOWN_VERSION: 4,
        Refusal.FILTER: 5,
        Refusal.IN_USE: 4,
        Refusal.OUT_OF_SYNC: 4,
    },
    Dialect.DRAFT: {
        Refusal.INVALID_FORMAT: 1,
        Refusal.INSUFFICIENT_RESOURCES: 2,
        Refusal.UNKNOWN_MANAGER: 3,
        Refusal.UNKNOWN_TYPE: 3,
        Refusal.UNKNOWN_VERSION: 5,
        Refusal.FILTER: 4,
        Refusal.IN_USE: 4,
        Refusal.OUT_OF_SYNC: 6,
    },
}


def code_name(dialect: Dialect, code: int) -> str:
    """What an error code says."""
    return _NAMES[dialect].get(code, f"code {code}")


def refusal_code(dialect: Dialect, refusal: Refusal) -> int:
    """The number that `dialect` has for a refusal."""
    return _CODES[dialect][refusal]


def seconds(exponent: int) -> float:
    """The time that an EVB exponent stands for: 2^exponent tens of microseconds (Annex D.2)."""
    return float(1 << exponent) * 1e-5
