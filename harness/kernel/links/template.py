"""Many links that are alike: one is encoded by pyroute2, the others are copies of its bytes.

pyroute2 takes some 115 µs for a macvtap, a third and more of what the kernel takes to make it.
What tells one guest from the next is a name, an address and an index, each in a place of its own.
"""

from __future__ import annotations

import struct

from harness.kernel.dumps import nested
from harness.kernel.netlink import Request

__all__ = ["Template"]

_HEADER_SIZE = 16  # struct nlmsghdr
_BODY_SIZE = 16  # struct ifinfomsg
_INDEX_AT = _HEADER_SIZE + 4
_ATTRIBUTE_SIZE = 4  # struct nlattr
_MAC_SIZE = 6
_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFLA_LINK = 5
_write = struct.Struct("=i").pack_into


class Template:
    """A link request with IFLA_IFNAME and IFLA_LINK, and IFLA_ADDRESS unless `addressed` is off.

    Names must be as long as its own: the kernel drops a message that is shorter than its header
    says, and whatever comes with it, without an answer (netlink_rcv_skb, net/netlink/af_netlink.c).
    Raises ValueError when the request lacks one of these.
    """

    def __init__(self, request: Request, *, addressed: bool = True) -> None:
        self._data = request.data
        at = _HEADER_SIZE + _BODY_SIZE
        places: dict[int, tuple[int, int]] = {}
        for kind, value in nested(self._data[at:]):
            places[kind] = at + _ATTRIBUTE_SIZE, len(value)
            at += (_ATTRIBUTE_SIZE + len(value) + 3) & ~3
        try:
            name_at, size = places[_IFLA_IFNAME]
            self._lower_at = places[_IFLA_LINK][0]
            self._mac_at = places[_IFLA_ADDRESS][0] if addressed else 0
        except KeyError as error:
            raise ValueError(f"{request.purpose}: no attribute {error}") from None
        self._name = slice(name_at, name_at + size - 1)  # a NUL ends it

    def request(self, purpose: str, *, name: str, mac: str, index: int, lower: int) -> Request:
        """The same request for another link.

        Raises ValueError when the name is no match, and when `mac` is no address but is needed.
        """
        data = bytearray(self._data)
        encoded = name.encode()
        data[self._name] = encoded
        if len(data) != len(self._data):
            raise ValueError(f"{name!r} is not as long as the name in the template")
        if self._mac_at:
            address = bytes.fromhex(mac.replace(":", ""))
            if len(address) != _MAC_SIZE:
                raise ValueError(f"{purpose}: it takes an address, and {mac!r} is none")
            data[self._mac_at : self._mac_at + _MAC_SIZE] = address
        _write(data, _INDEX_AT, index)
        _write(data, self._lower_at, lower)
        return Request(purpose, bytes(data))
