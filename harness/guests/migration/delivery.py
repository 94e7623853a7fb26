"""What the external host got while a guest moved: pure, from what was sent and what was heard."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.guests.migration.echoes import Party, number_of
from harness.kernel.recording import Heard

__all__ = ["Delivery", "Move", "delivery", "describe", "moves"]

_NS = 1e-9
_ARP, _RARP, _IPV4, _IPV6 = 0x0806, 0x8035, 0x0800, 0x86DD
_ICMPV6 = 58
_HOP_BY_HOP = 0
_ICMPV6_TYPES = {
    131: "MLD report",
    132: "MLD done",
    133: "router solicitation",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
    143: "MLDv2 report",
}


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Echo requests and what became of them, as the external host sees it.

    `longest_gap` is the longest time between two answers, in seconds; `gap_at` is when it began,
    after the beginning of the migration. `rarps` and `gratuitous_arps` are the frames by which
    QEMU and the guest's driver tell the switch where the guest is. `late` is by how much the
    sender missed its schedule at worst.
    """

    sent: int
    lost: int
    duplicates: int
    reordered: int
    longest_gap: float
    gap_at: float
    rarps: int
    gratuitous_arps: int
    late: float = 0.0


def delivery(
    sent: Sequence[int],
    heard: Sequence[Heard],
    guest: Party,
    *,
    began: int,
    late: float = 0.0,
) -> Delivery:
    """`sent` are the times of the requests, `heard` all that came to the external host's link.

    `began` is when the migration did; all in ns since the epoch.
    """
    incoming = [x for x in heard if not x.outgoing]
    answers = [(x.at, n) for x in incoming if (n := number_of(x.frame)) is not None]
    numbers = [number for _, number in answers]
    gaps = [(after - before, before) for (before, _), (after, _) in pairwise(answers)]
    longest, since = max(gaps, default=(0, began))
    return Delivery(
        sent=len(sent),
        lost=len(sent) - len(set(numbers)),
        duplicates=len(numbers) - len(set(numbers)),
        reordered=sum(after < before for before, after in pairwise(numbers)),
        longest_gap=longest * _NS,
        gap_at=(since - began) * _NS,
        rarps=sum(_type(x.frame) == _RARP and _from(x.frame, guest) for x in incoming),
        gratuitous_arps=sum(_gratuitous(x.frame, guest) for x in incoming),
        late=late,
    )


def _type(frame: bytes) -> int:
    return int.from_bytes(frame[12:14], "big")


def _from(frame: bytes, party: Party) -> bool:
    return frame[6:12].hex(":") == party.mac


def _gratuitous(frame: bytes, guest: Party) -> bool:
    """ARP about the guest's own address, to everybody (arp_send in inetdev_send_gratuitous_arp)."""
    ip = socket.inet_aton(guest.ip)
    return _type(frame) == _ARP and frame[28:32] == ip and frame[38:42] == ip


# ---------------------------------------------------------------------- the switch


@dataclass(frozen=True)
class Move:
    """The switch hears the guest at another port than before.

    `at` is in seconds after the beginning of the migration; `frame` says which frame it was.
    """

    at: float
    port: str
    frame: str


def moves(heard: Sequence[Heard], guest: Party, *, ports: Sequence[str], began: int) -> list[Move]:
    """Each frame from the guest's MAC that came to another of `ports` than the one before it."""
    found: list[Move] = []
    for x in heard:
        if x.outgoing or x.link not in ports or not _from(x.frame, guest):
            continue
        if not found or found[-1].port != x.link:
            found.append(Move((x.at - began) * _NS, x.link, describe(x.frame)))
    return found


def describe(frame: bytes) -> str:
    """What kind of frame it is, in words."""
    kind = _type(frame)
    if kind == _IPV4:
        return "echo reply" if number_of(frame) is not None else "IPv4"
    if kind == _ARP:
        return "ARP"
    if kind == _RARP:
        return "RARP"
    if kind != _IPV6:
        return f"ethertype {kind:#06x}"
    at = 54
    header = frame[20]
    if header == _HOP_BY_HOP and len(frame) > at + 1:
        header, at = frame[at], at + 8 * (frame[at + 1] + 1)
    if header == _ICMPV6 and len(frame) > at:
        return f"IPv6 {_ICMPV6_TYPES.get(frame[at], f'ICMPv6 type {frame[at]}')}"
    return "IPv6"
