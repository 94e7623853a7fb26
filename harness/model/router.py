"""The router behind the switch: net/ipv4, one arm, forwarding only."""

from __future__ import annotations

from harness.frames import ETHERTYPE_IPV4, Frame, ipv4_destination, ipv4_forwarded, ipv4_ttl
from harness.model.rules import Rule
from harness.model.walk import Hop, Walk

__all__ = ["receive"]


def receive(walk: Walk, name: str, frame: Frame) -> None:
    """ip_rcv and ip_forward: TTL one less, the next hop's address, back out of the same port."""
    if frame.ethertype != ETHERTYPE_IPV4 or frame.tags:
        return
    topology = walk.topology
    mac = topology.macs[name]
    if not walk.decide(name, Rule.ROUTER_ADDRESS, frame.dst == mac, "destination {}", frame.dst):
        return
    ip = ipv4_destination(frame.payload)
    target = next((s for s, address in topology.ips.items() if address == ip), None)
    if not walk.decide(
        name, Rule.ROUTER_FORWARD, target not in (None, name), "to {}", target or ip
    ):
        return
    if ipv4_ttl(frame.payload) <= 1:
        walk.note(name, "its time to live is over (ip_forward)")
        return
    onward = Frame(
        topology.macs[target or name], mac, ETHERTYPE_IPV4, ipv4_forwarded(frame.payload)
    )
    walk.put(Hop.PORT_RX, name, onward)
