"""A path: two ends, and whatever of the kernel lies between them.

    end a ==> [ macvtap, switch, … ] ==> end b

An end is a descriptor that takes and gives whole frames, as a hypervisor uses it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum

from harness.kernel.engine import (
    Pool,
    Receiver,
    Sender,
    VhostReceiver,
    VhostSender,
    make_receiver,
    make_sender,
)
from harness.kernel.netns import NetNS
from harness.resource import Resource

__all__ = ["BROADCAST", "End", "EndKind", "Path"]

BROADCAST = b"\xff" * 6


class EndKind(StrEnum):
    """What an end's descriptor is."""

    TAP = "tap"
    PACKET = "packet socket"
    PIPE = "pipe"
    VHOST = "vhost-net"
    """A tap that vhost-net's thread reads and writes, once a sender or receiver is made."""


@dataclass(frozen=True)
class End:
    """One end: `fd` does not block. `header` is the size of the virtio-net header, 0 for none.

    `queues` are further descriptors of the same end (a multi-queue tap), `socket` is what `fd`
    belongs to where that is a packet socket. `ns` and `link` say which link it is the end of.
    """

    fd: int
    kind: EndKind
    mac: bytes
    header: int = 0
    queues: tuple[int, ...] = ()
    socket: socket.socket | None = None
    ns: NetNS | None = None
    link: str = ""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Every descriptor of it."""
        return self.fd, *self.queues

    def sender(self, pool: Pool) -> Sender:
        """The fastest way to send a pool from here. Raises OSError."""
        return (
            VhostSender(self.fd, pool) if self.kind is EndKind.VHOST else make_sender(self.fd, pool)
        )

    def receiver(self, length: int, *, number_at: int, stamped: bool = False) -> Receiver:
        """The fastest way to receive frames of up to `length` bytes here. Raises OSError."""
        if self.kind is EndKind.VHOST:
            return VhostReceiver(self.fd, length, number_at=number_at)
        return make_receiver(self.fd, length, number_at=number_at, stamped=stamped)


@dataclass
class Path(Resource):
    """A live way for frames from `a` to `b` (and back). Use it in a `with` statement.

    `others` are further receivers of what is broadcast. `queue` is how many frames `b` holds
    while nobody reads: exactly so many where `b` is a tap whose queue has not been read since the
    path was opened (one that has been may hold 15 fewer: ptr_ring gives places back in batches),
    at least so many elsewhere. `undo` takes everything down.
    """

    name: str
    a: End
    b: End
    undo: ExitStack
    others: tuple[End, ...] = ()
    queue: int = 500
    mtu: int = 1500
    sources: tuple[bytes, ...] = field(default=())
    """Source addresses to send from in turn; a's own when there are none."""
    targets: tuple[bytes, ...] = field(default=())
    """Addresses to send to in turn; b's own when there are none."""
    ip_only: bool = False
    """Whether only IPv4 finds its way: frames then need `FrameSpec.flows`."""
    namespaces: Mapping[str, NetNS] = field(default_factory=dict)
    """What lies between the ends, by name: host, switch, …; for counters, and for meddling."""

    def close(self) -> None:
        """Take it down; idempotent."""
        self.undo.close()
