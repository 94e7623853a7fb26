"""Traps of passthru: what the lower device never learns, or never forgets.

    p [tap, passthru]-- lower ----- switch ----- external

Exploration found them (docs/findings.md). A kernel that differs here has been mended.
"""

import errno
from dataclasses import replace

import pytest

from harness import Behaviour, Guest, KernelError, Mode, Stimulus, Testbed, Topology
from harness.kernel import links
from harness.model import group_hash
from harness.parts import BROADCAST_MAC

# Groups that the lower device's filter, closed, does not let through by collision: not with
# broadcast, not with what every link's own stack has joined (ip_mc_up, ipv6_mc_up).
OPEN = {group_hash(mac) for mac in (BROADCAST_MAC, "01:00:5e:00:00:01", "33:33:00:00:00:01")}
NOT_JOINED = [
    group
    for i in range(8192)
    if group_hash(group := f"03:68:70:{i >> 8:02x}:{i & 255:02x}:01") not in OPEN
]


def _promiscuity(bed):
    (lower,) = [x for x in bed.wiring.host.rtnl.links() if x.get_attr("IFLA_IFNAME") == "lower"]
    return lower.get_attr("IFLA_PROMISCUITY")


def _set_nopromisc(bed, *, on):
    guest = replace(bed.topology.guest("p"), nopromisc=on)
    bed.wiring.host.rtnl.transact([links.change_guest(guest, index=bed.wiring.index["p"])])


@pytest.fixture
def passthru(testbed, request):
    """A testbed that nobody else is given: what happens to its lower device is not undone."""
    backend = testbed(Topology([])).backend
    with Testbed(Topology([Guest("p", Mode.PASSTHRU, up=request.param)]), backend=backend) as bed:
        yield bed


@pytest.mark.parametrize("passthru", [True], indirect=True, ids=["up"])
def test_balanced_while_up(passthru):
    """Taken back and given again: one, none, one (macvlan_changelink, dev_set_promiscuity)."""
    counts = [_promiscuity(passthru)]
    for on in (True, False):
        _set_nopromisc(passthru, on=on)
        counts.append(_promiscuity(passthru))
    assert [count - counts[1] for count in counts] == [1, 0, 1]


@pytest.mark.parametrize("passthru", [False], indirect=True, ids=["down"])
def test_unbalanced_while_down(passthru):
    """What macvlan_open had never added is taken away: the count wraps below zero, for good.

    macvlan_changelink does not ask whether the link is up; the way back then is EOVERFLOW
    (__dev_set_promiscuity, net/core/dev.c), and the link keeps nopromisc. A kernel that asks
    leaves the count as it was, and goes back.
    """
    before = _promiscuity(passthru)
    _set_nopromisc(passthru, on=True)
    if Behaviour.PROMISCUITY_KEPT in passthru.behaviours:
        assert _promiscuity(passthru) == before
        _set_nopromisc(passthru, on=False)
        assert _promiscuity(passthru) == before
        return
    assert (_promiscuity(passthru) - before) % (1 << 32) == (1 << 32) - 1
    with pytest.raises(KernelError) as refused:
        _set_nopromisc(passthru, on=False)
    assert refused.value.errno == errno.EOVERFLOW


@pytest.mark.parametrize("passthru", [True], indirect=True, ids=["up"])
def test_filter_stays_open(passthru):
    """The multicast filter is computed anew by the next macvlan_set_mac_lists, not before.

    Until then a group that the guest's own hash lets slip (about one in 256) still slips.
    """

    def slips(group):
        return "p" in passthru.observe(Stimulus("external", to=group))

    group = next(filter(slips, NOT_JOINED))
    _set_nopromisc(passthru, on=True)
    still_open = slips(group)
    index, guest = passthru.wiring.index["p"], passthru.topology.guest("p")
    for state in (replace(guest, allmulticast=True), guest):
        passthru.wiring.host.rtnl.transact([links.set_guest(state, index=index)])
    assert (still_open, slips(group)) == (True, False)


@pytest.mark.parametrize("passthru", [True], indirect=True, ids=["up"])
@pytest.mark.parametrize(
    ("first", "arrives"),
    [
        pytest.param({"up": True}, True, id="up, then allmulticast"),
        pytest.param({"allmulticast": True, "up": False}, False, id="allmulticast, then up"),
    ],
)
def test_allmulticast_while_down(passthru, first, arrives):
    """Asked for while the link is down, allmulticast never reaches the lower device.

    macvlan_open leaves passthru out of dev_set_allmulti, and macvlan_change_rx_flags does
    nothing for a link that is down.
    """
    index, guest = passthru.wiring.index["p"], passthru.topology.guest("p")
    closed = replace(guest, nopromisc=True)
    rtnl = passthru.wiring.host.rtnl
    rtnl.transact([links.change_guest(closed, index=index)])
    for state in (replace(closed, up=False), replace(closed, **first)):
        rtnl.transact([links.set_guest(state, index=index)])
    rtnl.transact([links.set_guest(replace(closed, allmulticast=True), index=index)])
    seen = [
        group for group in NOT_JOINED[:64] if "p" in passthru.observe(Stimulus("external", group))
    ]
    assert bool(len(seen) > 32) is arrives, f"{len(seen)} of 64 groups arrived"
