"""Lower devices and the host's own stack on them: net/core/dev.c, net/8021q."""

from __future__ import annotations

from harness.frames import Frame, Tag
from harness.model import macvlan
from harness.model.rules import Rule
from harness.model.walk import Hop, Walk
from harness.parts import LowerKind, is_multicast

__all__ = ["receive", "transmit"]


def transmit(walk: Walk, name: str, frame: Frame) -> None:
    """A lower device transmits: onto the wire, into its parent, or nowhere."""
    lower = walk.topology.lower(name)
    carrier = lower.up and walk.topology.has_carrier(name)
    if not walk.decide(name, Rule.CARRIER, carrier):
        return
    if lower.kind is LowerKind.VLAN:
        walk.note(name, f"puts on tag {lower.vlan}")
        walk.put(Hop.LOWER_TX, lower.parent, frame.tagged(Tag(lower.vlan or 0)))
    elif walk.decide(name, Rule.WIRED, lower.kind is LowerKind.VETH, "it is a {}", lower.kind):
        if lower.kind is LowerKind.VETH:  # an inverted rule cannot give a dummy a wire
            walk.arrive(f"{name}.out", frame)
            walk.put(Hop.PORT_RX, name, frame)


def receive(walk: Walk, name: str, frame: Frame) -> None:
    """__netif_receive_skb_core: vlan devices first, then macvlan, then the stack."""
    for vlan in walk.topology.vlans_on(name):
        outer = frame.tags[0] if frame.tags else None
        takes = outer == Tag(vlan.vlan or 0)
        if walk.decide(vlan.name, Rule.VLAN_RECEIVE, takes, "tag {}", outer and outer.vid):
            walk.put(Hop.LOWER_RX, vlan.name, frame.untagged())
            return
    if macvlan.receive(walk, name, frame):
        _stack(walk, name, frame)


def _stack(walk: Walk, name: str, frame: Frame) -> None:
    if len(frame.tags) > 1:
        walk.note(name, "a second tag: no protocol takes the frame")
        return
    # On a vlan device eth_type_trans has already taken place on its parent.
    macs, parent = walk.topology.macs, walk.topology.lower(name).parent
    mine = is_multicast(frame.dst) or frame.dst in (macs[name], macs[parent or name])
    for_host = walk.decide(name, Rule.HOST_ADDRESS, mine, "destination {}", frame.dst)
    if walk.decide(name, Rule.HOST_TAGGED, bool(frame.tags)):
        for_host = False
    # The tag is taken off all the same (__vlan_hwaccel_clear_tag).
    walk.arrive(name if for_host else f"{name}.otherhost", frame.untagged())
