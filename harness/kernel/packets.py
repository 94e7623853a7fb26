"""Packet sockets with a memory-mapped receive ring (TPACKET_V2): reading costs no system call.

A classic BPF program lets only hairpin's own frames into a ring, so chatter can neither fill
it nor be taken for a result.
"""

from __future__ import annotations

import mmap
import select
import socket
import struct
from collections.abc import Iterable
from contextlib import ExitStack

from harness.errors import KernelError
from harness.frames import MAGIC, Kind
from harness.kernel.netns import NetNS
from harness.kernel.syscalls import attach_filter, setsockopt_blocking
from harness.resource import Resource

__all__ = [
    "ANCILLARY",
    "ETH_P_ALL",
    "PACKET_OTHERHOST",
    "PACKET_OUTGOING",
    "Membership",
    "Ring",
    "be_promiscuous",
    "end_socket",
    "offload_socket",
    "packet_socket",
    "plain_socket",
    "port_socket",
    "tell_tags",
    "vnet_socket",
    "with_tag",
]

ETH_P_ALL = 0x0003
PACKET_OTHERHOST = 3
PACKET_OUTGOING = 4

_SOL_PACKET = 263
_PACKET_ADD_MEMBERSHIP = 1
_PACKET_DROP_MEMBERSHIP = 2
_PACKET_RX_RING = 5
_PACKET_AUXDATA = 8
_PACKET_VERSION = 10
_TPACKET_V2 = 1
_PACKET_MR_MULTICAST = 0
_PACKET_MR_PROMISC = 1
_PACKET_VNET_HDR = 15
_PACKET_QDISC_BYPASS = 20
_PACKET_IGNORE_OUTGOING = 23
_TP_STATUS_KERNEL = 0
_TP_STATUS_USER = 1
_TP_STATUS_VLAN_VALID = 1 << 4

_SLOTS = 256
_SLOT = 2048  # bytes: header and the longest frame at MTU 1500 fit
_BLOCK = 1 << 16
_LARGE = 1 << 24  # bytes of a socket's buffer
_LARGEST = 1 << 25  # the kernel doubles it (sock_setsockopt)
# SO_RCVBUFFORCE and SO_SNDBUFFORCE, which Python does not name, may go beyond the sysctl.
_BUFFERS = ((socket.SO_RCVBUF, 33), (socket.SO_SNDBUF, 32))
# struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
_AUXDATA = struct.Struct("=IIIHHHH")
ANCILLARY = socket.CMSG_SPACE(_AUXDATA.size)
"""Room for what `tell_tags` has recvmsg bring."""
# struct tpacket2_hdr: status, len, snaplen, mac, net, sec, nsec, vlan_tci, vlan_tpid
_HEADER_SIZE = 32
_TAKE = struct.Struct("=II4xH10xHH").unpack_from  # status, len, mac, vlan_tci, vlan_tpid
_PEEK = struct.Struct("=I8xH").unpack_from  # status, mac
_SET_STATUS = struct.Struct("=I").pack_into
_PKTTYPE_AT = _HEADER_SIZE + 10  # in the struct sockaddr_ll behind it

# Classic BPF: (code, jump if true, jump if false, operand).
_LD_W, _LD_H, _LD_B, _JEQ, _RET = 0x20, 0x28, 0x30, 0x15, 0x06
_AD = 0xFFFFF000  # SKF_AD_OFF
_AD_PKTTYPE = _AD + 4
_AD_IFINDEX = _AD + 8
_ACCEPT, _DROP = 0xFFFF, 0
_MAGIC_L2 = 14  # offset of MAGIC in a layer 2 stimulus
_MAGIC_L3 = 42  # behind IPv4 and UDP
_TAGS = (0x8100, 0x88A8)


class Membership:
    """Multicast groups joined on a link, as `ip maddr add` would; left on close."""

    def __init__(self, ns: NetNS, name: str, index: int, groups: Iterable[str]) -> None:
        self._name = name
        self._index = index
        self._groups: set[str] = set()
        self._socket = ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        try:
            self.set(groups)
        except KernelError:
            self.close()
            raise

    def set(self, groups: Iterable[str]) -> None:
        """Be a member of these groups and of no others. Raises KernelError."""
        wanted = set(groups)
        for word, option, changed in (
            ("leave", _PACKET_DROP_MEMBERSHIP, self._groups - wanted),
            ("join", _PACKET_ADD_MEMBERSHIP, wanted - self._groups),
        ):
            for group in sorted(changed):
                address = bytes.fromhex(group.replace(":", ""))
                request = struct.pack(
                    "=iHH8s", self._index, _PACKET_MR_MULTICAST, len(address), address
                )
                try:
                    self._socket.setsockopt(_SOL_PACKET, option, request)
                except OSError as error:
                    what = f"{word} {group} on {self._name}"
                    raise KernelError(what, error.errno or 0) from error
        self._groups = wanted

    def close(self) -> None:
        """Leave the groups; idempotent."""
        self._socket.close()


def packet_socket(ns: NetNS, name: str, protocol: int = 0) -> socket.socket:
    """A packet socket on the link `name` that hears what is of `protocol`; 0: nothing.

    What it sends goes through the link's queueing discipline. Raises OSError.
    """
    sock = ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    try:
        sock.bind((name, protocol))
    except OSError:
        sock.close()
        raise
    return sock


def plain_socket(ns: NetNS, name: str) -> socket.socket:
    """A packet socket that only sends, on the link `name`, past its queueing discipline.

    What it sends is not shown to the link's own listeners (packet_direct_xmit).
    """
    sock = ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    try:
        sock.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
        sock.bind((name, 0))
    except OSError:
        sock.close()
        raise
    return sock


def vnet_socket(ns: NetNS, name: str) -> socket.socket:
    """A packet socket on the link `name` that speaks of offloads as a tap does.

    A ten-byte virtio-net header stands before each frame that it sends or receives: large
    frames and unfinished checksums stay as they are (packet_rcv_vnet). It hears everything,
    its own link's transmissions included. Raises OSError.
    """
    sock = ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    try:
        sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        sock.bind((name, ETH_P_ALL))
    except OSError:
        sock.close()
        raise
    return sock


def offload_socket(ns: NetNS, name: str) -> socket.socket:
    """A `vnet_socket` that stands for a tap: it does not hear what it sends itself.

    Its buffers are as large as one may ask for without root (net.core.rmem_max), for frames of
    64 KiB. Raises KernelError.
    """
    with ExitStack() as undo:
        try:
            sock = vnet_socket(ns, name)
            undo.callback(sock.close)
            sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, _LARGE)
        except OSError as error:
            raise KernelError(f"listen on {name}", error.errno or 0) from error
        undo.pop_all()
    return sock


def end_socket(ns: NetNS, name: str, *, vnet_header: bool = False) -> socket.socket:
    """A packet socket that is the end of the link `name`: whole frames in and out, no waiting.

    It sends past the queueing discipline, hears all that comes in and nothing that it sends
    itself, and buffers 64 MiB where it may. With `vnet_header`, ten bytes of virtio-net header
    stand before each frame (packet_rcv_vnet). Raises KernelError.
    """
    with ExitStack() as undo:
        try:
            kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
            sock = undo.enter_context(ns.run(lambda: socket.socket(socket.AF_PACKET, kind, 0)))
            sock.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
            sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            if vnet_header:
                sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
            for option, forced in _BUFFERS:
                try:
                    sock.setsockopt(socket.SOL_SOCKET, forced, _LARGEST)
                except PermissionError:  # without root, as much as net.core.rmem_max allows
                    sock.setsockopt(socket.SOL_SOCKET, option, _LARGEST)
            sock.bind((name, ETH_P_ALL))
        except OSError as error:
            raise KernelError(f"listen on {name}", error.errno or 0) from error
        undo.pop_all()
    return sock


def port_socket(ns: NetNS, name: str) -> socket.socket:
    """An `end_socket` of the link `name` as a switch has one: for frames to whomever.

    A virtio-net header stands before each frame, and recvmsg brings the tag (`with_tag`). Raises
    KernelError.
    """
    sock = end_socket(ns, name, vnet_header=True)
    try:
        # Through the queue, so that the link's own listeners (tcpdump) see what is sent.
        sock.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 0)
        tell_tags(sock)
        be_promiscuous(sock, ns, name)
    except OSError as error:
        sock.close()
        raise KernelError(f"listen on {name}", error.errno or 0) from error
    return sock


def be_promiscuous(sock: socket.socket, ns: NetNS, name: str) -> None:
    """Have the link `name` take frames to whomever, until `sock` is closed. Raises OSError."""
    index = ns.run(lambda: socket.if_nametoindex(name))
    request = struct.pack("=iHH8s", index, _PACKET_MR_PROMISC, 0, b"")
    sock.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, request)


def tell_tags(sock: socket.socket) -> None:
    """Have recvmsg bring what `with_tag` takes. Raises OSError."""
    sock.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)


def with_tag(frame: bytes, ancillary: list[tuple[int, int, bytes]]) -> bytes:
    """The frame with the tag that the kernel has taken out (skb_vlan_untag) in its place."""
    for level, kind, data in ancillary:
        if level == _SOL_PACKET and kind == _PACKET_AUXDATA:
            status, *_, tci, tpid = _AUXDATA.unpack(data)
            if status & _TP_STATUS_VLAN_VALID:
                return frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
    return frame


def _program(*, unwanted: Kind, outgoing: bool, only_index: int | None) -> bytes:
    """BPF: hairpin's frames, as Ring.attach says.

    `only_index` is about orig_dev delivery in __netif_receive_skb_core.
    """
    head: list[tuple[int, str, str, int]] = []
    if not outgoing:
        head += [(_LD_W, "", "", _AD_PKTTYPE), (_JEQ, "drop", "", PACKET_OUTGOING)]
    if only_index is not None:
        head += [(_LD_W, "", "", _AD_IFINDEX), (_JEQ, "", "drop", only_index)]
    magic = int.from_bytes(MAGIC, "big")
    body = [
        *head,
        (_LD_H, "", "", 12),
        *((_JEQ, "accept", "", tpid) for tpid in _TAGS),
        (_LD_W, "", "", _MAGIC_L3),
        (_JEQ, "accept", "", magic),
        (_LD_W, "", "", _MAGIC_L2),
        (_JEQ, "", "drop", magic),
        (_LD_B, "", "", _MAGIC_L2 + 4),
        (_JEQ, "drop", "", unwanted),
    ]
    targets = {"accept": len(body), "drop": len(body) + 1}
    program = b"".join(
        struct.pack(
            "=HBBI",
            code,
            targets[yes] - at - 1 if yes else 0,
            targets[no] - at - 1 if no else 0,
            operand,
        )
        for at, (code, yes, no, operand) in enumerate(body)
    )
    return (
        program
        + struct.pack("=HBBI", _RET, 0, 0, _ACCEPT)
        + struct.pack("=HBBI", _RET, 0, 0, _DROP)
    )


class Ring(Resource):
    """A packet socket in the calling thread's namespace, with a receive ring.

    It is deaf until attached. Use it in a `with` statement.

    Making one waits for an RCU grace period (packet_set_ring), so a caller who needs several
    makes them on threads of their own (NetNS.start), for all to wait for the same one.
    """

    def __init__(self) -> None:
        with ExitStack() as undo:
            try:
                self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                undo.callback(self.socket.close)
                fd = self.socket.fileno()
                self.socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
                geometry = struct.pack("=IIII", _BLOCK, _SLOTS * _SLOT // _BLOCK, _SLOT, _SLOTS)
                setsockopt_blocking(fd, _SOL_PACKET, _PACKET_RX_RING, geometry)
                self.buffer = mmap.mmap(fd, _SLOTS * _SLOT)
            except OSError as error:
                raise KernelError("make a packet ring", error.errno or 0) from error
            undo.pop_all()
        self._at = 0
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLIN)

    def attach(
        self,
        link: str,
        *,
        unwanted: Kind,
        protocol: int = ETH_P_ALL,
        outgoing: bool = False,
        only_index: int | None = None,
    ) -> None:
        """Listen on `link` from now on. Raises KernelError.

        Frames of kind `unwanted` are kept out. `outgoing` takes the link's own transmissions
        in. A `protocol` other than ETH_P_ALL sees only what rx handlers (macvlan) have let
        pass; `only_index` then refuses what a macvlan has meanwhile taken to another link.
        """
        program = _program(unwanted=unwanted, outgoing=outgoing, only_index=only_index)
        try:
            attach_filter(self.socket.fileno(), program)
            self.socket.bind((link, protocol))
        except OSError as error:
            raise KernelError(f"listen on {link}", error.errno or 0) from error

    def peek(self) -> int:
        """Offset in `buffer` of the next frame's first byte, -1 when there is none now.

        A tag that the kernel has taken out of the frame (skb_vlan_untag) is not in its place.
        """
        status, mac = _PEEK(self.buffer, self._at)
        return self._at + mac if status & _TP_STATUS_USER else -1

    def release(self) -> None:
        """Give the slot of the frame just peeked at back to the kernel."""
        at = self._at
        _SET_STATUS(self.buffer, at, _TP_STATUS_KERNEL)
        self._at = (at + _SLOT) % (_SLOTS * _SLOT)

    def take(self) -> tuple[bytes, int]:
        """The frame just peeked at, tags in place, and its sll_pkttype; its slot is released."""
        at = self._at
        status, length, mac, tci, tpid = _TAKE(self.buffer, at)
        start = at + mac
        frame = self.buffer[start : start + length]
        if status & _TP_STATUS_VLAN_VALID:
            frame = frame[:12] + struct.pack("!HH", tpid or 0x8100, tci) + frame[12:]
        kind = self.buffer[at + _PKTTYPE_AT]
        self.release()
        return frame, kind

    def wait(self, seconds: float) -> bool:
        """Wait for a frame; whether one is there."""
        events = self._polled(seconds)
        if events & select.POLLERR and not events & select.POLLIN:
            # The link went down once (ENETDOWN, packet_notifier): reading the error clears it.
            self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            events = self._polled(seconds)
        return bool(events & select.POLLIN)

    def _polled(self, seconds: float) -> int:
        return dict(self._poll.poll(seconds * 1000)).get(self.socket.fileno(), 0)

    def send(self, frame: bytes | bytearray) -> None:
        """Send a frame on the link. Raises OSError."""
        self.socket.send(frame)

    def close(self) -> None:
        """Give the ring and the socket back; idempotent."""
        self.buffer.close()
        self.socket.close()
