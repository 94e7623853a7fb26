"""Where frames go in and come out: tap descriptors and packet rings behind one interface.

An endpoint is read up to a sentinel of the current round. What it hands out are whole frames
with their ident set to 0, per observer; frames that are not hairpin's are passed over.
"""

from __future__ import annotations

import errno
import os
import select
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping

from harness.errors import StrayFrameError
from harness.frames import IDENT_AT, MAGIC, Kind
from harness.kernel.packets import Ring
from harness.kernel.taps import Tap
from harness.testbed.ends import RingEnd
from harness.testbed.verdict import Barrier

__all__ = [
    "DEADLINE",
    "LONGEST",
    "LOST_AFTER",
    "Endpoint",
    "RingEndpoint",
    "Seen",
    "TapEndpoint",
    "Wanted",
    "lost_or_raised",
]

# Where no sentinel can arrive. The sentinels of all others have arrived by then, so what was
# to come is here already but for a softirq that the scheduler has put off.
DEADLINE = 0.005
# A sentinel that has not come after this long will not come: the path is cut.
LOST_AFTER = 5.0

LONGEST = 1 << 16  # bytes: the longest frame the kernel hands out, GSO included
_UNTAGGED = 14  # offset of the payload in a plain frame
_RUNT = 25  # bytes: up to here, magic, kind or ident are those of the frame that was read before
_TAGS = (0x8100, 0x88A8)
_IPV4 = 0x0800
# Down; unplugged at the other end (veth_xmit); moved away or removed (packet_sendmsg).
_LINK_LOST = (errno.ENETDOWN, errno.ENOBUFS, errno.ENXIO, errno.ENODEV)
_NO_IDENT = b"\0\0\0\0"

# The first 12 bytes of the payload at once: magic and kind as one number, ident as another.
_mark = struct.Struct("<QI").unpack_from
_readv = os.readv
_write = os.write
_SENTINEL = Barrier.SENTINEL  # looking a member up in its class costs more than a frame may
_ethertype = struct.Struct("!H").unpack_from


def _head(kind: Kind) -> int:
    """Magic and kind as `_mark` reads them."""
    return int.from_bytes(MAGIC + bytes([kind, 0, 0, 0]), "little")


_STIMULUS = _head(Kind.STIMULUS)

Seen = dict[str, list[bytes]]
"""Observer name to the frames it has received; observers that have received none are absent."""

Wanted = Mapping[int, Seen]
"""Ident of each stimulus that is observed to what has been seen of it."""


def _locate(frame: bytes | bytearray | memoryview) -> int:
    """Offset of hairpin's payload in a frame, behind tags and IPv4 if need be, or -1."""
    at = 12
    (ethertype,) = _ethertype(frame, at)
    while ethertype in _TAGS and at + 20 < len(frame):
        at += 4
        (ethertype,) = _ethertype(frame, at)
    at += 30 if ethertype == _IPV4 else 2
    return at if frame[at : at + 4] == MAGIC else -1


def lost_or_raised(error: OSError) -> None:
    """What cannot be sent because the link is down, unplugged or gone is lost.

    Whoever waits for it finds out, and then why. Raises `error` again for any other reason.
    """
    if error.errno not in _LINK_LOST:
        raise error


class Endpoint(ABC):
    """Somebody's end of the network. `expects_sentinel`: whether one can arrive there now."""

    def __init__(self, name: str, *, sentinel: Kind) -> None:
        self.name = name
        self.expects_sentinel = True
        self._sentinel = _head(sentinel)

    @abstractmethod
    def send(self, frame: bytes | bytearray) -> None:
        """Put a frame on its way. Raises OSError."""

    @abstractmethod
    def collect(self, ident: int, wanted: Wanted, patience: float) -> Barrier:
        """Read up to the sentinel of round `ident`; copies of stimuli go to what `wanted` has.

        A sentinel that is expected and does not come within `patience` seconds is lost; where
        none is expected, that is the deadline. Raises StrayFrameError when a copy of a stimulus
        turns up that is not wanted.
        """

    @abstractmethod
    def close(self) -> None:
        """Idempotent."""

    def _given_up(self) -> Barrier:
        return Barrier.LOST if self.expects_sentinel else Barrier.DEADLINE

    def _keep(self, frame: bytes | bytearray, at: int, observer: str, seen: Seen) -> None:
        """A copy of the stimulus, its payload at `at`, ident set to 0."""
        copy = bytes(frame[: at + IDENT_AT] + _NO_IDENT + frame[at + IDENT_AT + 4 :])
        if observer in seen:
            seen[observer].append(copy)
        else:
            seen[observer] = [copy]

    def _unusual(self, frame: bytes | bytearray, observer: str, wanted: Wanted) -> None:
        """Anything but a plain frame of this round: tagged, IPv4, stale or not hairpin's."""
        at = _locate(frame)
        if at < 0:
            return
        head, found = _mark(frame, at)
        if head != _STIMULUS:
            return
        if found not in wanted:
            observed = ", ".join(map(str, wanted)) or "none"
            raise StrayFrameError(
                f"{observer} received stimulus {found} while {observed} was observed"
            )
        self._keep(frame, at, observer, wanted[found])


class TapEndpoint(Endpoint):
    """A guest's tap descriptor.

    Frames are read into `buffer`, of LONGEST bytes, which taps that one thread reads may share.
    """

    def __init__(self, tap: Tap, buffer: bytearray) -> None:
        super().__init__(tap.name, sentinel=Kind.SENTINEL_TAP)
        self.tap = tap
        self._fd = tap.fd
        self._hot = (tap.fd, buffer, [buffer], self._sentinel)
        self._poll = select.poll()
        self._poll.register(tap.fd, select.POLLIN)

    def send(self, frame: bytes | bytearray) -> None:
        """A write to the tap: the guest transmits."""
        _write(self._fd, frame)

    def collect(self, ident: int, wanted: Wanted, patience: float) -> Barrier:
        """See Endpoint."""
        fd, buffer, buffers, sentinel = self._hot
        give_up = 0.0
        while True:
            try:
                length = _readv(fd, buffers)
            except BlockingIOError:
                give_up = give_up or time.monotonic() + patience
                left = give_up - time.monotonic()
                if left <= 0 or not self._poll.poll(left * 1000):
                    return self._given_up()
                continue
            head, found = _mark(buffer, _UNTAGGED)
            if head == sentinel:
                if found == ident and length > _RUNT:
                    return _SENTINEL
            elif head == _STIMULUS and found in wanted and length > _RUNT:
                self._keep(buffer[:length], _UNTAGGED, self.name, wanted[found])
            else:
                self._unusual(buffer[:length], self.name, wanted)

    def close(self) -> None:
        """See Endpoint."""
        self.tap.close()


class RingEndpoint(Endpoint):
    """A packet ring, attached to its link."""

    def __init__(self, end: RingEnd, ring: Ring) -> None:
        super().__init__(end.name, sentinel=end.sentinel)
        self.ring = ring
        self._send = ring.socket.send
        self._hot = (ring, ring.peek, ring.buffer, self._sentinel)
        self._observers = end.observers

    def send(self, frame: bytes | bytearray) -> None:
        """Send on the link; what is sent on a link that is down is gone, as on a tap."""
        try:
            self._send(frame)
        except OSError as error:
            lost_or_raised(error)

    def collect(self, ident: int, wanted: Wanted, patience: float) -> Barrier:
        """See Endpoint."""
        ring, peek, buffer, sentinel = self._hot
        give_up = 0.0
        while True:
            start = peek()
            if start < 0:
                give_up = give_up or time.monotonic() + patience
                left = give_up - time.monotonic()
                if left <= 0 or not ring.wait(left):
                    return self._given_up()
                continue
            head, found = _mark(buffer, start + _UNTAGGED)
            if head == sentinel:
                ring.release()
                if found == ident:
                    return _SENTINEL
            else:
                frame, packet_type = ring.take()
                observer = self._observers.get(packet_type, self.name)
                plain = head == _STIMULUS and found in wanted
                if plain and frame[_UNTAGGED : _UNTAGGED + 4] == MAGIC:
                    self._keep(frame, _UNTAGGED, observer, wanted[found])
                else:  # also what had its tag taken out, and put back by `take`
                    self._unusual(frame, observer, wanted)

    def drain_primes(self) -> set[bytes]:
        """Source addresses of the priming frames received so far; everything else is dropped."""
        sources = set()
        while self.ring.peek() >= 0:
            frame, _ = self.ring.take()
            at = 14 if frame[14:18] == MAGIC else _locate(frame)
            if at > 0 and frame[at + 4] == Kind.PRIME:
                sources.add(frame[6:12])
        return sources

    def close(self) -> None:
        """See Endpoint."""
        self.ring.close()
