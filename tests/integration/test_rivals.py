"""Rivals, each for a turn on the path that all share.

a's namespace      host        b's namespace
.-----------.   .---------.    .-----------.
|   a ======|===|= lower =|====|=== b      |
'-----------'   '---------'    '-----------'
"""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from harness import UnfitError
from harness.bench.crew import Crew
from harness.bench.rivals import Budget, Rivals, rounds
from harness.bench.rivals.captures import BlockCapture, NetsniffCapture, TcpdumpCapture
from harness.bench.rivals.cloop import CLoop
from harness.bench.rivals.engine import PacketEngine, TapEngine
from harness.bench.rivals.scapys import ScapySend, ScapySniff
from harness.bench.rivals.shared import SharedPath
from harness.bench.rivals.streams import IperfTcp, IperfUdp, NetperfTcp
from harness.bench.rivals.turns import Cores, Load
from harness.kernel import processes
from harness.kernel.waiting import look_until

SECONDS = 0.05


@pytest.fixture(scope="module")
def path():
    if os.geteuid():
        pytest.skip("takes root")
    with Crew() as crew, SharedPath(crew) as path:
        yield path


def turn_of(contestant):
    """A turn, and by how much the links' counters have moved in it."""
    path = contestant.path
    with closing(contestant):
        try:
            contestant.prepare()
        except UnfitError as error:
            pytest.skip(str(error))
        before = [path.counters(name) for name in ("a", "b")]
        turn = contestant.turn(SECONDS)
        after = [path.counters(name) for name in ("a", "b")]
    moved = [{k: y[k] - x[k] for k in y} for x, y in zip(before, after, strict=True)]
    return turn, *moved


@pytest.mark.parametrize("load", Load)
@pytest.mark.parametrize("cores", Cores)
@pytest.mark.parametrize("kind", [TapEngine, CLoop])
def test_taps(path, kind, cores, load):
    """From tap to tap nothing is lost, and nothing but ours is on the path."""
    turn, a, b = turn_of(kind(path, load, cores))
    assert turn.received == turn.sent > 0
    assert turn.lost == 0
    assert a["tx_packets"] == b["rx_packets"] > 0
    assert a["tx_bytes"] == a["tx_packets"] * load.length
    assert (a["rx_packets"], b["tx_packets"], b["rx_dropped"]) == (0, 0, 0)


@pytest.mark.parametrize("load", [Load.SMALL, Load.FULL])
@pytest.mark.parametrize(
    "kind", [PacketEngine, BlockCapture, NetsniffCapture, TcpdumpCapture, ScapySend, ScapySniff]
)
def test_packet_sockets(path, kind, load):
    """With no tap open the link's packet sockets hear what is sent, and nothing else is."""
    turn, a, b = turn_of(kind(path, load))
    assert turn.sent >= turn.received > 0
    assert a["tx_packets"] == b["rx_packets"] > 0
    assert a["tx_bytes"] == a["tx_packets"] * load.length
    assert (a["rx_packets"], b["tx_packets"]) == (0, 0)


def test_blocks_lose_nothing(path):
    """A TPACKET_V3 ring has everything that the engine sends at its full rate."""
    turn, *_ = turn_of(PacketEngine(path, Load.SMALL))
    assert turn.received == turn.sent


@pytest.mark.parametrize("kind", [IperfTcp, NetperfTcp])
def test_tcp(path, kind):
    """The same links carry TCP, in frames larger than the MTU."""
    turn, a, b = turn_of(kind(path, Load.GSO))
    assert turn.bits > 1e6
    assert a["tx_bytes"] == b["rx_bytes"] > 1_000_000
    assert a["tx_bytes"] / a["tx_packets"] > 1514


def test_udp(path):
    """Datagrams that fill the frame, none in fragments."""
    turn, a, _ = turn_of(IperfUdp(path, Load.FULL))
    assert turn.sent >= turn.received > 0
    assert a["tx_bytes"] / a["tx_packets"] == pytest.approx(1514, rel=0.05)


@pytest.fixture
def without(monkeypatch):
    """``without("cc")``: this machine has no such program."""

    def hide(*names):
        find = processes.shutil.which
        monkeypatch.setattr(
            processes.shutil, "which", lambda name, path: None if name in names else find(name)
        )

    return hide


def some(*entries):
    """What takes part: classes with their arguments."""
    return lambda path, whole: [kind(path, *arguments) for kind, *arguments in entries]


def test_rounds(path, monkeypatch):
    """Everybody in turn, round by round; a sample for each."""
    taps = [(TapEngine, Load.SMALL, Cores.ONE), (CLoop, Load.SMALL, Cores.ONE)]
    monkeypatch.setattr(rounds, "contestants", some(*taps))
    with Rivals(Budget(0.01, 3, whole=False), path.crew) as rivals:
        if rivals.missing:
            pytest.skip(str(rivals.missing))
        order = [(number, contestant.name) for number, contestant, _ in rivals.play()]
        found = rivals.measurements()
    names = ["engine, one core", "C loop, one core"]
    assert order == [(number, name) for number in (1, 2, 3) for name in names]
    assert [(x.variant, len(x.samples)) for x in found] == [(name, 3) for name in names]
    assert [x.beside for x in found] == ["", "engine, one core"]


def test_missing_programs_are_told(path, monkeypatch, without):
    """The others go on, and the package is named."""
    without("cc", "tcpdump", "trafgen", "netperf")
    entries = [
        (CLoop, Load.SMALL, Cores.ONE),
        (PacketEngine, Load.SMALL),
        (TcpdumpCapture, Load.SMALL),
        (BlockCapture, Load.SMALL),
        (NetperfTcp, Load.GSO),
    ]
    monkeypatch.setattr(rounds, "contestants", some(*entries))
    with Rivals(Budget(0.01, 1, whole=False), path.crew) as rivals:
        assert [contestant.name for _, contestant, _ in rivals.play()] == ["engine, packet socket"]
    assert rivals.missing == {
        "C loop, one core": "there is no cc here; apt install gcc libc6-dev",
        "tcpdump": "there is no trafgen here; apt install netsniff-ng",
        "trafgen": "there is no trafgen here; apt install netsniff-ng",
        "netperf TCP_STREAM": "there is no netperf here; apt install netperf",
    }


def test_interrupted(path, monkeypatch):
    """What has been measured until then is kept."""
    monkeypatch.setattr(rounds, "contestants", some((TapEngine, Load.SMALL, Cores.ONE)))
    with Rivals(Budget(0.01, 5, whole=False), path.crew) as rivals:
        next(rivals.play())
        (measured,) = rivals.measurements()
    assert len(measured.samples) == 1


def test_nothing_is_left_behind(path, monkeypatch, tmp_path):
    """No descriptor, no process, no file where we stand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    entries = [
        (TapEngine, Load.SMALL, Cores.TWO),
        (CLoop, Load.SMALL, Cores.TWO),
        (NetsniffCapture, Load.SMALL),
        (ScapySniff, Load.SMALL),
        (IperfTcp, Load.GSO),
    ]
    monkeypatch.setattr(rounds, "contestants", some(*entries))

    def open_descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    def play():
        with Rivals(Budget(0.01, 1, whole=False), path.crew) as rivals:
            for _ in rivals.play():
                pass

    play()  # what is opened once for the process is open now
    before = open_descriptors()
    play()
    assert open_descriptors() == before
    assert not list(tmp_path.iterdir())
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    crew = {str(member.pid) for member in (path.crew.sender, path.crew.receiver)}
    others = set(children) - crew
    assert not [x for x in others if Path("/proc", x, "comm").read_text() != "cat\n"]


PARENT = """
from harness.bench.crew import Crew
from harness.bench.crew import Crew
from harness.bench.rivals import Budget, Rivals, rounds
from harness.bench.rivals.captures import NetsniffCapture
from harness.bench.rivals.cloop import CLoop
from harness.bench.rivals.engine import PacketEngine
from harness.bench.rivals.scapys import ScapySniff
from harness.bench.rivals.turns import Cores, Load
rounds.contestants = lambda path, whole: [
    ScapySniff(path, Load.SMALL), {kind}(path, Load.SMALL{more})
]
with Crew() as crew, Rivals(Budget(1000.0, 1, whole=False), crew) as rivals:
    rivals._scores.reverse()
    print("up", flush=True)
    for _ in rivals.play():
        pass
"""


@pytest.mark.parametrize(
    ("kind", "more"), [("PacketEngine", ""), ("CLoop", ", Cores.TWO"), ("NetsniffCapture", "")]
)
def test_killed_in_a_turn(path, tmp_path, kind, more):
    """Workers, programs and what they have opened go with us, even by SIGKILL."""
    mark = f"HAIRPIN_RIVALS={kind}"
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(kind=kind, more=more)],
        env=os.environ | dict([mark.split("=")]) | {"TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "up\n"
        assert look_until(lambda: len(marked(mark)) >= 5, bool, within=10)
        process.kill()
        process.wait(10)
    assert look_until(lambda: not marked(mark), bool, within=10)
    assert not list(tmp_path.iterdir())


def marked(mark):
    """Processes that bear our mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{mark}\0".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found
