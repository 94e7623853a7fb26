"""A path: two ends, and whatever of the kernel lies between them.

    end a ==> [ macvtap, switch, … ] ==> end b

An end is a descriptor that takes and gives whole frames, as a hypervisor uses it.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum

from harness.kernel.netns import NetNS
from harness.resource import Resource

__all__ = ["BROADCAST", "End", "EndKind", "Path"]

BROADCAST = b"\xff" * 6


class EndKind(StrEnum):
    """What an end's descriptor is."""

    TAP = "tap"
    PACKET = "packet socket"
    PIPE = "pipe"


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


@dataclass
class Path(Resource):
    """A live way for frames from `a` to `b` (and back). Use it in a `with` statement.

    `others` are further receivers of what is broadcast. `queue` is how many frames `b` holds
    while nobody reads. `undo` takes everything down.
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

    def close(self) -> None:
        """Take it down; idempotent."""
        self.undo.close()
