"""What shares a lower device as macvtap does, and is none: macvlan, ipvlan, ipvtap.

    a [macvlan]--.                 a [ipvlan]--.
                 lower                         lower
    b [macvlan]--'                 b [ipvlan]--'

ipvlan's all have the lower device's address, and tell each other apart by IP address.
"""

from __future__ import annotations

import errno
from contextlib import ExitStack

from harness.bench.ends import Path
from harness.bench.paths.making import building, guest_mac, guest_names, packet_ends, tap_ends
from harness.bench.paths.ready import ready_path
from harness.bench.paths.spec import PathSpec
from harness.errors import KernelError, UnfitError
from harness.kernel import links
from harness.kernel.engine import SOURCE_IP, TARGET_IP
from harness.kernel.features import probe, require
from harness.kernel.netns import NetNS
from harness.parts import Lower
from harness.testbed.wiring import Wiring
from harness.topology import Topology

__all__ = ["open_ipvlan", "open_ipvtap", "open_macvlan"]

_FIRST = 100
_MACVLAN_MODE_BRIDGE = 4
_IPVLAN_MODE_L2 = 0
_IPVLAN = (("IFLA_IPVLAN_MODE", _IPVLAN_MODE_L2),)


def open_macvlan(spec: PathSpec) -> Path:
    """See open_path: macvlans in bridge mode, each in a container's namespace."""
    with building() as undo:
        wiring, rooms = _lower(undo, spec), _rooms(undo)
        mode = (("IFLA_MACVLAN_MODE", _MACVLAN_MODE_BRIDGE),)
        opened = {}
        for at, name in enumerate(guest_names(spec)):
            room, mac = rooms.get(name, rooms["others"]), guest_mac(at)
            _add(wiring, spec, name, mode, (("IFLA_ADDRESS", mac),), index=_FIRST + at, room=room)
            if at < 2 + spec.listeners:
                opened[name] = room, mac
        ends = packet_ends(undo, opened, spec)
        return ready_path(undo, spec, ends, {**_namespaces(wiring), **rooms})


def open_ipvlan(spec: PathSpec) -> Path:
    """See open_path: ipvlans in L2 mode, each in a container's namespace."""
    with building() as undo:
        wiring, rooms = _lower(undo, spec), _rooms(undo)
        mac = wiring.topology.macs["lower"]
        for room in rooms.values():
            # So that the stack behind the end drops what comes, and does not answer.
            room.sysctl("net.ipv4.conf.all.rp_filter", "1")
        opened = {}
        for at, name in enumerate(guest_names(spec)):
            room, index = rooms.get(name, rooms["others"]), _FIRST + at
            _add(wiring, spec, name, _IPVLAN, index=index, room=room)
            room.rtnl.transact([links.add_address(_ip(at), 32, index=index)])
            if at < 2 + spec.listeners:
                opened[name] = room, mac
        ends = packet_ends(undo, opened, spec)
        return ready_path(undo, spec, ends, {**_namespaces(wiring), **rooms})


def open_ipvtap(spec: PathSpec) -> Path:
    """See open_path: ipvtaps in L2 mode, and their taps."""
    with building() as undo:
        wiring = _lower(undo, spec)
        host, mac = wiring.host, wiring.topology.macs["lower"]
        names = guest_names(spec)
        for at, name in enumerate(names):
            index = _FIRST + at
            _add(wiring, spec, name, _IPVLAN, index=index, room=host)
            requests = [links.add_address(_ip(at), 32, index=index)]
            if spec.queue:
                requests.append(links.set_queue_length(name, index=index, frames=spec.queue))
            host.rtnl.transact(requests)
        opened = dict.fromkeys(names[: 2 + spec.listeners], mac)
        ends = tap_ends(undo, host, opened, spec, kind=spec.carrier)
        return ready_path(undo, spec, list(ends.values()), _namespaces(wiring))


def _lower(undo: ExitStack, spec: PathSpec) -> Wiring:
    """A lower device that is plugged into a switch, nothing on it yet."""
    require(probe())
    wiring = undo.enter_context(Wiring(Topology(lowers=[Lower(mtu=spec.mtu)], externals=())))
    wiring.build()
    return wiring


def _rooms(undo: ExitStack) -> dict[str, NetNS]:
    """A namespace for the sender, one for the receiver, one for all others."""
    return {name: undo.enter_context(NetNS.create()) for name in ("a", "b", "others")}


def _namespaces(wiring: Wiring) -> dict[str, NetNS]:
    return {"host": wiring.host, "switch": wiring.switch}


def _ip(at: int) -> str:
    """The sender's address, the receiver's, anybody else's."""
    return (SOURCE_IP, TARGET_IP)[at] if at < 2 else f"198.18.{128 + (at >> 8)}.{at & 0xFF}"


def _add(
    wiring: Wiring,
    spec: PathSpec,
    name: str,
    data: links.Asked,
    attributes: links.Asked = (),
    *,
    index: int,
    room: NetNS,
) -> None:
    """A link of the path's kind on the lower device, in `room`, up."""
    kind = spec.carrier
    if room is not wiring.host:
        attributes = (*attributes, ("IFLA_NET_NS_FD", room.fd))
    lower = wiring.index["lower"]
    request = links.new_macvtap(
        name, index=index, lower=lower, data=data, attributes=attributes, kind=kind
    )
    try:
        wiring.host.rtnl.transact([request])
    except KernelError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        raise UnfitError(
            f"this kernel has no {kind} ({error.detail or error})",
            remedy=f"load the module (modprobe {kind}) or use a kernel with CONFIG_{kind.upper()}",
        ) from error
    room.rtnl.transact([links.set_link(name, index=index, up=True)])
