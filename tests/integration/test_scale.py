"""Many guests on one lower device: made, proved, weighed and gone.

g0   [tap]--.
…           lower ----- switch ----- external
g299 [tap]--'
"""

import gc
import os
from dataclasses import replace

import pytest

from harness import DifferenceError, KernelError
from harness.bench.measurement import Test
from harness.bench.scale import QUICK, life, measure_scale, race
from harness.bench.scale.broadcast import Broadcaster
from harness.bench.scale.budget import crowd
from harness.bench.scale.canary import Canary
from harness.bench.scale.life import verify
from harness.bench.scale.race import create, create_by_ip
from harness.errors import UnfitError
from harness.kernel import limits
from harness.kernel.features import Backend, probe
from harness.kernel.links import delete_link, set_link
from harness.kernel.netns import NetNS
from harness.kernel.privileges import ensure_namespaces
from harness.kernel.processes import Family
from harness.kernel.readback import read_back
from harness.testbed import Testbed
from harness.testbed.wiring import Wiring

TINY = replace(
    QUICK, guests=(1, 3), lives=(3,), addresses=(2, 300), groups=(1, 40), races=2, seconds=0.01
)


@pytest.fixture(scope="module", autouse=True)
def _taps_here():
    ensure_namespaces()
    if probe().backend is not Backend.TAP:
        pytest.skip(f"no taps: {probe().backend_reason}")


@pytest.fixture
def nothing_left():
    """Afterwards: no descriptor and no child more than before, and no link where we are."""

    def held():
        gc.collect()
        links = sorted(os.listdir("/sys/class/net"))  # noqa: PTH208
        children = [p for p in os.listdir("/proc") if p.isdigit() and _parent(p) == os.getpid()]  # noqa: PTH208
        return len(os.listdir("/proc/self/fd")), links, children  # noqa: PTH208

    Testbed(crowd(1)).close()  # opens what is kept: the folder of device nodes
    before = held()
    yield
    assert held() == before


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return int(stat.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_three_hundred(nothing_left):
    """Up, each one proved its own, removed with their lower device; the namespace goes as well."""
    topology = crowd(300)
    with Testbed(topology) as bed:
        verify(bed)
        assert len(bed.wiring.host.rtnl.links()) == 302  # and the lower device, and lo
        with Canary(bed.wiring.host) as canary:
            gone = delete_link("lower", index=bed.wiring.index["lower"])
            bed.wiring.host.rtnl.transact([gone])
            assert [x.get_attr("IFLA_IFNAME") for x in bed.wiring.host.rtnl.links()] == [
                "lo",
                "canary",
            ]
            assert not canary.gone()
            bed.close()
            canary.wait()
            assert canary.gone()


def test_deaf_guest_is_named(impatient, nothing_left):
    """A link that was set down behind our back: found, and named, among three hundred."""
    with Testbed(crowd(300)) as bed:
        verify(bed)
        down = set_link("g217", index=bed.wiring.index["g217"], up=False)
        bed.wiring.host.rtnl.transact([down])
        with pytest.raises(DifferenceError, match=r"no frame reaches g217: the link is down"):
            verify(bed)


def test_deaf_to_broadcast(monkeypatch, nothing_left):
    """A guest that no broadcast reaches is named, too."""
    monkeypatch.setattr("harness.bench.scale.broadcast._LOST_AFTER", 0.2)
    with Testbed(crowd(20)) as bed:
        down = set_link("g7", index=bed.wiring.index["g7"], up=False)
        bed.wiring.host.rtnl.transact([down])
        with pytest.raises(KernelError, match=r"not reached: g7$"):
            Broadcaster(bed)


def test_same_links_as_ip(tools, nothing_left):
    """`ip -batch` and we make the same links: index, address, mode, state."""
    tools("ip")
    topology, made = crowd(40), []
    with Family() as family:
        for creates in (create, lambda wiring: create_by_ip(family, wiring)):
            with Wiring(topology) as wiring:
                wiring.build_network()
                assert creates(wiring).wall > 0
                links = read_back(wiring.host).links
                made.append(
                    {
                        x.name: (x.index, x.mac, x.mtu, x.on, x.up, x.queue_length, x.settings)
                        for x in links.values()
                        if x.kind == "macvtap"
                    }
                )
    assert made[0] == made[1]
    assert len(made[0]) == 40
    assert {guest.name: guest.mac for guest in topology.guests} == {
        name: facts[1] for name, facts in made[0].items()
    }


def test_thousands_of_requests():
    """More than the socket can hold answers for; the first refusal is told, the rest is done."""
    with NetNS.create() as ns:
        up = set_link("lo", index=1, up=True)
        ns.rtnl.transact([up] * 2000)
        nobody = [set_link(f"nobody{i}", index=7000 + i, up=True) for i in range(500)]
        with pytest.raises(KernelError, match="set link nobody0 up: ENODEV"):
            ns.rtnl.transact([*nobody, set_link("lo", index=1, up=False), *nobody])
        assert not read_back(ns).links["lo"].up


def test_every_figure(nothing_left):
    """A run as small as can be: every part yields, each figure has a key of its own."""
    missing, said = {}, []
    figures = list(measure_scale(TINY, progress=said.append, missing=missing))
    assert set(missing) <= {"ip -batch"}
    assert len({x.key for x in figures}) == len(figures)
    assert {x.test for x in figures} == {Test.SCALE, Test.FAN_OUT, Test.ADDRESSES}
    assert all(min(x.samples) > 0 for x in figures)
    assert said
    sizes = {}
    for found in figures:
        sizes.setdefault(found.path, []).extend(size for size, _ in found.curve)
    assert sizes["guests up"] == [1, 3]
    assert sizes["passthru guest, hairpinned"] == [2, 300]


@pytest.mark.parametrize("at", [1, 5, 9, 12, 16, 20])
def test_interrupted(at, nothing_left):
    """Whenever it comes: what was complete has been yielded, and nothing stays."""
    said = []

    def progress(text):
        said.append(text)
        if len(said) == at:
            raise KeyboardInterrupt

    figures = []
    with pytest.raises(KeyboardInterrupt):
        figures.extend(measure_scale(TINY, progress=progress, missing={}))  # keeps what came
    assert bool(figures) is (at > 4)


def test_without_ip(monkeypatch):
    """What cannot be measured is said, with the package; the rest goes on."""

    def lacking(name):
        raise UnfitError(f"there is no {name} here", remedy="apt install iproute2")

    monkeypatch.setattr(race, "find_program", lacking)
    missing = {}
    figures = list(race.races(TINY, lambda _: None, missing))
    assert missing == {"ip -batch": "there is no ip here; apt install iproute2"}
    assert [x.path for x in figures] == ["guests up", "guests up"]


def test_too_few_descriptors(monkeypatch):
    """Said before the kernel refuses, with the remedy; the parts that need none go on."""
    monkeypatch.setattr(limits.resource, "getrlimit", lambda _: (64, 64))
    with pytest.raises(UnfitError, match="ulimit -Hn"):
        list(life.lives(TINY, lambda _: None, {}))
