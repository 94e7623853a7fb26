"""What a client with a network stack gets through: made of the model's answers for its frames."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model import predict
from harness.stimulus import Stimulus
from harness.topology import Topology

__all__ = ["Reach", "reaches"]


@dataclass(frozen=True)
class Reach:
    """Whether a client is answered; `why` says which of its frames does not arrive, and where."""

    ok: bool
    why: str = ""


def reaches(topology: Topology, station: str, other: str) -> Reach:
    """Whether an IPv4 client in `station` is answered by `other`, whom it does not know yet.

    ARP asks by broadcast and is answered by unicast (RFC 826); then unicast goes both ways.
    """
    asked = predict(topology, Stimulus(station, "broadcast")).arrivals[other]
    if not asked:
        there = predict(topology, Stimulus(station, other)).arrivals[other]
        but = ", though unicast would" if there else ""
        return Reach(ok=False, why=f"ARP asks by broadcast, and that does not reach {other}{but}")
    for sender, to, what in ((other, station, "the answer"), (station, other, "unicast")):
        if not predict(topology, Stimulus(sender, to)).arrivals[to]:
            return Reach(ok=False, why=f"{what} does not reach {to}")
    return Reach(ok=True)
