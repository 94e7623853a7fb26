"""Every ioctl of a tap, with good and bad arguments.

a [tap]--.
         lower ----- switch ----- external
b [tap]--'
"""

import errno
import fcntl
from dataclasses import dataclass

import pytest

from harness import Frame, Guest, Mode, Topology
from harness.kernel import taps as tap_module
from harness.kernel.gso import LargeFrame
from harness.kernel.taps import (
    IFF_ATTACH_QUEUE,
    IFF_DETACH_QUEUE,
    IFF_MULTI_QUEUE,
    IFF_NO_PI,
    IFF_TAP,
    IFF_VNET_HDR,
    Offload,
    Tap,
)
from harness.kernel.vnet import Gso

PAIR = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)])
A, B, LOWER = (PAIR.macs[name] for name in ("a", "b", "lower"))
OTHER = "02:68:70:01:00:77"
TAP = IFF_TAP | IFF_NO_PI
IFF_TUN, IFF_ONE_QUEUE, IFF_PERSIST, IFF_TUN_EXCL = 0x0001, 0x2000, 0x0800, 0x8000
INT_MAX = 0x7FFFFFFF
USO = Offload.CSUM | Offload.USO4 | Offload.USO6


@dataclass(frozen=True)
class Refused:
    """What an ioctl answers when the kernel refuses it."""

    number: int

    def __repr__(self):
        return errno.errorcode[self.number]


OK = None
EINVAL, EFAULT = Refused(errno.EINVAL), Refused(errno.EFAULT)
EADDRINUSE, EADDRNOTAVAIL = Refused(errno.EADDRINUSE), Refused(errno.EADDRNOTAVAIL)


def _answer(call, *arguments, **settings):
    try:
        return call(*arguments, **settings)
    except OSError as error:
        return Refused(error.errno)


@pytest.fixture
def tap(taps):
    """The queue of a; everything is put back afterwards."""
    queue = taps(PAIR).endpoints["a"].tap
    yield queue
    _answer(queue.set_queue, IFF_ATTACH_QUEUE)
    if queue.mac() != A:
        queue.set_mac(A)
    queue.set_vnet_le(on=False)
    _answer(queue.set_vnet_be, on=False)
    queue.configure(vnet_header=10, offloads=Offload.DEFAULT)
    queue.configure()
    queue.set_sndbuf(INT_MAX)


def _flags(flags):
    return lambda tap: (tap.set_flags(flags), tap.interface())[1]


def _header(size):
    return lambda tap: (tap.set_vnet_header_size(size), tap.vnet_header_size())[1]


def _queue(*changes):
    return lambda tap: [_answer(tap.set_queue, change) for change in changes]


CASES = {
    "TUNGETFEATURES": (Tap.features, 0x5102),
    "TUNSETIFF: a tap without packet information": (_flags(TAP), ("a", 0x1002)),
    "TUNSETIFF: with a header": (_flags(TAP | IFF_VNET_HDR), ("a", 0x5002)),
    "TUNSETIFF: several queues": (_flags(TAP | IFF_MULTI_QUEUE), ("a", 0x1102)),
    "TUNSETIFF: both": (_flags(TAP | IFF_VNET_HDR | IFF_MULTI_QUEUE), ("a", 0x5102)),
    "TUNSETIFF: nothing": (_flags(0), EINVAL),
    "TUNSETIFF: a tap with packet information": (_flags(IFF_TAP), EINVAL),
    "TUNSETIFF: not said whether a tap": (_flags(IFF_NO_PI), EINVAL),
    "TUNSETIFF: a tun": (_flags(IFF_TUN | IFF_NO_PI), EINVAL),
    "TUNSETIFF: tap and tun": (_flags(TAP | IFF_TUN), EINVAL),
    "TUNSETIFF: one queue": (_flags(TAP | IFF_ONE_QUEUE), EINVAL),
    "TUNSETIFF: persistent": (_flags(TAP | IFF_PERSIST), EINVAL),
    "TUNSETIFF: exclusive": (_flags(TAP | IFF_TUN_EXCL), EINVAL),
    "TUNGETIFF": (Tap.interface, ("a", 0x1002)),
    "TUNSETSNDBUF: one byte": (lambda tap: tap.set_sndbuf(1), OK),
    "TUNSETSNDBUF: the most": (lambda tap: tap.set_sndbuf(INT_MAX), OK),
    "TUNSETSNDBUF: nothing": (lambda tap: tap.set_sndbuf(0), EINVAL),
    "TUNSETSNDBUF: less": (lambda tap: tap.set_sndbuf(-1), EINVAL),
    "TUNSETVNETHDRSZ: ten": (_header(10), 10),
    "TUNSETVNETHDRSZ: twelve": (_header(12), 12),
    "TUNSETVNETHDRSZ: odd": (_header(21), 21),
    "TUNSETVNETHDRSZ: nine": (_header(9), EINVAL),
    "TUNSETVNETHDRSZ: nothing": (_header(0), EINVAL),
    "TUNSETVNETHDRSZ: less": (_header(-1), EINVAL),
    "TUNGETVNETLE": (Tap.vnet_le, False),
    "TUNSETVNETLE": (lambda tap: (tap.set_vnet_le(on=True), tap.vnet_le())[1], True),
    "TUNSETOFFLOAD: nothing": (lambda tap: tap.set_offloads(0), OK),
    "TUNSETOFFLOAD: all but USO": (lambda tap: tap.set_offloads(0x1F), OK),
    "TUNSETOFFLOAD: TSO without CSUM": (lambda tap: tap.set_offloads(0x06), OK),
    "TUNSETOFFLOAD: UDP tunnels": (lambda tap: tap.set_offloads(0x80), EINVAL),
    "TUNSETOFFLOAD: known and unknown": (lambda tap: tap.set_offloads(0x107), EINVAL),
    "SIOCGIFHWADDR": (Tap.mac, A),
    "SIOCSIFHWADDR": (lambda tap: (tap.set_mac(OTHER), tap.mac())[1], OTHER),
    "SIOCSIFHWADDR: its own": (lambda tap: (tap.set_mac(A), tap.mac())[1], A),
    "SIOCSIFHWADDR: a sibling's": (lambda tap: tap.set_mac(B), EADDRINUSE),
    "SIOCSIFHWADDR: the lower device's": (lambda tap: tap.set_mac(LOWER), EADDRINUSE),
    "SIOCSIFHWADDR: a group": (lambda tap: tap.set_mac("03:68:70:00:00:01"), EADDRNOTAVAIL),
    "SIOCSIFHWADDR: zeros": (lambda tap: tap.set_mac("00:00:00:00:00:00"), EADDRNOTAVAIL),
    "TUNSETQUEUE: detach": (_queue(IFF_DETACH_QUEUE), [OK]),
    "TUNSETQUEUE: detach twice": (_queue(IFF_DETACH_QUEUE, IFF_DETACH_QUEUE), [OK, EINVAL]),
    "TUNSETQUEUE: attach, attached": (_queue(IFF_ATTACH_QUEUE), [EINVAL]),
    "TUNSETQUEUE: detach, attach": (_queue(IFF_DETACH_QUEUE, IFF_ATTACH_QUEUE), [OK, OK]),
    "TUNSETQUEUE: neither": (_queue(0), [EINVAL]),
    "TUNSETQUEUE: both means attach": (
        _queue(IFF_DETACH_QUEUE, IFF_ATTACH_QUEUE | IFF_DETACH_QUEUE, IFF_ATTACH_QUEUE),
        [OK, OK, EINVAL],
    ),
}


@pytest.mark.parametrize(("call", "expected"), CASES.values(), ids=CASES)
def test_ioctl(tap, call, expected):
    """What it answers, or what is then read back (tap_ioctl, drivers/net/tap.c)."""
    assert _answer(call, tap) == expected, "tap_ioctl, drivers/net/tap.c"


@pytest.mark.parametrize(
    "name",
    [
        "TUNSETIFF",
        "TUNGETIFF",
        "TUNSETQUEUE",
        "TUNGETFEATURES",
        "TUNSETSNDBUF",
        "TUNGETVNETHDRSZ",
        "TUNSETVNETHDRSZ",
        "TUNGETVNETLE",
        "TUNSETVNETLE",
        "SIOCGIFHWADDR",
        "SIOCSIFHWADDR",
    ],
)
def test_bad_address(tap, name):
    """An argument where nothing is mapped: EFAULT (get_user, put_user in tap_ioctl)."""
    assert _answer(fcntl.ioctl, tap.fd, getattr(tap_module, name), 0) == EFAULT


UNKNOWN = {
    "TUNSETNOCSUM": 0x400454C8,
    "TUNSETPERSIST": 0x400454CB,
    "TUNSETOWNER": 0x400454CC,
    "TUNSETLINK": 0x400454CD,
    "TUNSETTXFILTER": 0x400454D1,
    "TUNGETSNDBUF": 0x800454D3,
    "TUNGETFILTER": 0x801054DB,
    "TUNSETSTEERINGEBPF": 0x800454E0,
    "TUNGETDEVNETNS": 0x54E3,
    "SIOCGIFFLAGS": 0x8913,
    "SIOCGIFMTU": 0x8921,
    "nobody's": 0x54FF,
}


@pytest.mark.parametrize("request_number", UNKNOWN.values(), ids=UNKNOWN)
def test_unknown(tap, request_number):
    """What only tun knows, or nobody: EINVAL, not ENOTTY (tap_ioctl's default)."""
    argument = bytearray(64)
    assert _answer(fcntl.ioctl, tap.fd, request_number, argument) == EINVAL


def test_as_opened(taps):
    """A header of ten bytes before any ioctl (tap_open); TUNSETIFF takes it away."""
    bed = taps(PAIR)
    with Tap.bare(bed.wiring.host, "a") as tap:
        assert (tap.interface(), tap.vnet_header_size()) == (("a", 0x5002), 10), "tap_open"


def test_refused_flags_change_nothing(tap):
    """The queue goes on with the flags that it had (TUNSETIFF in tap_ioctl)."""
    _answer(tap.set_flags, IFF_TAP | IFF_VNET_HDR)
    assert tap.interface() == ("a", TAP)


def test_name_is_ignored(tap):
    """TUNSETIFF looks at the flags alone: the link is the device node's."""
    fcntl.ioctl(tap.fd, tap_module.TUNSETIFF, tap_module._IFREQ.pack(b"b", TAP))
    assert tap.interface() == ("a", TAP)


def test_big_endian(tap):
    """TUNSETVNETBE: read back with CONFIG_TUN_VNET_CROSS_LE, refused both ways without."""
    read_back = [_answer(tap.vnet_be), _answer(tap.set_vnet_be, on=True), _answer(tap.vnet_be)]
    assert read_back in ([False, OK, True], [EINVAL] * 3), "tap_get_vnet_be, drivers/net/tap.c"


def test_uso_in_both_places(taps, tap):
    """TUNSETOFFLOAD takes USO if and only if frames may say UDP_L4 (both Linux 6.2)."""
    large = LargeFrame(B, A, Gso.UDP_L4)
    last = Frame(B, A, payload=b"last").to_bytes()
    tap.configure(vnet_header=10)
    in_a_frame = _answer(tap.write, large.header.pack() + large.frame)
    tap.write(bytes(10) + last)
    taps(PAIR).endpoints["b"].tap.read_up_to(last)
    expected = OK if in_a_frame == 10 + len(large.frame) else EINVAL
    assert _answer(tap.set_offloads, USO) == expected, "tap_ioctl; virtio_net_hdr_to_skb"


@pytest.mark.parametrize("half", [Offload.USO4, Offload.USO6], ids=["USO4", "USO6"])
def test_half_of_uso(tap, half):
    """Only both together mean anything (set_offload), but one alone is no error."""
    if _answer(tap.set_offloads, USO) is not OK:
        pytest.skip("this kernel's taps know no USO")
    assert _answer(tap.set_offloads, Offload.CSUM | half) is OK, "tap_ioctl"


def test_address_as_set(taps, tap):
    """Frames for the address that SIOCSIFHWADDR has set arrive, those for the old one do not."""
    b = taps(PAIR).endpoints["b"].tap
    tap.set_mac(OTHER)
    last = Frame(OTHER, B, payload=b"last").to_bytes()
    b.write(Frame(A, B, payload=b"to the old one").to_bytes())
    b.write(last)
    assert tap.read_up_to(last) == [], "macvlan_hash_change_addr, drivers/net/macvlan.c"
