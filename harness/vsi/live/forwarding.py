"""Who gets a frame: only associated VSIs send and receive, each in its VLAN.

    from a port     its source and tag must be those of an associated VSI
    to a port       where the destination is associated in that VLAN, with the tag of its filter;
                    a group goes to each port with a VSI in that VLAN
    back            only where reflective relay is agreed upon and the VSI's type is allowed it
    uplink          a trunk: VLAN 0 without a tag, others with an 802.1Q tag

A filter without an address (VID, group and VID) stands for every address: what nobody else has goes
there. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.vsi.bridge import Bridge
from harness.vsi.vdp_machine import VsiState

__all__ = ["FORWARDED", "REFLECTED", "Forwarder", "Forwarding"]

FORWARDED = "forwarded"
REFLECTED = "reflected"

_HEADER = 14
_TAG = 4
_TAGGED = b"\x81\x00"
_RESERVED = bytes.fromhex("0180c20000")
_LAST_RESERVED = 0x0F
_VID = 0xFFF
_MOST_KNOWN = 4096  # decisions
_Key = tuple[bytes, int]
_Forms = frozenset[bool]
"""Of a frame to a port: with a tag, without, or one of each."""
_NO_FORM: _Forms = frozenset()


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What becomes of a frame: `fate` as in Passed, and what is sent where."""

    fate: str
    sent: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class _Members:
    """Who is behind a port, as of its bridge's `changes`."""

    changes: int = -1
    addresses: dict[_Key, _Forms] = field(default_factory=dict)
    anyone: dict[int, _Forms] = field(default_factory=dict)
    vlans: dict[int, _Forms] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Decision:
    """For all frames of the same addresses and tag: to which ports, and whether with a tag."""

    fate: str
    vlan: int = 0
    sent: tuple[tuple[str, bool], ...] = ()


_SHORT = "dropped: shorter than a header"
_LINK_LOCAL = "dropped: for the nearest bridge only (01-80-C2-00-00-0x)"
_VID_RESERVED = "dropped: VID 4095 is reserved"
_FROM_GROUP = "dropped: its source is a group address"
_UNASSOCIATED = "dropped: its source is not associated"
_NOBODY = "dropped: nobody has the destination"
_NOT_REFLECTED = "dropped: it would go back, and reflective relay is off for it"


class Forwarder:
    """Between the ports of one switch. `uplink` is a port without a bridge."""

    def __init__(self, bridges: Mapping[str, Bridge], uplink: str | None = None) -> None:
        self._uplink = uplink
        self._bridges: dict[str, Bridge] = {}
        self._members: dict[str, _Members] = {}
        self._known: dict[tuple[str, bytes], _Decision] = {}
        self._version = 0
        for port, bridge in bridges.items():
            self.set_bridge(port, bridge)

    def set_bridge(self, port: str, bridge: Bridge) -> None:
        """The port has another bridge from now on."""
        self._bridges[port] = bridge
        self._members[port] = _Members()
        self._known.clear()

    def forward(self, port: str, frame: bytes) -> Forwarding:
        """What becomes of a frame that came in at `port`, and is not the bridge's own."""
        tagged = frame[12:14] == _TAGGED
        head = _HEADER + _TAG if tagged else _HEADER
        if len(frame) < head:
            return Forwarding(_SHORT)
        known = self._known
        version = 0
        for bridge in self._bridges.values():
            version += bridge.changes
        if version != self._version or len(known) > _MOST_KNOWN:
            known.clear()
            self._version = version
        key = (port, frame[: head - 2])
        decision = known.get(key)
        if decision is None:
            vid = int.from_bytes(frame[14:16], "big") & _VID if tagged else 0
            decision = known[key] = self._decide(port, frame[:6], frame[6:12], vid)
        vlan = decision.vlan
        return Forwarding(
            decision.fate, tuple([(name, _shaped(frame, vlan, x)) for name, x in decision.sent])
        )

    def _decide(self, port: str, dst: bytes, src: bytes, vid: int) -> _Decision:
        if dst[:5] == _RESERVED and dst[5] <= _LAST_RESERVED:
            return _Decision(_LINK_LOCAL)
        if vid == _VID:
            return _Decision(_VID_RESERVED)
        if src[0] & 1:
            return _Decision(_FROM_GROUP)
        if port == self._uplink:
            return self._spread(port, dst, vid, back=False)
        bridge = self._bridges[port]
        vlan = bridge.vlan(src, vid)
        if vlan is None:
            return _Decision(_UNASSOCIATED)
        return self._spread(port, dst, vlan, back=bridge.reflects(src, vid))

    def _spread(self, port: str, dst: bytes, vlan: int, *, back: bool) -> _Decision:
        """To all that have its destination in `vlan`."""
        outside = True
        if dst[0] & 1:
            found = self._where(lambda members: members.vlans.get(vlan, _NO_FORM))
        else:
            key = (dst, vlan)
            found = self._where(lambda members: members.addresses.get(key, _NO_FORM))
            outside = not found
            if not found:
                found = self._where(lambda members: members.anyone.get(vlan, _NO_FORM))
        sent: list[tuple[str, bool]] = []
        for name, forms in found:
            if name != port or back:
                sent += [(name, tagged) for tagged in sorted(forms)]
        if self._uplink is not None and self._uplink != port and outside:
            sent.append((self._uplink, bool(vlan)))
        if not sent:
            return _Decision(_NOT_REFLECTED if found else _NOBODY)
        reflected = any(name == port for name, _ in sent)
        return _Decision(REFLECTED if reflected else FORWARDED, vlan, tuple(sent))

    def _where(self, forms_of: Callable[[_Members], _Forms]) -> list[tuple[str, _Forms]]:
        found = []
        for name, bridge in self._bridges.items():
            members = self._members[name]
            if members.changes != bridge.changes:
                members = self._members[name] = _members(bridge)
            if forms := forms_of(members):
                found.append((name, forms))
        return found


def _members(bridge: Bridge) -> _Members:
    """All that is associated at a bridge, by what finds it."""
    members = _Members(bridge.changes)
    for entry in bridge.vsis:
        machine = entry.machine
        if machine.state is not VsiState.ASSOCIATED or machine.granted is None:
            continue
        for one in machine.granted.filters:
            vlan = entry.vlan_of(one.vid)
            form = frozenset((bool(one.vid),))
            for known in (members.vlans, *([] if one.mac else [members.anyone])):
                known[vlan] = known.get(vlan, _NO_FORM) | form
            if one.mac:
                key = (one.mac, vlan)
                members.addresses[key] = members.addresses.get(key, _NO_FORM) | form
    return members


def _shaped(frame: bytes, vlan: int, tagged: bool) -> bytes:  # noqa: FBT001
    """The frame with the tag of `vlan`, or without one; a priority that it had is kept in a tag."""
    has_tag = frame[12:14] == _TAGGED
    if not tagged:
        return frame[:12] + frame[16:] if has_tag else frame
    priority = int.from_bytes(frame[14:16], "big") & ~_VID if has_tag else 0
    tag = _TAGGED + (priority | vlan).to_bytes(2, "big")
    return frame[:12] + tag + (frame[16:] if has_tag else frame[12:])
