"""The lower device's broadcast queue: how long, for whom, and what does not go through it.

a [tap]--.
         lower ----- far
b [tap]--'

With a queue of length 0, whatever goes through the queue is dropped, and whatever arrives has
gone past it.
"""

import contextlib

import pytest

from harness import Guest, KernelError, Mode
from harness.kernel.counters import link_counters, moved
from harness.kernel.features import probe
from harness.kernel.packets import Membership

BROADCAST = "ff:ff:ff:ff:ff:ff"
GROUP = "03:68:70:00:00:01"
DEFAULT = 1000  # MACVLAN_DEFAULT_BC_QUEUE_LEN
LENGTH, CUTOFF = "IFLA_MACVTAP_BC_QUEUE_LEN", "IFLA_MACVTAP_BC_CUTOFF"
MODES = [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU]
LARGEST = "update_port_bc_queue_len, drivers/net/macvlan.c"


@pytest.fixture(autouse=True)
def _needed(backend):
    """Both settings: they came with Linux 5.11 and 6.4."""
    lacking = {"bcqueuelen", "bc_cutoff"} & set(probe().missing)
    if lacking:
        pytest.skip(f"this kernel has no {' and no '.join(sorted(lacking))}")


def _dropped(bed):
    """Without a listener, what the host's stack has no use for would count as well."""
    bed.end("lower")
    return link_counters(bed.ns)["lower"]["rx_dropped"]


def _used(bed, guest="a"):
    return bed.state(guest).macvtap.bcqueuelen_used


# ---------------------------------------------------------------------- how long


@pytest.mark.parametrize("mode", MODES)
def test_no_queue(cable, mode):
    """At length 0 no broadcast from outside arrives; the lower device counts it, not the guest.

    macvlan_broadcast_enqueue
    """
    bed = cable(Guest("a", mode, bcqueuelen=0))
    bed.end("a"), bed.end("lower"), bed.end("far")
    before = link_counters(bed.ns)
    bed.end("far").send(bed.frame("far", BROADCAST))
    changes = moved(before, link_counters(bed.ns))
    assert changes["lower"]["rx_dropped"] == 1
    assert "a" not in changes
    assert bed.seen("far", BROADCAST, at=["a", "lower"], queued=False) == ["lower"]
    assert bed.seen("far", "a", at=["a"]) == ["a"], "unicast needs no queue"


def test_siblings_need_no_queue(cable):
    """Between bridge siblings a broadcast is handed over at once (macvlan_queue_xmit)."""
    bed = cable(*(Guest(name, Mode.BRIDGE, bcqueuelen=0) for name in ("a", "b")))
    before = _dropped(bed)
    assert bed.seen("a", BROADCAST, at=["b", "far"], queued=False) == ["b", "far"]
    assert _dropped(bed) == before


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ((None, None), DEFAULT),
        ((0, None), DEFAULT),
        ((0, 0), 0),
        ((0, 7), 7),
        ((7, 3), 7),
        ((5000, None), 5000),
        ((0xFFFFFFFF, 1), 0xFFFFFFFF),
    ],
    ids=str,
)
def test_largest_counts(cable, asked, used):
    """The largest that any guest asks for is in use for all, and both read back."""
    names = ("a", "b")
    pairs = list(zip(names, asked, strict=True))
    bed = cable(*(Guest(name, Mode.BRIDGE, bcqueuelen=length) for name, length in pairs))
    assert {_used(bed, name) for name in names} == {used}, LARGEST
    for name, length in pairs:
        wanted = DEFAULT if length is None else length
        assert bed.state(name).macvtap.bcqueuelen == wanted, "macvlan_fill_info"
    before = _dropped(bed)
    arrived = bed.seen("far", BROADCAST, at=names, queued=used > 0)
    assert arrived == (list(names) if used else [])
    assert _dropped(bed) - before == (0 if used else 1)


def test_a_guest_that_is_down_counts(cable):
    """What a guest asks for counts from its creation, up or not (update_port_bc_queue_len)."""
    bed = cable(Guest("a", Mode.BRIDGE, bcqueuelen=0), Guest("b", Mode.BRIDGE, up=False))
    assert _used(bed) == DEFAULT, LARGEST
    assert bed.seen("far", BROADCAST, at=["a"]) == ["a"]


def test_deleted_with_its_guest(cable):
    """With the guest that asked for most, its length goes (macvlan_dellink)."""
    bed = cable(Guest("a", Mode.BRIDGE, bcqueuelen=0), Guest("b", Mode.BRIDGE, bcqueuelen=50))
    assert _used(bed) == 50
    bed.delete("b")
    assert _used(bed) == 0, LARGEST
    assert bed.seen("far", BROADCAST, at=["a"], queued=False) == []


def test_length_live(cable):
    """Changed live, it holds from the next broadcast on (macvlan_changelink)."""
    bed = cable(Guest("a", Mode.BRIDGE))
    arrived = []
    for length in (0, 3, 0):
        bed.configure("a", (LENGTH, length))
        assert (_used(bed), bed.state("a").macvtap.bcqueuelen) == (length, length)
        arrived.append(bed.seen("far", BROADCAST, at=["a"], queued=length > 0))
    assert arrived == [[], ["a"], []]


def test_used_length_cannot_be_set(cable):
    """The length in use is told, never taken: EINVAL (macvlan_policy, NLA_REJECT)."""
    bed = cable(Guest("a", Mode.BRIDGE))
    with pytest.raises(KernelError, match="EINVAL"):
        bed.configure("a", ("IFLA_MACVTAP_BC_QUEUE_LEN_USED", 5))
    assert _used(bed) == DEFAULT


# ---------------------------------------------------------------------- what goes past it


@pytest.mark.parametrize(
    ("cutoff", "past"),
    [
        pytest.param(1, {GROUP}, id="1: groups of one subscriber"),
        pytest.param(0, set(), id="0: nothing"),
        pytest.param(-1, {GROUP, BROADCAST}, id="-1: everything"),
        pytest.param(2147483647, {GROUP}, id="most: every group, never broadcast"),
    ],
)
def test_cutoff(cable, cutoff, past):
    """Groups with no more subscribers than the cutoff go past the queue; -1 takes it away.

    macvlan_recompute_bc_filter. The lower device must not be promiscuous, or the filter has
    every bit: hence passthru with nopromisc.
    """
    bed = cable(Guest("a", Mode.PASSTHRU, nopromisc=True, bcqueuelen=0))
    with contextlib.closing(Membership(bed.ns, "a", bed.index["a"], [GROUP])):
        bed.configure("a", (CUTOFF, cutoff))
        assert bed.state("a").macvtap.bc_cutoff == cutoff, "macvlan_fill_info"
        arrived = {
            group
            for group in (GROUP, BROADCAST)
            if bed.seen("far", group, at=["a"], queued=False) == ["a"]
        }
    assert arrived == past


def test_promiscuous_lower_queues_everything(cable):
    """On a promiscuous lower device every group is queued, whatever the cutoff but -1.

    macvlan_compute_filter (bitmap_fill)
    """
    bed = cable(Guest("a", Mode.BRIDGE, bcqueuelen=0))
    assert bed.state("lower").promiscuity, "__dev_set_rx_mode: a veth has no unicast filter"
    with contextlib.closing(Membership(bed.ns, "a", bed.index["a"], [GROUP])):
        seen = []
        for cutoff in (1, 50, -1):
            bed.configure("a", (CUTOFF, cutoff))
            seen.append(bed.seen("far", GROUP, at=["a"], queued=False))
    assert seen == [[], [], ["a"]]


def test_cutoff_is_the_lowers(cable):
    """One cutoff for all guests of a lower device: the last asked for (update_port_bc_cutoff)."""
    bed = cable(Guest("a", Mode.BRIDGE, bc_cutoff=5), Guest("b", Mode.BRIDGE, bc_cutoff=9))
    assert [bed.state(name).macvtap.bc_cutoff for name in ("a", "b")] == [9, 9]
    bed.configure("a", (CUTOFF, 3))
    assert [bed.state(name).macvtap.bc_cutoff for name in ("a", "b")] == [3, 3]
