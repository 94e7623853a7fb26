"""What the documentation promises about forwarding, as data.

A promise says, for the stimuli it applies to, who must and who must not receive the frame.
It is held against the kernel like the model is; where the kernel keeps to the model but not
to a promise, that is "documented otherwise": shown and counted, not a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.frames import ETHERTYPE_IPV4
from harness.parts import BROADCAST_MAC, Guest, LowerKind, Mode, Switch
from harness.stimulus import UNKNOWN, Stimulus, frame_of
from harness.topology import Topology

__all__ = ["PROMISES", "Expectation", "Promise", "promises_for"]

_GUIDE = "virtualization guide, 17.12 Attaching a virtual NIC directly to a physical interface"
_LIBVIRT = "libvirt, formatdomain: direct attachment to physical interface"
_IPROUTE2 = "iproute2, ip-link(8), MACVLAN and MACVTAP type support"

Expectation = Mapping[str, bool]
"""Observer name to whether it must receive at least one copy."""


@dataclass(frozen=True)
class Promise:
    """One statement of the documentation.

    `text` is what it says in our words. `expects` is None where the promise does not apply to
    the stimulus, else who must receive (True) and who must not (False).
    """

    id: str
    text: str
    source: str
    section: str
    expects: Callable[[Topology, Stimulus], Expectation | None]

    def kept(self, topology: Topology, stimulus: Stimulus, received: Mapping[str, int]) -> bool:
        """Whether `received` (observer to copies) is what the promise says, where it applies."""
        expected = self.expects(topology, stimulus) or {}
        return all(bool(received[name]) is must for name, must in expected.items())


def _flow(topology: Topology, stimulus: Stimulus) -> tuple[Guest, Guest] | None:
    """Sender and target when both are guests on one wired lower device and the frame is honest."""
    guests = {g.name: g for g in topology.guests}
    sender, target = guests.get(stimulus.sender), guests.get(stimulus.to)
    if not sender or not target or sender is target or sender.lower != target.lower:
        return None
    plain = not (stimulus.source or stimulus.tag) and sender.up and target.up
    no_source_mode = Mode.SOURCE not in {g.mode for g in topology.guests}
    applies = plain and no_source_mode and _wired(topology, sender)
    return (sender, target) if applies and not _switch(topology, sender).vlan_filtering else None


def _wired(topology: Topology, guest: Guest) -> bool:
    """Whether the guest has a wire at all, and its link a carrier."""
    wired = topology.root_of(guest.lower).kind is LowerKind.VETH
    return wired and topology.has_carrier(guest.lower)


def _switch(topology: Topology, guest: Guest) -> Switch:
    """The switch that a guest with a wire is behind."""
    return topology.switch_of(topology.root_of(guest.lower).name)


def _reaches(topology: Topology, station: str, guest: Guest) -> bool:
    """Whether the switch of `guest` brings unicast to the station's port at all."""
    port, filtering = topology.port(station), _switch(topology, guest).vlan_filtering
    return _joined(topology, station, guest) and (port.learning or port.flood) and not filtering


def _joined(topology: Topology, station: str, guest: Guest) -> bool:
    """Whether the station is plugged into the switch of `guest`, and has a carrier."""
    same = topology.switch_of(station) is _switch(topology, guest)
    return same and topology.has_carrier(station)


def _hairpin(topology: Topology, guest: Guest) -> bool:
    return bool(topology.port(topology.root_of(guest.lower).name).hairpin)


def _out(topology: Topology, guest: Guest) -> str:
    return f"{topology.root_of(guest.lower).name}.out"


def _external(topology: Topology, stimulus: Stimulus) -> Expectation | None:
    """S1: attached directly to the physical interface: the outside is reached."""
    guests = {g.name: g for g in topology.guests}
    externals = {x.name for x in topology.externals}
    if stimulus.source or stimulus.tag or stimulus.via:
        return None
    for inside, outside in ((stimulus.sender, stimulus.to), (stimulus.to, stimulus.sender)):
        guest = guests.get(inside)
        if not guest or outside not in externals or not guest.up or guest.mode is Mode.SOURCE:
            continue
        incoming = stimulus.to == inside
        if not _wired(topology, guest) or (incoming and not _untagged(topology, guest)):
            return None
        target = topology.root_of(guest.lower).name if incoming else outside
        joined = _joined(topology, outside, guest) and _reaches(topology, target, guest)
        consumed = any(topology.macs[stimulus.sender] in g.sources for g in topology.guests)
        return {stimulus.to: True} if joined and not consumed else None
    return None


def _untagged(topology: Topology, guest: Guest) -> bool:
    return topology.lower(guest.lower).kind is LowerKind.VETH


def _vepa_out(topology: Topology, stimulus: Stimulus) -> Expectation | None:
    guest = next((g for g in topology.guests if g.name == stimulus.sender), None)
    if not guest or guest.mode is not Mode.VEPA or not guest.up:
        return None
    return {_out(topology, guest): True} if _wired(topology, guest) else None


def _vepa_reflected(topology: Topology, stimulus: Stimulus) -> Expectation | None:
    flow = _flow(topology, stimulus)
    if not flow or stimulus.via or {g.mode for g in flow} - {Mode.VEPA}:
        return None
    return {stimulus.to: _hairpin(topology, flow[0]), _out(topology, flow[0]): True}


def _bridge_direct(topology: Topology, stimulus: Stimulus) -> Expectation | None:
    flow = _flow(topology, stimulus)
    if not flow or stimulus.via or {g.mode for g in flow} != {Mode.BRIDGE}:
        return None
    return {stimulus.to: True, _out(topology, flow[0]): False}


def _bridge_with_vepa(topology: Topology, stimulus: Stimulus) -> Expectation | None:
    flow = _flow(topology, stimulus)
    if not flow or stimulus.via or {g.mode for g in flow} != {Mode.BRIDGE, Mode.VEPA}:
        return None
    return {stimulus.to: _hairpin(topology, flow[0])}


def _private_kept_apart(topology: Topology, stimulus: Stimulus) -> Expectation | None:
    flow = _flow(topology, stimulus)
    if not flow or stimulus.via or Mode.PRIVATE not in {g.mode for g in flow}:
        return None
    return {stimulus.to: False}


def _private_out(topology: Topology, stimulus: Stimulus) -> Expectation | None:
    guest = next((g for g in topology.guests if g.name == stimulus.sender), None)
    if not guest or guest.mode is not Mode.PRIVATE or not guest.up:
        return None
    return {_out(topology, guest): True} if _wired(topology, guest) else None


def _private_not_by_reflection(topology: Topology, stimulus: Stimulus) -> Expectation | None:
    guest = next((g for g in topology.guests if g.name == stimulus.sender), None)
    if not guest or guest.mode is not Mode.PRIVATE or stimulus.source or stimulus.tag:
        return None
    if frame_of(topology, stimulus).dst != BROADCAST_MAC:
        return None
    return {g.name: False for g in topology.guests_on(guest.lower) if g.mode is not Mode.SOURCE}


def _private_by_router(topology: Topology, stimulus: Stimulus) -> Expectation | None:
    flow = _flow(topology, stimulus)
    if not flow or not stimulus.via or Mode.PRIVATE not in {g.mode for g in flow}:
        return None
    if not _untagged(topology, flow[0]) or not _reaches(topology, stimulus.via, flow[0]):
        return None  # the router is in no VLAN
    if frame_of(topology, stimulus).ethertype != ETHERTYPE_IPV4:
        return None
    return {stimulus.to: True}


def _passthru_guest(topology: Topology, name: str) -> Guest | None:
    return next(
        (g for g in topology.guests if g.name == name and g.mode is Mode.PASSTHRU and g.up), None
    )


def _passthru_out(topology: Topology, stimulus: Stimulus) -> Expectation | None:
    guest = _passthru_guest(topology, stimulus.sender)
    if not guest or not _wired(topology, guest):
        return None
    return {_out(topology, guest): True}


def _passthru_in(topology: Topology, stimulus: Stimulus) -> Expectation | None:
    """S5: the device belongs to the guest: what reaches it reaches the guest."""
    outside = {x.name for x in topology.externals}
    guests = [g for g in topology.guests if g.mode is Mode.PASSTHRU and g.up]
    if stimulus.sender not in outside or stimulus.source or stimulus.tag or len(guests) != 1:
        return None
    guest = guests[0]
    aimed = stimulus.to in (guest.name, guest.lower, UNKNOWN)
    if not aimed or not _untagged(topology, guest) or not _wired(topology, guest):
        return None
    if not _joined(topology, stimulus.sender, guest) or _switch(topology, guest).vlan_filtering:
        return None
    floods = all(topology.port(x).flood for x in topology.plugged())
    return {guest.name: True} if floods else None


PROMISES: tuple[Promise, ...] = (
    Promise(
        "S1-external",
        "A guest attached to a physical interface exchanges frames with hosts behind it.",
        _GUIDE,
        "17.12",
        _external,
    ),
    Promise(
        "S2-all-out",
        "Every frame of a VEPA guest goes to the external switch.",
        _GUIDE,
        "17.12, delivery modes: VEPA",
        _vepa_out,
    ),
    Promise(
        "S2-reflected",
        "VEPA guests of one host reach each other only if the switch sends the frame back.",
        _GUIDE,
        "17.12, delivery modes: VEPA",
        _vepa_reflected,
    ),
    Promise(
        "S3-direct",
        "Between two guests in bridge mode a frame is delivered directly, not by the switch.",
        _GUIDE,
        "17.12, delivery modes: bridge",
        _bridge_direct,
    ),
    Promise(
        "S3-either-vepa",
        "If either of the two is in VEPA mode, a hairpin-capable switch is needed.",
        _GUIDE,
        "17.12, delivery modes: bridge",
        _bridge_with_vepa,
    ),
    Promise(
        "S4-all-out",
        "Every frame of a private guest goes to the external switch.",
        _GUIDE,
        "17.12, delivery modes: private",
        _private_out,
    ),
    Promise(
        "S4-router-only",
        "If sender or target is private, a guest of the same host gets the frame only through "
        "an external router or gateway.",
        _GUIDE,
        "17.12, delivery modes: private",
        _private_kept_apart,
    ),
    Promise(
        "S4-by-router",
        "Through an external router or gateway a private guest is reached.",
        _GUIDE,
        "17.12, delivery modes: private",
        _private_by_router,
    ),
    Promise(
        "libvirt-private-broadcast",
        "A private guest's frame that is only reflected is delivered to no guest of its host.",
        _LIBVIRT,
        "private",
        _private_not_by_reflection,
    ),
    Promise(
        "iproute2-private",
        "Private mode allows no communication on one physical interface, even if the switch "
        "supports hairpin.",
        _IPROUTE2,
        "mode private",
        _private_kept_apart,
    ),
    Promise(
        "S5-all-out",
        "Everything that a passthrough guest sends goes to its device.",
        _GUIDE,
        "17.12, delivery modes: passthrough",
        _passthru_out,
    ),
    Promise(
        "S5-all-in",
        "The device serves its single guest: unicast that reaches the device reaches the guest.",
        _GUIDE,
        "17.12, delivery modes: passthrough",
        _passthru_in,
    ),
)


def promises_for(topology: Topology, stimulus: Stimulus) -> tuple[Promise, ...]:
    """The promises that say something about this stimulus."""
    return tuple(p for p in PROMISES if p.expects(topology, stimulus) is not None)
