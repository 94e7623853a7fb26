"""Who sends which frame to whom."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.errors import StimulusError
from harness.frames import ETHERTYPE_IPV4, Frame, Kind, Tag, ipv4_payload, payload
from harness.parts import BROADCAST_MAC, UNKNOWN_MAC, is_multicast, parse_mac
from harness.topology import Topology

__all__ = ["BROADCAST", "UNKNOWN", "Stimulus", "frame_of"]

BROADCAST = "broadcast"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Stimulus:
    """One frame to send.

    `sender` is a station. `to` is a station, BROADCAST, UNKNOWN (a unicast address nobody has)
    or a MAC address. `source` is the source MAC when it is not the sender's own: a station
    whose address is stolen, or a MAC. `via` is the router: the frame goes to the router's MAC
    and carries IPv4 for `to`. `tag` is a VLAN tag that the sender itself puts on.
    """

    sender: str
    to: str
    source: str = field(default="", kw_only=True)
    via: str = field(default="", kw_only=True)
    tag: Tag | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        parts = [f"{self.sender} → {self.to}"]
        if self.source:
            parts.append(f"as {self.source}")
        if self.via:
            parts.append(f"via {self.via}")
        if self.tag:
            parts.append(f"tag {self.tag.tpid:04x}/{self.tag.vid}")
        return " ".join(parts)


def _mac_of(topology: Topology, word: str, what: str) -> str:
    if word in topology.macs:
        return topology.macs[word]
    if word in (BROADCAST, UNKNOWN):
        return BROADCAST_MAC if word == BROADCAST else UNKNOWN_MAC
    try:
        return parse_mac(word)
    except ValueError:
        stations = ", ".join(topology.macs)
        raise StimulusError(
            f"{what} {word!r} is nobody; "
            f"allowed: {stations}, {BROADCAST}, {UNKNOWN} or a MAC address"
        ) from None


def frame_of(topology: Topology, stimulus: Stimulus) -> Frame:
    """The frame that `stimulus` puts on its way, ident 0.

    Raises StimulusError when sender, target, source or router do not exist in `topology`, the
    source is a group address, or the VLAN id is not 1 to 4094.
    """
    if stimulus.sender not in topology.macs:
        raise StimulusError(
            f"sender {stimulus.sender!r} is nobody; allowed: {', '.join(topology.macs)}"
        )
    source = _mac_of(topology, stimulus.source or stimulus.sender, "source")
    if is_multicast(source):
        raise StimulusError(f"source {source} is a group address; allowed: a unicast MAC")
    if stimulus.tag and not 1 <= stimulus.tag.vid <= 4094:
        raise StimulusError(f"tag {stimulus.tag.vid} is no VLAN id; allowed: 1 to 4094")
    tags = (stimulus.tag,) if stimulus.tag else ()
    body = payload(Kind.STIMULUS)
    if not stimulus.via:
        return Frame(_mac_of(topology, stimulus.to, "target"), source, payload=body, tags=tags)
    if topology.router is None or stimulus.via != topology.router.name:
        raise StimulusError(f"no router {stimulus.via!r} in this topology")
    if stimulus.to not in topology.ips:
        raise StimulusError(
            f"{stimulus.to!r} has no IPv4 address; allowed: {', '.join(topology.ips)}"
        )
    packet = ipv4_payload(body, src=topology.ips[stimulus.sender], dst=topology.ips[stimulus.to])
    return Frame(topology.router.mac, source, ETHERTYPE_IPV4, packet, tags)
