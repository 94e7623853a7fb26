"""Paths through macvtap.

a [tap]--.                         .-- external
         lower --[wire]-- switch --'
b [tap]--'
…
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace

from harness.bench.ends import End, EndKind, Path
from harness.bench.paths.making import (
    building,
    packet_ends,
    require_taps,
    source_addresses,
    tap_ends,
)
from harness.bench.paths.ready import ready_path
from harness.bench.paths.spec import PathSpec, Way
from harness.errors import UnfitError
from harness.kernel import links
from harness.kernel.engine import VHOST_NODE
from harness.kernel.features import probe
from harness.kernel.netns import NetNS
from harness.parts import External, Guest, Lower, LowerKind, Mode, Switch
from harness.testbed.wiring import Wiring
from harness.topology import Topology

__all__ = ["open_macvtap", "open_vhost"]

_VLAN = 5
_VLAN_INDEX = 50


def open_macvtap(spec: PathSpec) -> Path:
    """See open_path."""
    require_taps()
    _require_lower(spec.lower)
    with building() as undo:
        wiring = undo.enter_context(Wiring(_topology(spec)))
        wiring.build()
        ends = _ends(undo, spec, wiring)
        if spec.queue:
            wiring.host.rtnl.transact(
                links.set_queue_length(x.link, index=wiring.index[x.link], frames=spec.queue)
                for x in ends[1:]
            )
        namespaces = {"host": wiring.host, "switch": wiring.switch, **wiring.outside}
        return ready_path(undo, spec, ends, namespaces, sources=_sources(spec))


def open_vhost(spec: PathSpec) -> Path:
    """See open_path: bridge mode, and vhost-net between the taps and us."""
    try:
        os.close(os.open(VHOST_NODE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise UnfitError(
            f"{VHOST_NODE} cannot be opened ({error.strerror})",
            remedy="as root, load the module: modprobe vhost_net",
        ) from error
    path = open_macvtap(spec)
    path.a, path.b = (replace(end, kind=EndKind.VHOST) for end in (path.a, path.b))
    return path


def _require_lower(kind: LowerKind) -> None:
    """Raise UnfitError where this kernel has no such device."""
    missing = probe().missing
    if kind in missing:
        raise UnfitError(
            f"this kernel has no {kind} ({missing[kind]})",
            remedy=f"load the module: modprobe {'8021q' if kind is LowerKind.VLAN else kind}",
        )


def _topology(spec: PathSpec) -> Topology:
    lowers = [Lower(kind=LowerKind.VETH, mtu=spec.mtu)]
    if spec.lower is LowerKind.DUMMY:
        lowers = [Lower(kind=LowerKind.DUMMY, mtu=spec.mtu)]
    elif spec.lower is LowerKind.VLAN:
        lowers.append(Lower(name="tagged", kind=LowerKind.VLAN, parent="lower", vlan=_VLAN))
    first = {Way.EXTERNAL_TO_GUEST: "b"}.get(spec.way, "a")
    names = [first, *(["b"] if spec.way is Way.GUEST_TO_GUEST else [])]
    names += [f"g{i}" for i in range(len(names) + 1, spec.guests + 1)]
    guests = [_guest(spec, name, lowers[-1].name) for name in names]
    externals = () if spec.way is Way.GUEST_TO_GUEST else (External(),)
    return Topology(guests, lowers=lowers, switch=Switch(hairpin=spec.hairpin), externals=externals)


def _guest(spec: PathSpec, name: str, lower: str) -> Guest:
    mode = spec.mode if name == "a" else spec.receiver_mode
    listed = _sources(spec) if name == "b" and mode is Mode.SOURCE else ()
    return Guest(name, mode, lower, sources=listed)


def _sources(spec: PathSpec) -> tuple[str, ...]:
    """Addresses that frames come from; a guest in source mode hears nobody else."""
    wanted = spec.sources or int(spec.receiver_mode is Mode.SOURCE)
    return source_addresses(wanted)


def _ends(undo: ExitStack, spec: PathSpec, wiring: Wiring) -> list[End]:
    """Sender, receiver, further receivers."""
    guests = wiring.topology.guests
    ours = 2 if spec.way is Way.GUEST_TO_GUEST else 1
    opened = {guest.name: guest.mac for guest in guests[: ours + spec.listeners]}
    ends = tap_ends(undo, wiring.host, opened, spec)
    if spec.way is not Way.GUEST_TO_GUEST:
        name = "a" if spec.way is Way.EXTERNAL_TO_GUEST else "b"
        ends[name] = _external(undo, spec, wiring)
    return [ends.pop("a"), ends.pop("b"), *ends.values()]


def _external(undo: ExitStack, spec: PathSpec, wiring: Wiring) -> End:
    """The external host's link, or its VLAN device where the guests' lower device is one."""
    (name,) = wiring.outside
    ns: NetNS = wiring.outside[name]
    mac = wiring.topology.macs[name]
    link = name
    if spec.lower is LowerKind.VLAN:
        link = "tagged"
        parent = wiring.index[name]
        ns.rtnl.transact([links.add_vlan(link, index=_VLAN_INDEX, parent=parent, vlan=_VLAN)])
    (end,) = packet_ends(undo, {link: (ns, mac)}, spec)
    return end
