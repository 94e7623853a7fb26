"""Two guests on a link whose switch is not ours: what arrives, and what that says of the switch."""

from __future__ import annotations

import os
from dataclasses import dataclass

from harness.errors import UnfitError
from harness.frames import Frame, Kind, payload
from harness.guests.existing import ExistingHost
from harness.guests.host import RealGuest, Wanted
from harness.guests.nic import DirectInterface
from harness.guests.tiny.answers import Stop
from harness.kernel import links
from harness.kernel.linkstate import LinkState, link_state
from harness.kernel.netns import NetNS
from harness.model import predict
from harness.model.clients import reaches
from harness.parts import BROADCAST_MAC, Guest, Mode, Switch
from harness.stimulus import Stimulus
from harness.topology import Topology

__all__ = ["Trial", "TrialRow", "ready_link", "try_link"]

_MODES = (Mode.BRIDGE, Mode.VEPA, Mode.PRIVATE)
_ADDRESSES = {"a": "169.254.104.1/16", "b": "169.254.104.2/16"}  # RFC 3927: of this link only
_ARRIVES_WITHIN = 1.0  # seconds; no sentinel can prove that nothing comes from a switch not ours


@dataclass(frozen=True)
class TrialRow:
    """One mode: what arrived, what the model says of a switch like this, what is not as asked."""

    mode: Mode
    frame: bool
    broadcast: bool
    ping: bool
    predicted: tuple[bool, bool, bool]
    unlike: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether everything is as predicted and as asked for."""
        return (self.frame, self.broadcast, self.ping) == self.predicted and not self.unlike


@dataclass(frozen=True)
class Trial:
    """What came of two guests on a link. `reflects`: the switch sends back what came from it.

    `changed` says in what the link is not as it was before.
    """

    link: str
    libvirt: str
    reflects: bool
    rows: tuple[TrialRow, ...]
    changed: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether all of it is as predicted, and the link as it was."""
        return all(row.agrees for row in self.rows) and not self.changed


def ready_link(ns: NetNS, link: str) -> LinkState:
    """The link as it is, once it is sure that two macvtaps can be put on it.

    Raises UnfitError otherwise: what the kernel would say of it (macvlan_common_newlink) is
    "Invalid argument" or "Device or resource busy".
    """
    there = {name: link_state(ns, name) for name in _names(ns)}
    state = there.get(link)
    if state is None:
        others = ", ".join(sorted(there.keys() - {"lo"})) or "none"
        raise UnfitError(f"there is no link {link} here", remedy=f"there are: {others}")
    if not state.up:
        raise UnfitError(f"{link} is down", remedy=f"ip link set {link} up")
    for other in there.values():
        if other.index == state.master:
            raise UnfitError(
                f"{link} is a port of {other.name}, and a port cannot carry macvtaps",
                remedy=f"use another link, or connect the guests to {other.name}",
            )
        alone = other.macvtap is not None and other.macvtap.mode is Mode.PASSTHRU
        if alone and other.lower == state.index and other.lower_netnsid is None:
            raise UnfitError(
                f"{other.name}, in passthru mode, has {link} for itself",
                remedy="use another link, or stop the guest that has it",
            )
    return state


def _names(ns: NetNS) -> list[str]:
    return [found.get_attr("IFLA_IFNAME") for found in ns.rtnl.links()]


def try_link(host: ExistingHost, link: str) -> Trial:
    """Two guests on `link`, in each mode that leaves the link usable to others.

    Not passthrough, which gives the link's address to the guest. Raises UnfitError when the link
    can carry no macvtap, LibvirtError when the guests are refused, GuestError when they do not
    come up.
    """
    before = ready_link(host.ns, link)
    wanted = [
        Wanted(
            f"hairpin-{os.getpid()}-{name}",
            (DirectInterface(source=link, mode=_MODES[0], model="virtio"),),
        )
        for name in _ADDRESSES
    ]
    a, b = host.start_all(wanted)
    for guest, address in zip((a, b), _ADDRESSES.values(), strict=True):
        guest.agent.change(guest.nic, up=True, address=address)
    seen = []
    for mode in _MODES:
        for guest in (a, b):
            _set_mode(host.ns, guest, mode)
        found = (_arrives(a, b), _arrives(a, b, broadcast=True), _answers(a))
        seen.append((mode, found, tuple(_unlike(guest, mode) for guest in (a, b))))
    version = ".".join(map(str, host.connection.version))
    for guest in (a, b):
        guest.close()
    reflects = next(found[0] for mode, found, _ in seen if mode is Mode.VEPA)
    return Trial(
        link,
        version,
        reflects,
        tuple(
            TrialRow(mode, *found, _predicted(mode, reflects=reflects), tuple(filter(None, unlike)))
            for mode, found, unlike in seen
        ),
        tuple(_changes(before, link_state(host.ns, link))),
    )


def _set_mode(ns: NetNS, guest: RealGuest, mode: Mode) -> None:
    link = guest.seen().link
    request = links.change_guest(Guest(link.name, mode), index=link.index)
    ns.rtnl.transact([request])


def _unlike(guest: RealGuest, mode: Mode) -> str:
    there = guest.seen().mode
    return "" if there is mode else f"{guest.links[0]} is in mode {there}"


def _arrives(a: RealGuest, b: RealGuest, *, broadcast: bool = False) -> bool:
    """Whether a frame of a's comes to b, whom it is sent to."""
    source, target = a.agent.hello.nics[0], b.agent.hello.nics[0]
    body = payload(Kind.STIMULUS, os.getpid())
    frame = Frame(BROADCAST_MAC if broadcast else target.mac, source.mac, payload=body).to_bytes()
    with b.agent.capture(target.name) as capture:
        a.agent.send(source.name, [frame])
        return capture.read(tail=body, seconds=_ARRIVES_WITHIN).stop is Stop.TAIL


def _answers(a: RealGuest) -> bool:
    a.agent.change(a.nic, flush=True)
    return a.agent.ping(_ADDRESSES["b"].partition("/")[0]).ok


def _predicted(mode: Mode, *, reflects: bool) -> tuple[bool, bool, bool]:
    topology = Topology([Guest("a", mode), Guest("b", mode)], switch=Switch(hairpin=reflects))
    arrives = [
        bool(predict(topology, Stimulus("a", to)).arrivals["b"]) for to in ("b", "broadcast")
    ]
    return arrives[0], arrives[1], reaches(topology, "a", "b").ok


def _changes(before: LinkState, after: LinkState) -> list[str]:
    return [
        f"{what}: {getattr(before, what)} before, {getattr(after, what)} now"
        for what in ("mac", "mtu", "up", "promiscuity", "master")
        if getattr(before, what) != getattr(after, what)
    ]
