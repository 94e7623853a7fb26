"""What all paths are made with: ends of taps and packet sockets, in one undo."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from harness.bench.ends import End, EndKind
from harness.bench.paths.spec import GSO_OFFLOADS, PathSpec
from harness.errors import UnfitError
from harness.kernel.features import Backend, probe, require
from harness.kernel.limits import allow_descriptors
from harness.kernel.netns import NetNS
from harness.kernel.packets import end_socket
from harness.kernel.taps import Tap
from harness.resource import Resource

__all__ = [
    "address",
    "building",
    "close_all",
    "guest_mac",
    "guest_names",
    "packet_ends",
    "require_taps",
    "source_addresses",
    "tap_end",
    "tap_ends",
]

_AT_ONCE = 64
_SPARE = 64  # descriptors


def address(mac: str) -> bytes:
    """A MAC address as it is in a frame."""
    return bytes.fromhex(mac.replace(":", ""))


def source_addresses(count: int) -> tuple[str, ...]:
    """That many addresses which no station has."""
    return tuple(f"02:68:70:0a:{i >> 8:02x}:{i & 0xFF:02x}" for i in range(count))


def require_taps() -> None:
    """Raise UnfitError where macvtap, or a tap of it, is not to be had."""
    features = probe()
    require(features)
    if features.backend is not Backend.TAP:
        raise UnfitError(
            f"no tap can be opened ({features.backend_reason})", remedy="run as root (sudo)"
        )


@contextmanager
def building() -> Iterator[ExitStack]:
    """What takes down all that was made so far, should the rest fail."""
    undo = ExitStack()
    try:
        yield undo
    except BaseException:
        undo.close()
        raise


def guest_names(spec: PathSpec) -> list[str]:
    """The guests' links: the sender's, the receiver's, the others'."""
    return ["a", "b", *(f"g{i}" for i in range(3, spec.guests + 1))]


def guest_mac(at: int) -> str:
    """The address of the guest at that place."""
    return f"02:68:70:01:{at + 1 >> 8:02x}:{at + 1 & 0xFF:02x}"


def close_all(resources: Sequence[Resource | socket.socket]) -> None:
    """Close many at the same time, as each waits for an RCU grace period.

    (tap_put_queue, packet_release)
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for closing in [pool.submit(resource.close) for resource in resources]:
            closing.result()


def tap_ends(
    undo: ExitStack,
    ns: NetNS,
    macs: dict[str, str],
    spec: PathSpec,
    *,
    kind: str = "macvtap",
) -> dict[str, End]:
    """An end for each of these links, by name: every queue of its tap. Raises KernelError."""
    allow_descriptors(len(macs) * spec.queues + _SPARE)
    taps: list[Tap] = []
    undo.callback(close_all, taps)
    ends = {}
    for name, mac in macs.items():
        mine = []
        for _ in range(spec.queues):
            mine.append(
                Tap.open(
                    ns,
                    name,
                    mac=mac,
                    vnet_header=spec.header,
                    offloads=GSO_OFFLOADS if spec.gso else 0,
                    multi_queue=spec.queues > 1,
                    kind=kind,
                )
            )
            taps.append(mine[-1])
        ends[name] = tap_end([tap.fd for tap in mine], ns, name, mac, spec)
    return ends


def tap_end(fds: Sequence[int], ns: NetNS, link: str, mac: str, spec: PathSpec) -> End:
    """The end of a tap whose queues are these descriptors."""
    return End(
        fd=fds[0],
        kind=EndKind.TAP,
        mac=address(mac),
        header=spec.header,
        queues=tuple(fds[1:]),
        ns=ns,
        link=link,
    )


def packet_ends(
    undo: ExitStack, places: Mapping[str, tuple[NetNS, str]], spec: PathSpec
) -> list[End]:
    """The ends of links that have no tap, by name: where each is, and its address.

    Raises KernelError.
    """
    allow_descriptors(len(places) + _SPARE)
    sockets: list[socket.socket] = []
    undo.callback(close_all, sockets)
    ends = []
    for link, (ns, mac) in places.items():
        sock = end_socket(ns, link, vnet_header=spec.gso)
        sockets.append(sock)
        ends.append(
            End(
                fd=sock.fileno(),
                kind=EndKind.PACKET,
                mac=address(mac),
                header=spec.header,
                socket=sock,
                ns=ns,
                link=link,
            )
        )
    return ends
