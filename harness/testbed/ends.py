"""Who listens where: the packet rings of a topology, and what each of them observes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.frames import ETHERTYPE_EXPERIMENTAL, ETHERTYPE_IPV4, Kind
from harness.kernel.features import Backend
from harness.kernel.packets import ETH_P_ALL, PACKET_OTHERHOST, PACKET_OUTGOING
from harness.kernel.stock import Furnished
from harness.parts import Guest, LowerKind
from harness.testbed.wiring import Wiring
from harness.topology import Topology

__all__ = ["RingEnd", "guest_end", "ring_ends"]


@dataclass(frozen=True)
class RingEnd:
    """One packet ring: on which link, for which protocol, and what its frames count for.

    `observers` maps sll_pkttype to an observer; other types count for `name`.
    """

    name: str
    place: Furnished
    link: str
    sentinel: Kind
    protocol: int = ETH_P_ALL
    outgoing: bool = False
    only_index: int | None = None
    observers: Mapping[int, str] = field(default_factory=dict)

    @property
    def unwanted(self) -> Kind:
        """The other kind of sentinel, which the ring's filter keeps out."""
        return Kind.SENTINEL_NET if self.sentinel is Kind.SENTINEL_TAP else Kind.SENTINEL_TAP


def ring_ends(topology: Topology, wiring: Wiring, backend: Backend) -> Iterator[RingEnd]:
    """Every ring of the testbed: guests' only where taps cannot be opened."""
    if backend is Backend.PACKET:
        for guest in topology.guests:
            yield guest_end(wiring, guest)
    for lower in topology.lowers:
        yield from _host_ends(topology, wiring, lower.name)
        if lower.kind is LowerKind.VETH:
            # The switch's end: what the port receives has left the lower device.
            out = dict.fromkeys(range(PACKET_OUTGOING), f"{lower.name}.out")
            yield RingEnd(
                f"{lower.name}.wire",
                wiring.switch_place,
                lower.name,
                Kind.SENTINEL_NET,
                outgoing=True,
                observers={**out, PACKET_OUTGOING: f"{lower.name}.in"},
            )
    for name, place in wiring.outside_places.items():
        yield RingEnd(name, place, name, Kind.SENTINEL_NET)


def guest_end(wiring: Wiring, guest: Guest) -> RingEnd:
    """The ring that stands for a guest's tap."""
    return RingEnd(guest.name, wiring.guest_place(guest), guest.name, Kind.SENTINEL_TAP)


def _host_ends(topology: Topology, wiring: Wiring, lower: str) -> Iterator[RingEnd]:
    """The host's stack: bound to a protocol, a socket sees what macvlan has let pass."""
    protocols = {lower: ETHERTYPE_EXPERIMENTAL}
    if topology.router:
        protocols[f"{lower}.ipv4"] = ETHERTYPE_IPV4
    for name, protocol in protocols.items():
        mine = dict.fromkeys(range(PACKET_OTHERHOST), lower)
        yield RingEnd(
            name,
            wiring.host_place,
            lower,
            Kind.SENTINEL_NET,
            protocol=protocol,
            only_index=wiring.index[lower],
            observers={**mine, PACKET_OTHERHOST: f"{lower}.otherhost"},
        )
