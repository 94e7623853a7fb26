"""A real guest's end of the network: frames sent and captured by the agent inside."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress

from harness.errors import KernelError
from harness.frames import Kind, payload
from harness.guests.host import RealGuest
from harness.guests.tiny.answers import Stop
from harness.kernel.netns import NetNS
from harness.testbed.endpoints import Endpoint, Wanted
from harness.testbed.verdict import Barrier

__all__ = ["AgentEndpoint"]

_ETH_P_ALL = 3
_PACKET_OUTGOING = 4
_SENT_WITHIN = 5.0  # seconds
_LONGEST = 1 << 16


class AgentEndpoint(Endpoint):
    """The NIC of a guest, behind its macvtap `name` in `ns`.

    A frame is sent once it has left the macvtap: what follows it from elsewhere comes later.
    """

    def __init__(self, name: str, guest: RealGuest, ns: NetNS) -> None:
        super().__init__(name, sentinel=Kind.SENTINEL_TAP)
        self.guest = guest
        self._nic = guest.nic
        guest.agent.change(self._nic, up=True)
        # All that the macvtap hands over, as a tap's reader gets it: otherwise QEMU's card drops
        # unicast and VLANs that its guest has not asked for (receive_filter, hw/net/virtio-net.c).
        self._capture = guest.agent.capture(self._nic, promiscuous=True)
        self._watch = ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        self._watch.bind((name, _ETH_P_ALL))
        self._watch.settimeout(_SENT_WITHIN)

    def send(self, frame: bytes | bytearray) -> None:
        """The guest transmits; returns once the macvtap has. Raises KernelError when it does not.

        dev_queue_xmit shows to listeners what it sends (dev_queue_xmit_nit).
        """
        data = bytes(frame)
        self._forget_the_past()
        taken = self.guest.agent.send(self._nic, [data])
        if taken.errno:
            raise OSError(taken.errno, f"{self.name}: {os.strerror(taken.errno)}")
        while True:
            try:
                sent, (_, _, kind, *_) = self._watch.recvfrom(_LONGEST)
            except TimeoutError as error:
                raise KernelError(
                    f"send from {self.name}", errno.ETIMEDOUT, "the frame never left its macvtap"
                ) from error
            if kind == _PACKET_OUTGOING and sent == data:
                return

    def _forget_the_past(self) -> None:
        """Whatever clients have sent fills the buffer of a socket that nobody reads."""
        self._watch.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                self._watch.recv(_LONGEST)
        self._watch.settimeout(_SENT_WITHIN)

    def collect(self, ident: int, wanted: Wanted, patience: float) -> Barrier:
        """See Endpoint."""
        found = self._capture.read(tail=payload(Kind.SENTINEL_TAP, ident), seconds=patience)
        for frame in found.frames:
            self._unusual(frame, self.name, wanted)
        return Barrier.SENTINEL if found.stop is Stop.TAIL else self._given_up()

    def close(self) -> None:
        """See Endpoint."""
        self._watch.close()
