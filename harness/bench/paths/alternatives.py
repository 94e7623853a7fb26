"""What one would use instead of macvtap: a bridge on the host.

a [tun device]--.              a [veth] ---.
                bridge                     bridge
b [tun device]--'              b [veth] ---'
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice

from harness.bench.ends import Path
from harness.bench.paths.making import (
    building,
    close_all,
    guest_mac,
    guest_names,
    packet_ends,
    tap_end,
)
from harness.bench.paths.ready import ready_path
from harness.bench.paths.spec import PathSpec
from harness.kernel import links
from harness.kernel.features import probe, require
from harness.kernel.limits import allow_descriptors
from harness.kernel.netlink import Request
from harness.kernel.netns import NetNS
from harness.kernel.tun import Tun

__all__ = ["open_bridge_tap", "open_bridge_veth"]

_BRIDGE, _FIRST, _FIRST_FAR = 2, 10, 2000
_SPARE = 64  # descriptors


def open_bridge_tap(spec: PathSpec) -> Path:
    """See open_path: tap devices on a bridge, as libvirt's default network has them."""
    with building() as undo:
        host = _bridge(undo)
        allow_descriptors(spec.guests * (spec.queues + 1) + _SPARE)
        taps: list[Tun] = []
        undo.callback(close_all, taps)
        for at, name in enumerate(guest_names(spec)):
            index = _FIRST + at
            taps.append(
                Tun.open(
                    host,
                    name,
                    index=index,
                    mac=f"02:68:70:fe:{index >> 8:02x}:{index & 0xFF:02x}",  # nobody's
                    vnet_header=spec.header,
                    queues=spec.queues,
                )
            )
        host.rtnl.transact(
            request
            for at, tap in enumerate(taps)
            for request in _on_bridge(tap.name, _FIRST + at, spec)
        )
        ends = [
            tap_end([tap.fd, *tap.queues], host, tap.name, guest_mac(at), spec)
            for at, tap in enumerate(taps[: 2 + spec.listeners])
        ]
        return ready_path(undo, spec, ends, {"host": host})


def _on_bridge(name: str, index: int, spec: PathSpec) -> Iterator[Request]:
    """Make a tap device a port of the bridge, and bring it up."""
    own = (("IFLA_MTU", spec.mtu), ("IFLA_MASTER", _BRIDGE))
    yield links.set_attributes(name, index=index, attributes=own)
    if spec.queue:
        yield links.set_queue_length(name, index=index, frames=spec.queue)
    yield links.set_link(name, index=index, up=True)


def open_bridge_veth(spec: PathSpec) -> Path:
    """See open_path: veth pairs whose near ends are on a bridge, as containers have them."""
    with building() as undo:
        host = _bridge(undo)
        rooms = {name: undo.enter_context(NetNS.create()) for name in ("a", "b", "others")}
        places = {
            name: (rooms.get(name, rooms["others"]), guest_mac(at))
            for at, name in enumerate(guest_names(spec))
        }
        host.rtnl.transact(
            links.add_veth(
                name,
                index=_FIRST + at,
                peer=name,
                peer_index=_FIRST_FAR + at,
                peer_ns=room.fd,
                peer_mac=mac,
                master=_BRIDGE,
                mtu=spec.mtu,
            )
            for at, (name, (room, mac)) in enumerate(places.items())
        )
        for at, (name, (room, _)) in enumerate(places.items()):
            room.rtnl.transact([links.set_link(name, index=_FIRST_FAR + at, up=True)])
        opened = dict(islice(places.items(), 2 + spec.listeners))
        ends = packet_ends(undo, opened, spec)
        return ready_path(undo, spec, ends, {"host": host, **rooms})


def _bridge(undo: ExitStack) -> NetNS:
    require(probe())
    host = undo.enter_context(NetNS.create())
    host.rtnl.transact([links.add_bridge("bridge", index=_BRIDGE)])
    return host
