"""What a namespace's stack knows, read from its /proc/net: neighbours, addresses, open ports."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from harness.kernel.netns import NetNS

__all__ = ["Address6", "addresses6", "arp_table", "groups", "listening", "netlink_routes"]

_ATF_COM = 0x02  # the entry is complete
_TENTATIVE = 0x40  # IFA_F_TENTATIVE
_DADFAILED = 0x08  # IFA_F_DADFAILED
_TCP_LISTEN = 0x0A
_UDP_BOUND = 0x07


def _lines(ns: NetNS, name: str) -> list[list[str]]:
    path = Path("/proc/thread-self/net", name)
    text = ns.run(lambda: path.read_text() if path.exists() else "")
    return [line.split() for line in text.splitlines()]


def arp_table(ns: NetNS) -> dict[str, str]:
    """IPv4 address to MAC address; to the empty string where ARP has found, or finds, nobody."""
    return {
        address: mac if int(flags, 16) & _ATF_COM else ""
        for address, _, flags, mac, *_ in _lines(ns, "arp")[1:]
    }


@dataclass(frozen=True)
class Address6:
    """An IPv6 address of a link; `tentative` until duplicate address detection has ended."""

    link: str
    address: IPv6Address
    tentative: bool
    duplicate: bool


def addresses6(ns: NetNS) -> list[Address6]:
    """Every IPv6 address in `ns`."""
    return [
        Address6(
            link,
            IPv6Address(bytes.fromhex(digits)),
            tentative=bool(int(flags, 16) & _TENTATIVE),
            duplicate=bool(int(flags, 16) & _DADFAILED),
        )
        for digits, _, _, _, flags, link in _lines(ns, "if_inet6")
    ]


def groups(ns: NetNS, link: str) -> frozenset[str]:
    """Multicast MACs that a link listens for."""
    found = (line for line in _lines(ns, "dev_mcast") if line[1] == link)
    return frozenset(bytes.fromhex(mac).hex(":") for *_, mac in found)


def listening(ns: NetNS, port: int, *, udp: bool = False) -> Callable[[], bool]:
    """A condition: somebody in `ns` listens on that TCP (or UDP) port."""
    wanted = _UDP_BOUND if udp else _TCP_LISTEN

    def look() -> bool:
        for table in ("udp", "udp6") if udp else ("tcp", "tcp6"):
            for _, local, _, state, *_ in _lines(ns, table)[1:]:
                if int(local.rpartition(":")[2], 16) == port and int(state, 16) == wanted:
                    return True
        return False

    return look


def netlink_routes(ns: NetNS, pid: int) -> dict[int, int]:
    """Descriptor to port of the NETLINK_ROUTE sockets that process `pid`, as we see it, has open.

    Raises OSError when there is no such process.
    """
    ports = {
        f"socket:[{inode}]": int(port)
        for _, protocol, port, *_, inode in _lines(ns, "netlink")[1:]
        if protocol == "0" and int(port)
    }
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            target = entry.readlink().name
            if target in ports:
                found[int(entry.name)] = ports[target]
    return found
