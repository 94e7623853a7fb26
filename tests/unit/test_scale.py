"""Scale: the arithmetic, and what is read out of /proc."""

import errno
import resource
from types import SimpleNamespace

import pytest

from harness import Mode
from harness.bench.measurement import Better, Test
from harness.bench.scale import FULL, QUICK
from harness.bench.scale.budget import counted, crowd, figure, room_for
from harness.bench.scale.growth import group_macs, slots_for, station_macs
from harness.bench.scale.race import batch_text
from harness.errors import KernelError, UnfitError
from harness.kernel import limits
from harness.kernel.limits import allow_descriptors
from harness.kernel.memory import parse_meminfo, parse_slabinfo

SLABINFO = """\
slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables
kmalloc-8k            10     12   8192    4    8 : tunables    0    0    0 : slabdata 3 3 0
kernfs_node_cache   1000   1050    128   32    1 : tunables    0    0    0 : slabdata 33 33 0
"""


def test_slab_objects_in_use():
    """Not those that are there for the next."""
    assert parse_slabinfo(SLABINFO) == 10 * 8192 + 1000 * 128


def test_meminfo():
    found = parse_meminfo("MemTotal:  24684444 kB\nPercpu:   64 kB\nHugePages_Total:  0\n")
    assert found == {"MemTotal": 24684444 * 1024, "Percpu": 65536}


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1 guest"), (2, "2 guests"), (1000, "1,000 guests")]
)
def test_counted(number, text):
    assert counted(number, "guest") == text


def test_counted_addresses():
    assert counted(2, "address") == "2 addresses"


def test_point():
    """The median at so many of them."""
    found = figure("up", 9, "guest", "ms", [5.0, 4.0])
    assert found.curve == ((9.0, 4.5),)
    assert (found.test, found.better, found.variant) == (Test.SCALE, Better.LOWER, "9 guests")


def test_crowd():
    topology = crowd(300)
    assert len({g.mac for g in topology.guests}) == 300
    assert {g.mode for g in topology.guests} == {Mode.BRIDGE}


def test_batch():
    """One line for each guest: the same index, address, mode and state."""
    topology = crowd(2)
    text = batch_text(topology, SimpleNamespace(index={"g0": 40, "g1": 41}))
    macs = [guest.mac for guest in topology.guests]
    assert text.splitlines() == [
        f"link add name g{i} index {40 + i} link lower address {macs[i]} up "
        "type macvtap mode bridge"
        for i in range(2)
    ]


@pytest.mark.parametrize("macs", [station_macs, group_macs])
def test_addresses(macs):
    """All different; the group bit as it should be; locally administered."""
    found = macs(70_000)
    assert len(set(found)) == 70_000
    assert {(mac[0] & 1, mac[0] & 2) for mac in found} == {(int(macs is group_macs), 2)}


@pytest.mark.parametrize(
    ("count", "slots"), [(1, 256), (256, 256), (257, 512), (1024, 1024), (16384, 16384)]
)
def test_slots(count, slots):
    """A power of two that has room for them."""
    assert slots_for(count) == slots


@pytest.mark.parametrize("budget", [QUICK, FULL])
def test_budgets(budget):
    """In growing order, so that each curve is; the FDB's from two on."""
    for sizes in (budget.guests, budget.lives, budget.addresses, budget.groups):
        assert list(sizes) == sorted(set(sizes))
    assert budget.addresses[0] >= 2
    assert budget is QUICK or budget.races >= 5


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOMEM, "memory"), (errno.ENFILE, "fs.file-max"), (errno.EMFILE, "ulimit")],
)
def test_what_runs_out(code, remedy):
    with pytest.raises(UnfitError, match=f"1,000 guests do not fit.*{remedy}"), room_for(1000):
        raise KernelError("add macvtap g7", code)


def test_what_does_not_run_out():
    with pytest.raises(KernelError, match="EINVAL"), room_for(1000):
        raise KernelError("add macvtap g7", errno.EINVAL)


@pytest.mark.parametrize(
    ("soft", "hard", "raised"),
    [
        pytest.param(100_000, 100_000, None, id="enough"),
        pytest.param(512, 4096, 4096, id="soft to hard"),
        pytest.param(512, resource.RLIM_INFINITY, resource.RLIM_INFINITY, id="unlimited"),
        pytest.param(resource.RLIM_INFINITY, resource.RLIM_INFINITY, None, id="no limit at all"),
    ],
)
def test_descriptors(monkeypatch, soft, hard, raised):
    set_to = []
    monkeypatch.setattr(limits.resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(limits.resource, "setrlimit", lambda _, new: set_to.append(new))
    allow_descriptors(1000)
    assert set_to == ([(raised, raised)] if raised is not None else [])


def test_too_few_descriptors(monkeypatch):
    monkeypatch.setattr(limits.resource, "getrlimit", lambda _: (512, 1024))
    with pytest.raises(UnfitError, match=r"may open 1,024; raise the hard limit: ulimit -Hn"):
        allow_descriptors(1000)
