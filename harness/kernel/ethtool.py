"""A link's own offloads, switched as `ethtool -K` does (ethtool_ioctl, net/ethtool/ioctl.c)."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import KernelError
from harness.kernel.netns import NetNS

__all__ = ["without_tx_offloads"]

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17


def _set_checksumming(ns: NetNS, name: str, *, on: bool) -> None:
    value = ctypes.create_string_buffer(struct.pack("=II", _ETHTOOL_STXCSUM, on))
    request = struct.pack("16sP16x", name.encode(), ctypes.addressof(value))

    def switch() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, _SIOCETHTOOL, request)

    try:
        ns.run(switch)
    except OSError as error:
        raise KernelError(
            f"switch the checksums of {name} {'on' if on else 'off'}", error.errno or 0
        ) from error


@contextmanager
def without_tx_offloads(ns: NetNS, name: str) -> Iterator[None]:
    """The link takes no unfinished checksum meanwhile, and with it no large frame.

    Segmentation rests on checksums (netdev_fix_features), so both happen before the link gets
    a frame (validate_xmit_skb). Raises KernelError.
    """
    _set_checksumming(ns, name, on=False)
    try:
        yield
    finally:
        _set_checksumming(ns, name, on=True)
