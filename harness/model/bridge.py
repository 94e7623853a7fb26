"""The external switches: net/bridge, without STP and without multicast snooping."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from harness.frames import Frame, Tag
from harness.model.rules import Rule
from harness.model.walk import Hop, Walk
from harness.parts import BROADCAST_MAC, LowerKind, Port, Switch, is_multicast
from harness.topology import Topology

__all__ = ["behind", "primed", "receive", "send"]

_RESERVED_PREFIX = "01:80:c2:00:00:0"


@lru_cache(maxsize=4096)
def primed(topology: Topology, *, contrary: bool = False) -> Mapping[tuple[str, str, int], str]:
    """The FDB (switch, MAC, VLAN: port) when every station that can has just sent a frame.

    `contrary` turns the rule LEARN round.
    """
    fdb = {}
    silent = {g.name for g in topology.guests if not g.up}
    for station, mac in topology.macs.items():
        port, tag = behind(topology, station)
        if port is None or station in silent or not topology.has_carrier(port.to):
            continue
        switch = topology.switch_of(port.to)
        vid = _vid_of(switch, port, tag)
        if vid is not None and port.learning is not contrary:
            fdb[switch.name, mac, vid] = port.to
    return fdb


def behind(topology: Topology, station: str) -> tuple[Port | None, Tag | None]:
    """The port that `station` is behind, and the tag its frames carry there.

    The port is None for a station without a way to the switch (on a dummy).
    """
    lower = topology.guest(station).lower if topology.is_guest(station) else station
    tag = None
    if topology.is_lower(lower):
        root = topology.root_of(lower)
        if root.kind is LowerKind.DUMMY:
            return None, None
        if root.name != lower:
            tag = Tag(topology.lower(lower).vlan or 0)
        lower = root.name
    return topology.port(lower), tag


def _vid_of(switch: Switch, port: Port, tag: Tag | None) -> int | None:
    """VLAN of a frame entering by `port`: 0 when VLANs are not filtered, None when refused."""
    if not switch.vlan_filtering:
        return 0
    vid = tag.vid if tag and tag.tpid == 0x8100 else port.pvid
    return vid if vid == port.pvid or vid in port.vlans else None


def receive(walk: Walk, station: str, frame: Frame) -> None:
    """br_handle_frame and br_handle_frame_finish: a frame enters by the port of `station`."""
    topology = walk.topology
    switch = topology.switch_of(station)
    at = switch.name
    if not walk.decide(at, Rule.PORT_UP, topology.has_carrier(station), "port {}", station):
        return
    reserved = frame.dst.startswith(_RESERVED_PREFIX) and frame.dst[-1] != "0"
    if walk.decide(at, Rule.RESERVED_GROUP, reserved, "destination {}", frame.dst):
        return
    port = topology.port(station)
    vid = _vid_of(switch, port, frame.tags[0] if frame.tags else None)
    if switch.vlan_filtering:
        if not walk.decide(at, Rule.VLAN_INGRESS, vid is not None, "port {}", station):
            return
        frame = _without_vlan(frame)
    vid = vid or 0
    if walk.decide(at, Rule.LEARN, port.learning, "{} at port {}", frame.src, station):
        walk.fdb[at, frame.src, vid] = station
    if is_multicast(frame.dst):
        _flood(walk, station, vid, frame, Rule.FLOOD_GROUP)
        return
    out = walk.fdb.get((at, frame.dst, vid))
    where = "{} at port {}" if out else "{}"
    if walk.decide(at, Rule.FDB_HIT, out is not None, where, frame.dst, out) and out is not None:
        _forward(walk, station, out, vid, frame)
    else:
        _flood(walk, station, vid, frame, Rule.FLOOD_UNKNOWN)


def _without_vlan(frame: Frame) -> Frame:
    """A filtering bridge takes an 802.1Q tag for the VLAN; the outgoing port puts it back on."""
    return frame.untagged() if frame.tags and frame.tags[0].tpid == 0x8100 else frame


def _flood(walk: Walk, came_in: str, vid: int, frame: Frame, rule: Rule) -> None:
    switch = walk.topology.switch_of(came_in).name
    for out in walk.topology.stations_on[switch]:
        port = walk.topology.port(out)
        if rule is Rule.FLOOD_UNKNOWN:
            wanted = port.flood
        else:
            wanted = port.multicast_flood or frame.dst == BROADCAST_MAC
        if walk.decide(switch, rule, wanted, "port {}", out):
            _forward(walk, came_in, out, vid, frame)


def _forward(walk: Walk, came_in: str, out: str, vid: int, frame: Frame) -> None:
    """should_deliver and br_allowed_egress, then out of the port of `out`."""
    topology = walk.topology
    port = topology.port(out)
    switch = topology.switch_of(out)
    if came_in == out and not walk.decide(
        switch.name,
        Rule.HAIRPIN,
        bool(port.hairpin),
        "port {}, hairpin {}",
        out,
        "on" if port.hairpin else "off",
    ):
        return
    if not walk.decide(switch.name, Rule.PORT_UP, topology.has_carrier(out), "port {}", out):
        return
    if switch.vlan_filtering:
        member = vid == port.pvid or vid in port.vlans
        if not walk.decide(switch.name, Rule.VLAN_EGRESS, member, "port {}, VLAN {}", out, vid):
            return
        if vid != port.pvid:
            frame = frame.tagged(Tag(vid))
    walk.put(Hop.PORT_TX, out, frame)


def send(walk: Walk, station: str, frame: Frame) -> None:
    """The frame leaves the switch for `station`."""
    topology = walk.topology
    if topology.is_lower(station):
        walk.arrive(f"{station}.in", frame)
        walk.put(Hop.LOWER_RX, station, frame)
        return
    walk.arrive(station, frame)
    if topology.router and station == topology.router.name:
        walk.put(Hop.ROUTER_RX, station, frame)
