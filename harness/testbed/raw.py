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
import struct
import time
from abc import abstractmethod
from itertools import count

from harness.errors import DifferenceError, KernelError
from harness.frames import ETHERTYPE_EXPERIMENTAL, Frame
from harness.kernel.netns import NetNS
from harness.kernel.packets import ETH_P_ALL, PACKET_OTHERHOST, PACKET_OUTGOING
from harness.kernel.taps import Tap
from harness.parts import BEACON_MAC
from harness.resource import Resource
from harness.testbed.bed import Testbed
from harness.testbed.endpoints import TapEndpoint

__all__ = ["LinkEnd", "RawEnd", "TapEnd", "marker", "raw_end"]

_LONGEST = 1 << 16  # bytes
_SOL_PACKET = 263
_PACKET_AUXDATA = 8
_TP_STATUS_VLAN_VALID = 1 << 4
# struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
_AUXDATA = struct.Struct("=IIIHHHH")
_ANCILLARY = socket.CMSG_SPACE(_AUXDATA.size)
_MARK = b"hairpin's marker"
_MARKER_WITHIN = 5.0  # seconds; one that has not come by then will not come
_marks = count(1)


def marker(dst: str, *, src: str = BEACON_MAC, ethertype: int = ETHERTYPE_EXPERIMENTAL) -> bytes:
    """A frame for `dst` unlike every other marker: reading stops at it."""
    body = _MARK + next(_marks).to_bytes(8, "big")
    return Frame(dst, src, ethertype, body.ljust(46, b"\0")).to_bytes()


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

    def until(self, mark: bytes) -> list[bytes]:
        """What arrives before `mark`, other markers left out.

        Raises DifferenceError when the marker does not come.
        """
        found = []
        give_up = time.monotonic() + _MARKER_WITHIN
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
        found = []
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
            self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            self._socket.settimeout(0)
            self._socket.bind((name, protocol))
        except OSError as error:
            raise KernelError(f"listen on {name}", error.errno or 0) from error
        super().__init__(alias or name, self._socket.fileno())

    def send(self, frame: bytes) -> None:
        """See RawEnd."""
        self._socket.send(frame)

    def _next(self) -> bytes | None:
        while True:
            try:
                frame, ancillary, _, address = self._socket.recvmsg(_LONGEST, _ANCILLARY)
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
                return _with_tag(frame, ancillary)

    def close(self) -> None:
        """Close the socket; idempotent."""
        self._socket.close()


def _with_tag(frame: bytes, ancillary: list[tuple[int, int, bytes]]) -> bytes:
    """The frame with the tag that the kernel has taken out (skb_vlan_untag) in its place."""
    for level, kind, data in ancillary:
        if level == _SOL_PACKET and kind == _PACKET_AUXDATA:
            status, *_, tci, tpid = _AUXDATA.unpack(data)
            if status & _TP_STATUS_VLAN_VALID:
                return frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
    return frame


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
