"""Frames of any kind and any length, at the ends of links: for what no Stimulus can say.

A Stimulus is hairpin's own frame, judged against the model. Where a case is about the frame
itself (stacked tags, 9,000 bytes, an ARP request, LLDP), it writes and reads the bytes here.
"Not received" is proved as everywhere: a marker that takes the same way later has arrived.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from abc import abstractmethod
from collections.abc import Iterable
from itertools import count

from harness.errors import DifferenceError, KernelError
from harness.frames import ETHERTYPE_EXPERIMENTAL, Frame
from harness.kernel.netns import NetNS
from harness.kernel.packets import (
    ANCILLARY,
    ETH_P_ALL,
    PACKET_OTHERHOST,
    PACKET_OUTGOING,
    plain_socket,
    tell_tags,
    with_tag,
)
from harness.kernel.taps import Tap
from harness.parts import BEACON_MAC, BROADCAST_MAC
from harness.resource import Resource
from harness.testbed.bed import Testbed
from harness.testbed.endpoints import TapEndpoint

__all__ = ["LinkEnd", "RawEnd", "RawEnds", "TapEnd", "marker", "raw_end"]

_LONGEST = 1 << 16  # bytes
_MARK = b"hairpin's marker"
_MARKER_WITHIN = 5.0  # seconds; one that has not come by then will not come
_marks = count(1)


def marker(dst: str, *, src: str = BEACON_MAC) -> bytes:
    """A frame for `dst` unlike every other marker: reading stops at it."""
    body = _MARK + next(_marks).to_bytes(8, "big")
    return Frame(dst, src, payload=body.ljust(46, b"\0")).to_bytes()


class RawEnd(Resource):
    """The end of a link: whole frames in and out, tags in their places."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    @abstractmethod
    def send(self, frame: bytes) -> None:
        """Put a frame on its way. Raises OSError."""

    @abstractmethod
    def _next(self) -> bytes | None:
        """The next frame that is here already; None when there is none."""

    def until(self, mark: bytes, *, seconds: float | None = None) -> list[bytes]:
        """What arrives before `mark`, other markers left out; `seconds` are 5 where none are given.

        Raises DifferenceError when the marker does not come.
        """
        found: list[bytes] = []
        give_up = time.monotonic() + (_MARKER_WITHIN if seconds is None else seconds)
        while True:
            frame = self._next()
            if frame is None:
                left = give_up - time.monotonic()
                if left <= 0 or not self._poll.poll(left * 1000):
                    raise DifferenceError(f"{self.name}: the marker never arrived, {found} did")
            elif frame == mark:
                return found
            elif _MARK not in frame[:64]:
                found.append(frame)

    def waiting(self) -> list[bytes]:
        """What is here already, markers left out: for who has no marker to wait for."""
        found: list[bytes] = []
        while (frame := self._next()) is not None:
            if _MARK not in frame[:64]:
                found.append(frame)
        return found


class TapEnd(RawEnd):
    """A guest's tap, which stays its owner's."""

    def __init__(self, tap: Tap) -> None:
        super().__init__(tap.name, tap.fd)
        self._fd = tap.fd

    def send(self, frame: bytes) -> None:
        """See RawEnd."""
        os.write(self._fd, frame)

    def _next(self) -> bytes | None:
        try:
            return os.read(self._fd, _LONGEST)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """The tap is not closed."""


class LinkEnd(RawEnd):
    """A packet socket on the link `name` in `ns`; `alias` is what it is called in errors.

    With ETH_P_ALL it sees all that comes in. With any other `protocol` it sees of that what
    reaches the link's own stack: rx handlers (macvlan) have let it pass, and it is not
    PACKET_OTHERHOST. Raises KernelError.
    """

    def __init__(self, ns: NetNS, name: str, *, protocol: int = ETH_P_ALL, alias: str = "") -> None:
        self._link = name
        self._stack_only = protocol != ETH_P_ALL
        self._unwanted = {PACKET_OUTGOING, *([PACKET_OTHERHOST] if self._stack_only else [])}
        try:
            self._socket = ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
            tell_tags(self._socket)
            self._socket.settimeout(0)
            self._socket.bind((name, protocol))
        except OSError as error:
            raise KernelError(f"listen on {name}", error.errno or 0) from error
        super().__init__(alias or name, self._socket.fileno())

    def send(self, frame: bytes) -> None:
        """Send on the link; what is sent on a link that is down is gone, as on a tap."""
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # that it was down, once
        try:
            self._socket.send(frame)
        except OSError as error:
            if error.errno != errno.ENETDOWN:
                raise

    def _next(self) -> bytes | None:
        while True:
            try:
                frame, ancillary, _, address = self._socket.recvmsg(_LONGEST, ANCILLARY)
            except OSError as error:
                if error.errno == errno.ENETDOWN:  # it was, once (packet_notifier)
                    continue
                if error.errno == errno.EAGAIN:
                    return None
                raise
            # A protocol's socket also sees what macvlan has taken to another link meanwhile
            # (deliver_ptype_list_skb for orig_dev, __netif_receive_skb_core).
            elsewhere = self._stack_only and address[0] != self._link
            if address[2] not in self._unwanted and not elsewhere:
                return with_tag(frame, ancillary)

    def close(self) -> None:
        """Close the socket; idempotent."""
        self._socket.close()


def raw_end(bed: Testbed, station: str) -> RawEnd:
    """The end of a station of a live testbed. Raises KeyError for no station.

    It reads what `observe` would, where that is a tap: use one or the other. `LOWER.wire` is
    the switch's end of a lower device's wire: it sees what the lower device sends, and what it
    sends itself comes in at the lower device.
    """
    endpoint = bed.endpoints[station]
    if isinstance(endpoint, TapEndpoint):
        return TapEnd(endpoint.tap)
    name = station.removesuffix(".wire")
    if name != station:
        return LinkEnd(bed.wiring.switch, name, alias=station)
    return LinkEnd(bed.wiring.namespace_of(station), station)


class RawEnds(Resource):
    """The ends of a live testbed's stations, opened when first asked for.

    Raises KeyError for no station. Stations are as in `raw_end`, but a lower device's name is
    the host's own stack, as everywhere.
    """

    def __init__(self, bed: Testbed) -> None:
        self._bed = bed
        wiring = bed.wiring
        self._beacons = [plain_socket(wiring.switch, link) for link in wiring.beacons.values()]
        self._ends: dict[tuple[str, int], RawEnd] = {}

    def end(self, station: str, ethertype: int = ETHERTYPE_EXPERIMENTAL) -> RawEnd:
        """The end of `station`; of the host's stack, the one that takes that ethertype."""
        lowers = [lower.name for lower in self._bed.topology.lowers]
        key = station, ethertype if station in lowers else ETH_P_ALL
        if key not in self._ends:
            if station in lowers:
                host = self._bed.wiring.host
                self._ends[key] = LinkEnd(host, station, protocol=ethertype)
            else:
                self._ends[key] = raw_end(self._bed, station)
        return self._ends[key]

    def exchange(self, sender: str, frame: bytes, *, at: Iterable[str]) -> dict[str, list[bytes]]:
        """Send `frame`; what arrived at the stations `at`, up to a beacon's broadcast.

        Raises DifferenceError when that does not arrive.
        """
        ethertype = _ethertype(frame)
        listening = {station: self.end(station, ethertype) for station in at}
        marked = {station: self.end(station) for station in at}
        for end in listening.values():
            end.waiting()  # what nobody has asked for before
        self.end(sender, ethertype).send(frame)
        mark = marker(BROADCAST_MAC)
        for beacon in self._beacons:
            beacon.send(mark)
        arrived = {}
        for station, end in listening.items():
            arrived[station] = marked[station].until(mark)
            if end is not marked[station]:  # the host's stack has a socket for each protocol
                arrived[station] += end.waiting()
        return arrived

    def close(self) -> None:
        """Close what was opened; idempotent."""
        for beacon in self._beacons:
            beacon.close()
        for end in self._ends.values():
            end.close()


def _ethertype(frame: bytes) -> int:
    """The ethertype behind the tags."""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return int.from_bytes(frame[at : at + 2], "big")
