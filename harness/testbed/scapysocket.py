"""A station's end as a scapy socket, for frames and protocols that scapy builds and dissects."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from scapy.layers.l2 import Ether
from scapy.supersocket import SuperSocket

from harness.errors import KernelError
from harness.kernel.netns import NetNS
from harness.kernel.packets import ETH_P_ALL, PACKET_OUTGOING
from harness.kernel.taps import Tap

__all__ = ["LinkSocket", "TapSocket"]

_MTU = 1 << 16


class _EtherSocket(SuperSocket):
    """What both have in common: whole Ethernet frames in and out."""

    desc = "hairpin station"

    def _read(self, size: int) -> bytes | None:
        raise NotImplementedError

    def recv_raw(self, x: int = _MTU) -> tuple[Any, bytes | None, float | None]:
        """The next frame, for scapy to dissect as Ethernet; nothing when there is none."""
        data = self._read(x)
        return (None, None, None) if data is None else (Ether, data, time.time())

    def send(self, x: Any) -> int:
        """Send a packet (or bytes) as one frame; returns its length in bytes."""
        return os.write(self.fileno(), bytes(x))


class TapSocket(_EtherSocket):
    """A guest's tap. The tap stays its owner's: closing this leaves it open."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap

    def _read(self, size: int) -> bytes | None:
        try:
            return os.read(self._tap.fd, size)
        except BlockingIOError:
            return None

    def fileno(self) -> int:
        """Descriptor, for select."""
        return self._tap.fd

    def close(self) -> None:
        """Idempotent."""
        self.closed = True


class LinkSocket(_EtherSocket):
    """A packet socket on the link `name` in `ns`; it does not see what it sends."""

    def __init__(self, ns: NetNS, name: str) -> None:
        try:
            self._socket = ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
            self._socket.bind((name, ETH_P_ALL))
        except OSError as error:
            raise KernelError(f"scapy socket on {name}", error.errno or 0) from error
        self._socket.settimeout(0)

    def _read(self, size: int) -> bytes | None:
        try:
            data, address = self._socket.recvfrom(size)
        except BlockingIOError:
            return None
        return None if address[2] == PACKET_OUTGOING else data

    def fileno(self) -> int:
        """Descriptor, for select."""
        return self._socket.fileno()

    def close(self) -> None:
        """Idempotent."""
        self.closed = True
        self._socket.close()
