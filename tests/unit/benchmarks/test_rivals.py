"""Rivals: what their programs say, and what is made of it."""

import json

import pytest

from harness.bench.measurement import Measurement, Test
from harness.bench.rivals.captures import (
    Captured,
    captured_turn,
    parse_netsniff,
    parse_tcpdump,
    parse_trafgen,
    trafgen_arguments,
)
from harness.bench.rivals.cloop import parse_yardstick
from harness.bench.rivals.programs import parsed
from harness.bench.rivals.streams import (
    Stream,
    parse_iperf_tcp,
    parse_iperf_udp,
    parse_netperf,
)
from harness.bench.rivals.turns import Figure, Load, Turn
from harness.bench.rivals.work import Sent
from harness.errors import CommandError
from harness.kernel.processes import Finished
from harness.report.benchtables import rival_ratios

# trafgen 0.6.8, standard output.
TRAFGEN = (
    "     1 packets to schedule\n    60 bytes in total\nRunning! Hang up with ^C!\n\n\n"
    "\r      100000 packets outgoing\n\r     6000000 bytes outgoing\n"
    "\r           1 sec, 216650 usec on CPU0 (100000 packets)\n"
)
# netsniff-ng 0.6.8 with a ring of 1 MiB, standard output.
NETSNIFF = (
    "Running! Hang up with ^C!\n\n\r       58114  packets incoming (1886 unread on exit)\n"
    "\r       58154  packets passed filter\n"
    "\r        1846  packets failed filter (out of space)\n"
    "\r      3.0767% packet droprate\n\r           0  sec, 562576 usec in total\n"
)
# tcpdump 4.99.3 with a buffer of 64 KiB, standard error.
TCPDUMP = (
    "tcpdump: listening on b, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n"
    "34067 packets captured\n60000 packets received by filter\n25770 packets dropped by kernel\n"
)
# iperf 3.12, --json, the sums alone.
IPERF_TCP = {
    "end": {
        "sum_sent": {"seconds": 0.452463, "bytes": 524288000, "bits_per_second": 9269938094.38562},
        "sum_received": {
            "seconds": 0.455488,
            "bytes": 518914048,
            "bits_per_second": 9113988478.2914143,
        },
    }
}
UDP_SENT = {
    "seconds": 0.579194,
    "bytes": 104857920,
    "bits_per_second": 1448328815.5609348,
    "lost_packets": 0,
    "packets": 71235,
}
UDP_RECEIVED = {
    "seconds": 0.57942,
    "bytes": 52631360,
    "bits_per_second": 726676469.57302129,
    "lost_packets": 35480,
    "packets": 71235,
}


def test_trafgen():
    """Frames and time are those of the loop itself: starting up is not in it."""
    assert parse_trafgen(TRAFGEN) == Sent(100_000, 1.21665)


def test_netsniff():
    """What it left unread includes what was lost; we tell them apart."""
    assert parse_netsniff(NETSNIFF) == Captured(read=58114, unread=40, lost=1846)


def test_tcpdump():
    """What it received by filter includes what was dropped."""
    assert parse_tcpdump(TCPDUMP) == Captured(read=34067, unread=163, lost=25770)


def test_tcpdump_single_frame():
    """It says packet for one."""
    said = "1 packet captured\n1 packet received by filter\n0 packets dropped by kernel\n"
    assert parse_tcpdump(said) == Captured(1, 0, 0)


def test_iperf_tcp():
    """What has arrived, not what was sent."""
    assert parse_iperf_tcp(json.dumps(IPERF_TCP)).bits == pytest.approx(9.114e9, rel=1e-4)


def test_iperf_udp():
    """Datagrams per second at either end, each by its own clock."""
    said = json.dumps({"end": {"sum_sent": UDP_SENT, "sum_received": UDP_RECEIVED}})
    stream = parse_iperf_udp(said)
    assert stream.sent == pytest.approx(71235 / 0.579194)
    assert stream.received == pytest.approx((71235 - 35480) / 0.57942)
    assert stream.bits == pytest.approx(7.267e8, rel=1e-3)


def test_older_iperf_udp():
    """One sum only: packets as sent, of which so many were lost."""
    said = json.dumps({"end": {"sum": {**UDP_SENT, "lost_packets": 35480}}})
    assert parse_iperf_udp(said).received == pytest.approx((71235 - 35480) / 0.579194)


def test_netperf():
    """A figure alone, in 10^6 bit/s."""
    assert parse_netperf(" 9410.61\n") == Stream(9410.61e6)


def test_yardstick():
    """Frames sent, frames received, nanoseconds."""
    assert parse_yardstick("ready\n640 0 2000000\n") == Sent(640, 0.002, 0)
    assert parse_yardstick("ready\n0 640 0\n") == Sent(0, 0.0, 640)


@pytest.mark.parametrize(
    "parse",
    [
        parse_trafgen,
        parse_netsniff,
        parse_tcpdump,
        parse_iperf_tcp,
        parse_iperf_udp,
        parse_netperf,
        parse_yardstick,
    ],
)
@pytest.mark.parametrize("said", ["", "Segmentation fault\n", '{"error": "unable to connect"}'])
def test_output_that_is_none(parse, said):
    """Whatever else a program says is its failure, shown with its command."""
    finished = Finished(("program", "an argument"), 0, said, "")
    with pytest.raises(CommandError, match=r"^program 'an argument'\nits output was not"):
        parsed(parse, finished, "stdout")


def test_trafgen_frame():
    """The frame in its language: bytes, and the zeros at the end as one."""
    frame = bytes(range(1, 15)) + bytes(46)
    *_, content = trafgen_arguments(frame, 7)
    head = "0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e"
    assert content == f"{{ {head}, fill(0, 46) }}"


@pytest.mark.parametrize(
    ("load", "length", "written"),
    [(Load.SMALL, 60, 60), (Load.FULL, 1514, 1514), (Load.GSO, 65214, 65224)],
)
def test_frames(load, length, written):
    """As long as their names say, less the check sequence; GSO with its header."""
    pool = load.pool(b"\x02aaaaa", b"\x02bbbbb")
    assert (load.length, pool.length) == (length, written)
    assert bytes(pool.frame(0))[load.header :][:12] == b"\x02bbbbb\x02aaaaa"


def test_gso_frames_pass_whole():
    """Longer than a link's gso_max_size (64 KiB), and the kernel would cut them up."""
    assert Load.GSO.length < 1 << 16


def test_turn():
    """Rates of what was counted; GSO counts TCP's payload."""
    turn = Turn.counted(Load.GSO, sent=1000, received=900, seconds=0.5)
    assert (turn.sent, turn.received) == (2000, 1800)
    assert turn.lost == pytest.approx(0.1)
    assert turn.figure(Figure.GIGABITS) == pytest.approx(1800 * 45 * 1448 * 8 / 1e9)


def test_captured_turn():
    """What was left unread is neither received nor lost."""
    turn = captured_turn(Load.SMALL, Sent(1000, 0.1), Captured(read=700, unread=100, lost=200))
    assert turn.received == pytest.approx(7000)
    assert turn.lost == pytest.approx(0.2)
    assert turn.note == "10.0% left unread"


def _measured(variant, samples, *, frame="64", beside=""):
    return Measurement(
        Test.RIVAL, "path", frame, "frames/s", tuple(samples), variant, beside=beside
    )


def _ratios(*measured):
    return list(rival_ratios(measured).values())


ENGINE = "engine, one core"


def _c_loop(*samples, frame="64"):
    return _measured("C loop, one core", samples, frame=frame, beside=ENGINE)


def test_ratios_are_taken_round_by_round():
    """A round in which everybody was slow weighs as much as another."""
    engine = _measured(ENGINE, (100.0, 10.0, 90.0))
    assert _ratios(engine, _c_loop(50.0, 10.0, 100.0)) == [(2.0, 1.0, 0.9)]


def test_ratios_of_equal_frames_only():
    """Nobody is compared with who has had other frames, or alone."""
    engine = _measured(ENGINE, (1.0,))
    assert not _ratios(engine, _c_loop(1.0, frame="1518"))
    assert not _ratios(_c_loop(1.0))


def test_ratios_of_a_rival_that_dropped_out():
    """The rounds that both have had."""
    engine = _measured(ENGINE, (1.0, 2.0, 3.0))
    assert _ratios(engine, _c_loop(1.0, 1.0)) == [(1.0, 2.0)]


def test_ratios_to_nothing():
    """A rival that got nothing through in any round is compared with in none."""
    engine = _measured(ENGINE, (1.0, 2.0))
    assert not _ratios(engine, _c_loop(0.0, 0.0))
    assert _ratios(engine, _c_loop(0.0, 1.0)) == [(2.0,)]
