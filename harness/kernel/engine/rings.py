"""Packet sockets with memory-mapped rings of blocks and frames (TPACKET_V3).

Receiving observes without copying: the kernel fills a block, tells how many frames are in it,
and gets it back; nothing is read but the block's head. Sending lays the frames into the ring
once; each round marks slots as to be sent and asks the kernel to (tpacket_snd).
"""

from __future__ import annotations

import errno
import mmap
import select
import socket
import struct

from harness.kernel.engine.pool import STAMP_AFTER_NUMBER, Pool
from harness.kernel.engine.receivers import Receiver
from harness.kernel.engine.senders import NO_ROOM, Sender
from harness.kernel.syscalls import setsockopt_blocking

__all__ = ["BlockReceiver", "RingSender"]

_SOL_PACKET = 263
_PACKET_RX_RING = 5
_PACKET_VERSION = 10
_PACKET_TX_RING = 13
_TPACKET_V3 = 2
_USER = 1  # TP_STATUS_USER
_SEND_REQUEST = 1  # TP_STATUS_SEND_REQUEST

_REQUEST = struct.Struct("=7I")  # struct tpacket_req3
_BLOCK = 1 << 20
_BLOCKS = 32
_RETIRE = 2  # ms after which a block that is not full is handed over
_SLOT = 2048
# struct tpacket_block_desc: version, offset_to_priv, block_status, num_pkts, offset_to_first_pkt
_STATUS_AT = 8
_HEAD = struct.Struct("=III")
# struct tpacket3_hdr: next_offset, sec, nsec, snaplen, len, status, mac, net
_PACKET = struct.Struct("=I12xI4xH")  # next_offset, len, mac
_TX_STATUS_AT = 20
_TX_LENGTHS_AT = 12
_TX_DATA_AT = 48  # tpacket_parse_header: tp_hdrlen less a struct sockaddr_ll
_word = struct.Struct("=I")
_stamp = struct.Struct("=Q")


class BlockReceiver(Receiver):
    """A packet socket, bound to its link already, with a TPACKET_V3 receive ring.

    `blocks` of 1 MiB each hold what comes while nobody looks. Raises OSError.
    """

    name = "TPACKET_V3"

    def __init__(
        self, sock: socket.socket, length: int, *, number_at: int, blocks: int = _BLOCKS
    ) -> None:
        super().__init__(sock.fileno(), length, number_at=number_at)
        sock.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
        frames = blocks * _BLOCK // _SLOT
        geometry = _REQUEST.pack(_BLOCK, blocks, _SLOT, frames, _RETIRE, 0, 0)
        setsockopt_blocking(self.fd, _SOL_PACKET, _PACKET_RX_RING, geometry)
        self._size = blocks * _BLOCK
        self._ring = mmap.mmap(self.fd, self._size)
        self._at = 0
        self._seen: tuple[int, int, int] = (0, 0, 0)  # block, frames in it, offset of the first
        self._last = 0

    def receive(self, expected: int = 0) -> int:
        """See Receiver: the frames of the next block, given back at the next call."""
        self._release()
        status, frames, first = _HEAD.unpack_from(self._ring, self._at + _STATUS_AT)
        if not status & _USER:
            return 0
        self._seen = (self._at, frames, self._at + first)
        self._at = (self._at + _BLOCK) % self._size
        return int(frames)

    def wait(self, seconds: float) -> bool:
        """See Receiver; the block that was received is given back."""
        self._release()  # poll would find it full
        return super().wait(seconds)

    def _release(self) -> None:
        block, frames, _ = self._seen
        if frames:
            self._last = self.last
            _word.pack_into(self._ring, block + _STATUS_AT, 0)
            self._seen = (0, 0, 0)

    @property
    def last(self) -> int:
        """See Receiver; frames are taken to be of equal size, as a pool's are."""
        _, frames, at = self._seen
        if frames:
            step, _, mac = _PACKET.unpack_from(self._ring, at)
            newest = at + (frames - 1) * step
            self._last = _word.unpack_from(self._ring, newest + mac + self.number_at)[0]
        return self._last

    def stamps(self) -> list[int]:
        """See Receiver."""
        _, frames, at = self._seen
        found: list[int] = []
        for _ in range(frames):
            step, _, mac = _PACKET.unpack_from(self._ring, at)
            found += _stamp.unpack_from(self._ring, at + mac + self.number_at + STAMP_AFTER_NUMBER)
            at += step
        return found

    def close(self) -> None:
        """Give the ring back: the socket can be read from as before. Idempotent."""
        if not self._ring.closed:
            self._ring.close()
            setsockopt_blocking(self.fd, _SOL_PACKET, _PACKET_RX_RING, bytes(_REQUEST.size))


class RingSender(Sender):
    """A packet socket, bound to its link already, with a transmit ring of a pool's frames.

    A slot is free again once whoever received its frame has let go of it: the ring's memory is
    what is sent, no copy (tpacket_fill_skb). So it waits where others pass a frame over, and
    sends the pool as it was when the ring was made, later stamps left out. The pool's slots are
    a power of two. Raises OSError.
    """

    name = "TX ring"

    def __init__(self, sock: socket.socket, pool: Pool) -> None:
        super().__init__(sock.fileno(), pool)
        self._socket = sock
        self._slot = 1 << max(11, (_TX_DATA_AT + pool.length - 1).bit_length())
        size = max(pool.slots * self._slot, mmap.PAGESIZE)
        block = max(self._slot, mmap.PAGESIZE)
        sock.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
        geometry = _REQUEST.pack(block, size // block, self._slot, size // self._slot, 0, 0, 0)
        setsockopt_blocking(self.fd, _SOL_PACKET, _PACKET_TX_RING, geometry)
        self._ring = mmap.mmap(self.fd, size)
        self._poll = select.poll()
        self._poll.register(sock, select.POLLOUT)
        for slot in range(pool.slots):
            at = slot * self._slot
            _word.pack_into(self._ring, at + _TX_LENGTHS_AT, pool.length)
            _word.pack_into(self._ring, at + _TX_LENGTHS_AT + 4, pool.length)
            self._ring[at + _TX_DATA_AT : at + _TX_DATA_AT + pool.length] = bytes(pool.frame(slot))
        self._words = memoryview(self._ring).cast("I")
        self._step = self._slot // 4
        self._status = _TX_STATUS_AT // 4
        self._wanted = memoryview(b"\1\0\0\0" * pool.slots).cast("I")

    def _send(self, count: int) -> None:
        first = self.at
        while count:
            several = min(count, self.pool.slots - first)
            start = self._status + first * self._step
            stop = start + (several - 1) * self._step + 1
            marks = self._words[start : stop : self._step]
            while any(marks.tolist()):  # whoever received them has not let go of them yet
                self._poll.poll(1)
            marks[:] = self._wanted[:several]
            # Fewer bytes than that: what is left has not been looked at (tpacket_snd).
            while self._transmit() < several * self.pool.length and _SEND_REQUEST in marks.tolist():
                self._poll.poll(1)
            count, first = count - several, 0

    def _transmit(self) -> int:
        """Have the kernel send what is marked; how many bytes it says it did."""
        try:
            # Else it would wait until every receiver has let go of its frame (tpacket_snd).
            return self._socket.send(b"", socket.MSG_DONTWAIT)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return 0  # the frame that found none is marked again, and the first of the rest

    def close(self) -> None:
        """Give the ring back; a frame of it that is still on its way keeps it. Idempotent."""
        if not self._ring.closed:
            self._words.release()
            self._ring.close()
            try:
                setsockopt_blocking(self.fd, _SOL_PACKET, _PACKET_TX_RING, bytes(_REQUEST.size))
            except OSError as error:
                if error.errno != errno.EBUSY:  # it goes with the socket, then
                    raise
