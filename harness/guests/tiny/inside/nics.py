"""The guest's network cards: what they are, and setting them up, by ioctl and sysctl."""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from harness.guests.tiny.inside.tasks import RequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from harness.guests.tiny.wire import Fields, Value

__all__ = ["change", "facts", "name_of", "neighbour"]

_SYS = "/sys/class/net"
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_SIOCGIFADDR, _SIOCSIFADDR = 0x8915, 0x8916
_SIOCSIFNETMASK, _SIOCSIFMTU, _SIOCSIFHWADDR = 0x891C, 0x8922, 0x8924
_SIOCDARP, _SIOCSARP = 0x8953, 0x8955
_ATF_COM, _ATF_PERM = 2, 4
_IFF_UP = 1
_ARPHRD_ETHER = 1


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:  # "carrier" of a card that is down has EINVAL
        return ""


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def name_of(nic: Value) -> str:
    """The name of a card that is named, or given by its MAC. Raises RequestError."""
    assert isinstance(nic, str)
    wanted = nic.lower()
    names = os.listdir(_SYS)
    for name in names:
        if wanted in (name, _read(f"{_SYS}/{name}/address")):
            return name
    raise RequestError(f"no network card {nic}; there are: {', '.join(sorted(names))}")


def facts() -> list[Value]:
    """All cards but the loopback, in the order of their indices."""
    found: list[Value] = []
    for name in sorted((x for x in os.listdir(_SYS) if x != "lo"), key=_index):
        try:
            found.append(_facts(name))
        except FileNotFoundError:  # unplugged meanwhile
            continue
    return found


def _index(name: str) -> int:
    return int(_read(f"{_SYS}/{name}/ifindex") or 0)


def _facts(name: str) -> Fields:
    folder = f"{_SYS}/{name}"
    queues = [x for x in os.listdir(f"{folder}/queues") if x.startswith("rx-")]
    return {
        "name": name,
        "mac": _read(f"{folder}/address"),
        "mtu": int(_read(f"{folder}/mtu") or 0),
        "index": _index(name),
        "up": bool(int(_read(f"{folder}/flags") or "0", 16) & _IFF_UP),
        "carrier": _read(f"{folder}/carrier") == "1",
        "queues": len(queues),
        "address": _address(name),
    }


def _ifreq(name: str, data: bytes) -> bytes:
    return struct.pack("16s24s", name.encode(), data)


def _sockaddr(address: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


def _ioctl(what: str, request: int, data: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            return fcntl.ioctl(sock, request, data)
        except OSError as error:
            raise RequestError(f"{what}: {error.strerror}", error.errno or 0) from error


def _address(name: str) -> str:
    try:
        answer = _ioctl(name, _SIOCGIFADDR, _ifreq(name, b""))
    except RequestError:  # EADDRNOTAVAIL: it has none
        return ""
    return socket.inet_ntoa(answer[20:24])


def change(fields: Fields) -> Fields:
    """Do what is asked of a card, in the order in which it works; its facts afterwards."""
    name = name_of(fields["nic"])
    if (ipv6 := fields.get("ipv6")) is not None:
        _write(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "0" if ipv6 else "1")
    if mac := fields.get("mac"):
        hardware = struct.pack("=H6s", _ARPHRD_ETHER, bytes.fromhex(str(mac).replace(":", "")))
        _ioctl(f"set the MAC {mac} of {name}", _SIOCSIFHWADDR, _ifreq(name, hardware))
    if (mtu := fields.get("mtu")) is not None:
        assert isinstance(mtu, int)
        _ioctl(f"set the MTU {mtu} of {name}", _SIOCSIFMTU, _ifreq(name, struct.pack("i", mtu)))
    if (up := fields.get("up")) is not None:
        _set_up(name, up=bool(up))
    if (address := fields.get("address")) is not None:
        _set_address(name, str(address))
    if fields.get("flush"):
        flush(name)
    return _facts(name)


def _set_up(name: str, *, up: bool) -> None:
    flags = struct.unpack_from("H", _ioctl(name, _SIOCGIFFLAGS, _ifreq(name, b"")), 16)[0]
    flags = flags | _IFF_UP if up else flags & ~_IFF_UP
    what = f"take {name} {'up' if up else 'down'}"
    _ioctl(what, _SIOCSIFFLAGS, _ifreq(name, struct.pack("H", flags)))


def _set_address(name: str, address: str) -> None:
    """`address` is 192.0.2.1/24; an empty one takes away what there is."""
    ip, _, prefix = (address or "0.0.0.0/0").partition("/")
    length = int(prefix or 32)
    mask = socket.inet_ntoa(struct.pack(">I", (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF))
    what = f"set the address {address} of {name}"
    _ioctl(what, _SIOCSIFADDR, _ifreq(name, _sockaddr(ip)))
    if address:
        _ioctl(what, _SIOCSIFNETMASK, _ifreq(name, _sockaddr(mask)))


def _arpreq(name: str, address: str, mac: str, flags: int) -> bytes:
    hardware = struct.pack("=H14s", _ARPHRD_ETHER, bytes.fromhex(mac.replace(":", "")))
    parts = (_sockaddr(address), hardware, flags, bytes(16), name.encode())
    return struct.pack("16s16si16s16s", *parts)


def flush(name: str) -> None:
    """Forget all IPv4 neighbours of a card, permanent ones too."""
    for line in _read("/proc/net/arp").splitlines()[1:]:
        words = line.split()
        if words[-1] == name:
            request = _arpreq(name, words[0], "00:00:00:00:00:00", _ATF_PERM)
            try:
                _ioctl(f"forget {words[0]}", _SIOCDARP, request)
            except RequestError:  # it has gone by itself in the meantime
                continue


def neighbour(fields: Fields) -> Fields:
    """A permanent neighbour entry."""
    name = name_of(fields["nic"])
    address, mac = str(fields["address"]), str(fields["mac"])
    request = _arpreq(name, address, mac, _ATF_COM | _ATF_PERM)
    _ioctl(f"set the neighbour {address} on {name}", _SIOCSARP, request)
    return {}
