"""Raw frames in the guest: sent and captured on packet sockets."""

from __future__ import annotations

import errno
import socket
import struct

from harness.guests.tiny.inside.nics import name_of
from harness.guests.tiny.inside.tasks import RequestError, Wait, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from harness.guests.tiny.inside.tasks import Steps
    from harness.guests.tiny.wire import Fields, Value

__all__ = ["Captures", "send"]

_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_ADD_MEMBERSHIP, _PACKET_MR_PROMISC = 1, 1
_PACKET_STATISTICS = 6
_PACKET_AUXDATA = 8
_PACKET_IGNORE_OUTGOING = 23  # Linux 4.20
_SO_RCVBUFFORCE = 33
_BUFFER = 8 << 20
_VLAN_VALID, _VLAN_TPID_VALID = 1 << 4, 1 << 6
_AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
_LONGEST_FRAME = 1 << 17
_MOST_CAPTURES = 64
_MOST_AT_ONCE = 4 << 20  # bytes of frames in one answer
_ROOM_AGAIN = 0.001  # seconds; a full device queue tells nobody when it has room


def send(fields: Fields) -> Steps:
    """Send frames, in their order; stop at the first that the kernel refuses."""
    name = name_of(fields["nic"])
    frames = fields["frames"]
    assert isinstance(frames, list)
    give_up = until(fields["seconds"])
    sent, problem = 0, 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((name, 0))
        sock.settimeout(0)
        while sent < len(frames):
            try:
                sock.send(frames[sent])
                sent += 1
            except OSError as error:
                problem = error.errno or 0
                if problem not in (errno.EAGAIN, errno.ENOBUFS) or until(0) > give_up:
                    break
                full = problem == errno.EAGAIN
                yield Wait(writes=[sock.fileno()] if full else [], deadline=until(_ROOM_AGAIN))
                problem = 0
    return {"sent": sent, "errno": problem}


class Captures:
    """The captures that are open, by number. They go on when the host is gone."""

    def __init__(self) -> None:
        self._open: dict[int, socket.socket] = {}
        self._last = 0

    def open(self, fields: Fields) -> Fields:
        """Open one; what arrives from now on is kept until it is read."""
        name = name_of(fields["nic"])
        if len(self._open) >= _MOST_CAPTURES:
            raise RequestError(f"{_MOST_CAPTURES} captures are open already")
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            sock.settimeout(0)
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            sock.bind((name, _ETH_P_ALL))  # hears nothing before: it had no protocol
            if fields["promiscuous"]:
                index = socket.if_nametoindex(name)
                request = struct.pack("=iHH8s", index, _PACKET_MR_PROMISC, 0, b"")
                sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, request)
        except OSError:
            sock.close()
            raise
        self._last += 1
        self._open[self._last] = sock
        return {"capture": self._last}

    def read(self, fields: Fields) -> Steps:
        """Frames, until there are enough, one ends with `tail`, or time is up."""
        sock = self._find(fields)
        count, tail = fields["count"], fields["tail"]
        assert isinstance(count, int)
        assert isinstance(tail, bytes)
        give_up = until(fields["seconds"])
        frames: list[Value] = []
        size, why = 0, "count"
        while len(frames) < count:
            try:
                frame = _receive(sock)
            except BlockingIOError:
                if not (yield Wait([sock.fileno()], deadline=give_up)):
                    why = "time"
                    break
                continue
            frames.append(frame)
            size += len(frame)
            if tail and frame.endswith(tail):
                why = "tail"
                break
            if size > _MOST_AT_ONCE:
                why = "more"
                break
        _, lost = struct.unpack("II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return {"frames": frames, "why": why, "lost": lost}

    def close(self, fields: Fields) -> Fields:
        """Close one."""
        self._find(fields).close()
        del self._open[int(str(fields["capture"]))]
        return {}

    def numbers(self) -> list[Value]:
        """Of those that are open."""
        return list(self._open)

    def _find(self, fields: Fields) -> socket.socket:
        number = fields["capture"]
        assert isinstance(number, int)
        if number not in self._open:
            raise RequestError(f"no capture {number} is open")
        return self._open[number]


def _receive(sock: socket.socket) -> bytes:
    """One frame, with the tag that the card or the kernel took out of it put back."""
    try:
        frame, extras, _, _ = sock.recvmsg(_LONGEST_FRAME, socket.CMSG_SPACE(_AUXDATA.size))
    except OSError as error:
        if error.errno != errno.ENETDOWN:
            raise
        raise BlockingIOError from error  # told once; it hears again when the card is up
    for level, kind, data in extras:
        if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = _AUXDATA.unpack(data)
            if status & _VLAN_VALID:
                tpid = tpid if status & _VLAN_TPID_VALID else 0x8100
                frame = frame[:12] + struct.pack(">HH", tpid, tci) + frame[12:]
    return frame
