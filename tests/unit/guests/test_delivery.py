"""What became of the echo requests of an external host while a guest moved."""

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6MLReport2,
    ICMPv6ND_NS,
    ICMPv6ND_RS,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import ARP, Ether

from harness.guests.migration.delivery import Move, delivery, describe, moves
from harness.guests.migration.echoes import Party, number_of
from harness.kernel.recording import Heard

GUEST = Party("02:68:70:01:00:01", "10.104.0.1")
US = Party("02:68:70:03:00:01", "10.104.0.200")
EVERYBODY = "ff:ff:ff:ff:ff:ff"
MS = 1_000_000
BEGAN = 100 * MS

TO_ALL = Ether(src=GUEST.mac, dst=EVERYBODY)
RARP = bytes(TO_ALL / ARP(op=3, hwsrc=GUEST.mac, hwdst=GUEST.mac)).replace(b"\x08\x06", b"\x80\x35")
GRATUITOUS = bytes(TO_ALL / ARP(op=1, hwsrc=GUEST.mac, psrc=GUEST.ip, pdst=GUEST.ip))
ASKING = bytes(TO_ALL / ARP(op=1, hwsrc=GUEST.mac, psrc=GUEST.ip, pdst=US.ip))
SIX = TO_ALL / IPv6(src="::", dst="ff02::16")


def answer(number, kind=0, ident=0x6870):
    head = Ether(src=GUEST.mac, dst=US.mac) / IP(src=GUEST.ip, dst=US.ip)
    return bytes(head / ICMP(type=kind, id=ident, seq=number) / bytes(56))


def heard(*frames, link="external"):
    """One every 10 ms; a number stands for its answer, None for nothing."""
    frames = [answer(x) if isinstance(x, int) else x for x in frames]
    return [Heard(i * 10 * MS, link, False, x) for i, x in enumerate(frames) if x is not None]


def told(*frames, sent=6):
    return delivery([i * 10 * MS for i in range(sent)], heard(*frames), GUEST, began=BEGAN)


def test_everything_answered():
    found = told(0, 1, 2, 3, 4, 5)
    assert (found.sent, found.lost, found.duplicates, found.reordered) == (6, 0, 0, 0)
    assert found.longest_gap == pytest.approx(0.01)


def test_gap():
    found = told(0, 1, None, None, 4, 5)
    assert found.lost == 2
    assert found.longest_gap == pytest.approx(0.03)
    assert found.gap_at == pytest.approx(-0.09)  # the migration began at 100 ms


def test_doubled_and_out_of_order():
    found = told(0, 2, 1, 1, 3, 4, 5)
    assert (found.lost, found.duplicates, found.reordered) == (0, 1, 1)


def test_nothing_answered():
    found = told()
    assert (found.lost, found.longest_gap, found.gap_at) == (6, 0, 0)


def test_announcements():
    found = told(0, RARP, GRATUITOUS, ASKING, RARP, sent=1)
    assert (found.rarps, found.gratuitous_arps) == (2, 1)


def test_of_others():
    """What the link itself sends counts for nothing, and another's RARP does not."""
    own = [Heard(x.at, x.link, True, x.frame) for x in heard(0, RARP)]
    others = heard(RARP.replace(bytes.fromhex("026870010001"), bytes(6)))
    found = delivery([0], own + others, GUEST, began=0)
    assert (found.lost, found.rarps) == (1, 0)


@pytest.mark.parametrize(
    ("frame", "number"),
    [
        pytest.param(answer(7), 7, id="answer"),
        pytest.param(answer(7, kind=8), None, id="request"),
        pytest.param(answer(7, ident=1), None, id="somebody-elses"),
        pytest.param(bytes(TO_ALL / IP() / UDP() / bytes(40)), None, id="udp"),
        pytest.param(GRATUITOUS, None, id="arp"),
    ],
)
def test_number(frame, number):
    assert number_of(frame) == number


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (answer(1), "echo reply"),
        (answer(1, kind=8), "IPv4"),
        (GRATUITOUS, "ARP"),
        (RARP, "RARP"),
        (bytes(SIX / ICMPv6ND_RS()), "IPv6 router solicitation"),
        (bytes(SIX / ICMPv6ND_NS()), "IPv6 neighbour solicitation"),
        (
            bytes(SIX / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / ICMPv6MLReport2()),
            "IPv6 MLDv2 report",
        ),
        (bytes(SIX / UDP()), "IPv6"),
        (bytes(Ether(type=0x88CC) / bytes(46)), "ethertype 0x88cc"),
    ],
    ids=str,
)
def test_describe(frame, words):
    assert describe(frame) == words


def test_moves():
    """Only frames of the guest, and only those that came to another port than the one before."""
    other = answer(0).replace(bytes.fromhex("026870010001"), bytes.fromhex("026870010009"))
    solicitation = bytes(SIX / ICMPv6ND_RS())
    at = [(0, "a", 0), (1, "a", 1), (2, "b", RARP), (3, "a", other), (4, "a", solicitation)]
    seen = [x for ms, port, frame in at for x in at_port(ms, port, frame)]
    assert moves(seen, GUEST, ports=("a", "b"), began=0) == [
        Move(0.0, "a", "echo reply"),
        Move(pytest.approx(0.002), "b", "RARP"),
        Move(pytest.approx(0.004), "a", "IPv6 router solicitation"),
    ]


def at_port(ms, port, frame):
    """The bridge shows the frame on itself too, and sends it on."""
    frame = answer(frame) if isinstance(frame, int) else frame
    return [
        Heard(ms * MS, port, False, frame),
        Heard(ms * MS, "switch", False, frame),
        Heard(ms * MS, "b" if port == "a" else "a", True, frame),
    ]
