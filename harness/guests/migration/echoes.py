"""Echo requests to a guest at a steady rate, numbered; what became of them is told afterwards."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether

from harness.kernel.netns import NetNS, on_thread
from harness.resource import Resource

__all__ = ["EchoStream", "Party", "number_of"]

_CHECKSUM_AT, _NUMBER_AT = 36, 40  # in an Ethernet frame with IPv4 without options
_NUMBER = struct.Struct("!H")
_IDENT = 0x6870
_REPLY = bytes([0, 0])
_DATA = bytes(56)


@dataclass(frozen=True)
class Party:
    """One end: its MAC and its IPv4 address."""

    mac: str
    ip: str


def number_of(frame: bytes) -> int | None:
    """The number of the echo request that this frame answers; None when it answers none."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 1 or frame[34:36] != _REPLY:
        return None
    ident, number = struct.unpack_from("!HH", frame, 38)
    return number if ident == _IDENT else None


class EchoStream(Resource):
    """Sends a request every `every` seconds on the link `name` of `ns`, until it is closed.

    The times are those of an absolute schedule: one that is late makes no later one late. There is
    room for 65,536.
    """

    def __init__(self, ns: NetNS, name: str, *, us: Party, guest: Party, every: float) -> None:
        self.sent: list[int] = []
        """When each was sent: ns since the epoch; a request's number is its place here."""
        self.late = 0.0
        """Seconds by which the latest one came after its time."""
        request = Ether(src=us.mac, dst=guest.mac) / IP(src=us.ip, dst=guest.ip)
        self._frame = bytearray(bytes(request / ICMP(type=8, id=_IDENT, seq=0) / _DATA))
        self._every = every
        self._stop = threading.Event()
        self._socket = ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        self._socket.bind((name, 0))
        self._sending = on_thread(self._send)

    def _send(self) -> None:
        (blank,) = _NUMBER.unpack_from(self._frame, _CHECKSUM_AT)
        started = time.monotonic()
        for number in range(0x10000):
            due = started + number * self._every
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            # The number was 0 when the checksum was made (RFC 1624).
            total = (~blank & 0xFFFF) + number
            total = (total & 0xFFFF) + (total >> 16)
            _NUMBER.pack_into(self._frame, _CHECKSUM_AT, ~total & 0xFFFF)
            _NUMBER.pack_into(self._frame, _NUMBER_AT, number)
            self.late = max(self.late, time.monotonic() - due)
            self.sent.append(time.time_ns())
            self._socket.send(self._frame)

    def close(self) -> None:
        """Send no more; idempotent. Raises what sending raised."""
        self._stop.set()
        try:
            self._sending.result()
        finally:
            self._socket.close()
