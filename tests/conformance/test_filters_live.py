"""A guest's filters, opened and closed while it is up: groups, allmulticast, promiscuous.

a [tap]--.
         lower ----- far
b [tap]--'

A guest's own filter hashes groups with the address of a kernel structure, so what it lets
through by collision cannot be foreseen: one group in 256 for each that it holds. The lower
device's filter can be computed: `harness.model.group_hash`.
"""

import contextlib
from pathlib import Path

import pytest

from harness import Guest, Mode
from harness.kernel.packets import Membership
from harness.model import group_hash

GROUP = "03:68:70:00:00:01"
UNKNOWN = "02:68:70:ee:ee:ee"
BROADCAST = "ff:ff:ff:ff:ff:ff"
MODES = [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU]
STRANGERS = [f"03:68:70:{i:02x}:{i * 37 % 256:02x}:{i * 91 % 256:02x}" for i in range(64)]
# 64 groups, each let through with a chance of 1 in 256 for each of at most two that the filter
# holds: 16 would be a filter that does not filter (chance below 1e-15).
MOST = 16


def _let_through(bed, groups=STRANGERS, at="a"):
    return [group for group in groups if bed.seen("far", group, at=[at])]


@pytest.mark.parametrize("mode", MODES)
def test_joined(cable, mode):
    """Joined, a group arrives, in every mode (macvlan_set_mac_lists, macvlan_broadcast)."""
    bed = cable(Guest("a", mode))
    with contextlib.closing(Membership(bed.ns, "a", bed.index["a"], STRANGERS[:8])):
        assert _let_through(bed, STRANGERS[:8]) == STRANGERS[:8]


@pytest.mark.parametrize("mode", MODES)
def test_left(cable, mode):
    """Left, a group is gone once the guest's list has changed again.

    Of 8 that are left at once, collisions let one through now and then; 4 would be a filter
    that forgets nothing.
    """
    bed = cable(Guest("a", mode))
    Membership(bed.ns, "a", bed.index["a"], STRANGERS[:8]).close()
    with contextlib.closing(Membership(bed.ns, "a", bed.index["a"], [GROUP])):
        assert len(_let_through(bed, STRANGERS[:8])) < 4
        assert bed.seen("far", GROUP, at=["a"]) == ["a"]


@pytest.mark.parametrize("mode", MODES)
def test_left_last(cable, mode):
    """A group that was left last still arrives, until the guest's list changes again.

    macvlan_set_mac_lists makes the filter first and lets go of the entry after (dev_mc_sync),
    and nothing makes the filter anew.
    """
    bed = cable(Guest("a", mode))
    Membership(bed.ns, "a", bed.index["a"], [GROUP]).close()
    assert bed.seen("far", GROUP, at=["a"]) == ["a"]


@pytest.mark.parametrize("mode", MODES)
def test_filter_filters(cable, mode):
    """Of 64 groups that nobody has joined hardly any arrives; broadcast always does (mc_hash)."""
    bed = cable(Guest("a", mode))
    assert len(_let_through(bed)) <= MOST
    assert bed.seen("far", BROADCAST, at=["a"]) == ["a"]


def test_left_by_one_of_two(cable):
    """A group that b still has is b's; a's leaving concerns a alone (dev_mc_sync)."""
    bed = cable(Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE))
    both = [Membership(bed.ns, name, bed.index[name], [GROUP]) for name in ("a", "b")]
    assert bed.seen("far", GROUP, at=["a", "b"]) == ["a", "b"]
    both[0].close()
    assert bed.seen("far", GROUP, at=["b"]) == ["b"]
    both[1].close()


# ---------------------------------------------------------------------- the lower's own filter


def _lower_with_a_filter(cable):
    """A passthru guest with nopromisc: a veth filters when nobody's address is added to it.

    Any other mode adds its address (dev_uc_add), and a device without IFF_UNICAST_FLT, as veth
    is, turns promiscuous at once (__dev_set_rx_mode), which opens the filter.
    """
    bed = cable(Guest("a", Mode.PASSTHRU, nopromisc=True))
    assert not bed.state("lower").promiscuity
    return bed


def test_lowers_filter_is_computed(cable):
    """A group whose hash nobody has joined stops at the lower device, with certainty.

    macvlan_handle_frame tests mc_hash(NULL, …); even a guest that takes every group itself
    (IFF_PROMISC: macvlan_compute_filter) sees of the strangers only those whose hash collides.
    """
    bed = _lower_with_a_filter(cable)
    bed.set("a", promiscuous=True)
    assert not bed.state("lower").promiscuity, "macvlan_change_rx_flags: not in passthru"
    with contextlib.closing(Membership(bed.ns, "a", bed.index["a"], [GROUP])):
        held = {GROUP, *_held(bed, "lower")}
        through = {
            group_hash(group) for group in _one_for_each_bit() if bed.seen("far", group, at=["a"])
        }
    assert through == {group_hash(group) for group in (BROADCAST, *held)}


def _held(bed, link):
    """Groups that a link holds, its own stack's included: 224.0.0.1, ff02::1 (dev_mcast)."""
    table = bed.ns.run(lambda: Path("/proc/thread-self/net/dev_mcast").read_text())
    rows = [line.split() for line in table.splitlines()]
    return {bytes.fromhex(row[4]).hex(":") for row in rows if row[1] == link}


def _one_for_each_bit():
    """256 groups, one for each bit of the filter."""
    found = {}
    number = 0
    while len(found) < 256:
        number += 1
        group = f"03:68:71:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
        found.setdefault(group_hash(group), group)
    return found.values()


def test_host_sees_what_the_filter_stops(cable):
    """The filter is about guests: the host's stack gets every group (RX_HANDLER_PASS)."""
    bed = _lower_with_a_filter(cable)
    assert [bed.seen("far", group, at=["lower"]) for group in STRANGERS[:8]] == [["lower"]] * 8


# ---------------------------------------------------------------------- allmulticast, promiscuous

FLAGS = ["allmulticast", "promiscuous"]


def _counts(bed):
    state = bed.state("lower")
    return state.allmulti, state.promiscuity


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE])
@pytest.mark.parametrize(("flag", "more"), [("allmulticast", (1, 0)), ("promiscuous", (0, 1))])
def test_opened_and_closed(cable, mode, flag, more):
    """Every group arrives while it is on, and the lower device counts one more who asks for it.

    macvlan_change_rx_flags, macvlan_compute_filter
    """
    bed = cable(Guest("a", mode))
    before = _counts(bed)
    if before[0] is None:
        pytest.skip("this kernel does not tell allmulti (IFLA_ALLMULTI, Linux 6.0)")
    bed.set("a", **{flag: True})
    assert tuple(now - then for now, then in zip(_counts(bed), before, strict=True)) == more
    assert _let_through(bed) == STRANGERS
    bed.set("a", **{flag: False})
    assert _counts(bed) == before
    assert len(_let_through(bed)) <= MOST


@pytest.mark.parametrize("flag", FLAGS)
def test_counts_follow_the_link(cable, flag):
    """Down, a guest asks for nothing; up again, for what it had (macvlan_open, macvlan_stop)."""
    bed = cable(Guest("a", Mode.VEPA), Guest("b", Mode.VEPA))
    without = _counts(bed)
    if flag == "allmulticast" and without[0] is None:
        pytest.skip("this kernel does not tell allmulti (IFLA_ALLMULTI, Linux 6.0)")
    bed.set("a", **{flag: True})
    with_it = _counts(bed)
    assert with_it != without
    bed.set("a", up=False)
    assert _counts(bed) == without
    bed.set("a", up=True)
    assert _counts(bed) == with_it
    bed.delete("a")
    assert _counts(bed) == without


def test_promiscuous_in_passthru(cable):
    """A passthru guest's own promiscuous flag is not handed on (macvlan_change_rx_flags)."""
    bed = cable(Guest("a", Mode.PASSTHRU))
    before = _counts(bed)
    bed.set("a", promiscuous=True)
    assert _counts(bed) == before
    bed.set("a", allmulticast=True)
    assert _counts(bed)[1] == before[1]
    if before[0] is not None:  # IFLA_ALLMULTI, Linux 6.0
        assert _counts(bed)[0] == before[0] + 1, "allmulticast is handed on in every mode"


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE])
def test_promiscuous_gets_no_unknown_unicast(cable, mode):
    """However promiscuous, a guest sees no unicast for others (macvlan_hash_lookup)."""
    bed = cable(Guest("a", mode, promiscuous=True), Guest("b", Mode.VEPA))
    assert bed.seen("far", UNKNOWN, at=["a", "b"]) == []
    assert bed.seen("far", "b", at=["a", "b"]) == ["b"]
