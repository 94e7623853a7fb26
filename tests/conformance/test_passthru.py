"""Passthru: one guest owns the lower device.

p [tap]-- lower ----- switch ----- external

Live changes happen on a cable: p [tap]-- lower ----- far
"""

import pytest

from harness import BROADCAST, UNKNOWN, Guest, KernelError, Mode, Stimulus, Switch, Topology
from harness.kernel.links import add_bridge, new_macvtap
from harness.testbed.cable import FAR_MAC

GROUP = "03:68:70:00:00:01"
UNJOINED = "03:68:70:00:00:77"
ORIGINAL = "02:68:70:02:00:01"  # what a topology's first lower device has
OTHER = "02:68:70:01:00:99"
THIRD = "02:68:70:01:00:98"
PASSTHRU = 8  # MACVLAN_MODE_PASSTHRU
NOPROMISC = 1  # MACVLAN_FLAG_NOPROMISC

TOPOLOGIES = [
    Topology(
        [Guest("p", Mode.PASSTHRU, groups=(GROUP,), nopromisc=nopromisc)],
        switch=Switch(hairpin=hairpin),
    )
    for nopromisc in (False, True)
    for hairpin in (False, True)
]
FLOWS = [
    Stimulus("p", to="external"),
    Stimulus("external", to="p"),
    Stimulus("external", to=UNKNOWN),
    Stimulus("external", to=BROADCAST),
    Stimulus("external", to=GROUP),
    Stimulus("external", to=UNJOINED),
    Stimulus("p", to=BROADCAST),
    Stimulus("p", to=UNKNOWN),
    Stimulus("lower", to="external"),
    Stimulus("lower", to=BROADCAST),
    Stimulus("p", to="external", source="02:68:70:dd:dd:dd"),
]


def _label(topology):
    extra = "-nopromisc" if topology.guests[0].nopromisc else ""
    return f"passthru{extra}-hairpin{'-on' if topology.switch.hairpin else '-off'}"


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=_label, scope="module")
@pytest.mark.parametrize("stimulus", FLOWS, ids=str)
def test_passthru(testbed, topology, stimulus):
    """All unicast is the guest's, group frames are shared with the host."""
    testbed(topology).check(stimulus)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *((Mode.PASSTHRU, mode) for mode in Mode),
        *((mode, Mode.PASSTHRU) for mode in Mode if mode is not Mode.PASSTHRU),
    ],
)
def test_single_guest(cable, first, second):
    """A second macvtap beside passthru is EINVAL, in either order (macvlan_common_newlink)."""
    bed = cable(Guest("p", first, sources=(FAR_MAC,) if first is Mode.SOURCE else ()))
    with pytest.raises(KernelError, match="EINVAL"):
        bed.add(Guest("q", second, mac=OTHER))
    assert bed.seen("far", "p", at=["p"]) == ["p"], "the first guest suffered from the refusal"


def test_second_after_the_first_has_gone(cable):
    """Passthru ends with its guest: the next one may have any mode (macvlan_port_destroy)."""
    bed = cable(Guest("p", Mode.PASSTHRU))
    bed.delete("p")
    bed.add(Guest("a", Mode.BRIDGE, mac=OTHER))
    assert bed.seen("far", "a", at=["a", "lower"]) == ["a"]


# ---------------------------------------------------------------------- the rx handler


@pytest.mark.parametrize("mode", list(Mode))
def test_bridge_port_as_lower(cable, mode):
    """A macvtap on a bridge port is EBUSY, in every mode (macvlan_port_create)."""
    bed = cable()
    bed.do(add_bridge("br", index=50))
    bed.set("lower", ("IFLA_MASTER", 50))
    with pytest.raises(KernelError, match="EBUSY"):
        bed.add(Guest("p", mode, mac=OTHER))


@pytest.mark.parametrize("mode", list(Mode))
def test_lower_as_bridge_port(cable, mode):
    """A lower device with macvtaps cannot join a bridge: EBUSY (br_add_if, net/bridge/br_if.c)."""
    bed = cable(Guest("p", mode, sources=(OTHER,) if mode is Mode.SOURCE else ()))
    bed.do(add_bridge("br", index=50))
    with pytest.raises(KernelError, match="EBUSY"):
        bed.set("lower", ("IFLA_MASTER", 50))
    assert bed.state("lower").master == 0


def test_lower_is_free_again(cable):
    """With its last macvtap, a lower device gives its rx handler back (macvlan_port_destroy)."""
    bed = cable(Guest("p", Mode.PASSTHRU))
    bed.do(add_bridge("br", index=50))
    bed.delete("p")
    bed.set("lower", ("IFLA_MASTER", 50))
    assert bed.state("lower").master == 50


def test_macvtap_as_bridge_port(cable):
    """A macvtap is no bridge port: its own rx handler is the tap's (macvtap_newlink, macvtap.c)."""
    bed = cable(Guest("p", Mode.PASSTHRU))
    bed.do(add_bridge("br", index=50))
    with pytest.raises(KernelError, match="EBUSY"):
        bed.set("p", ("IFLA_MASTER", 50))


# ---------------------------------------------------------------------- addresses


def test_address_asked_for_is_ignored(cable):
    """Passthru takes its lower device's address, whatever is asked (macvlan_common_newlink)."""
    bed = cable()
    lower = bed.mac("lower")
    bed.do(
        new_macvtap(
            "p",
            index=bed.claim("p"),
            lower=bed.index["lower"],
            data=(("IFLA_MACVTAP_MODE", PASSTHRU),),
            attributes=(("IFLA_ADDRESS", OTHER),),
        )
    )
    assert bed.mac("p") == lower


def test_address_from_above(cable):
    """The guest's new address is the lower's, and frames follow (macvlan_set_mac_address)."""
    bed = cable(Guest("p", Mode.PASSTHRU))
    bed.set("p", ("IFLA_ADDRESS", OTHER))
    assert bed.mac("lower") == bed.mac("p") == OTHER
    assert bed.seen("far", OTHER, at=["p", "lower"]) == ["p"]


def test_address_from_below(cable):
    """The lower device's new address is the guest's as well (macvlan_device_event)."""
    bed = cable(Guest("p", Mode.PASSTHRU))
    bed.set("lower", ("IFLA_ADDRESS", OTHER))
    assert bed.mac("p") == OTHER
    assert bed.seen("far", OTHER, at=["p", "lower"]) == ["p"]


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
@pytest.mark.parametrize(
    ("changes", "restored"),
    [
        pytest.param([], ORIGINAL, id="untouched"),
        pytest.param([("p", OTHER)], ORIGINAL, id="guest"),
        pytest.param([("p", OTHER), ("p", THIRD)], ORIGINAL, id="guest twice"),
        pytest.param([("lower", OTHER)], OTHER, id="lower"),
        pytest.param([("p", OTHER), ("lower", THIRD)], THIRD, id="guest, then lower"),
        pytest.param([("lower", OTHER), ("p", THIRD)], OTHER, id="lower, then guest"),
    ],
)
def test_address_put_back(cable, up, changes, restored):
    """Deleting puts back what the lower device was last given directly.

    macvlan_port_destroy restores perm_addr, which macvlan_sync_address renews when the change
    came from below.
    """
    bed = cable(Guest("p", Mode.PASSTHRU, up=up))
    assert bed.mac("lower") == ORIGINAL
    for link, mac in changes:
        bed.set(link, ("IFLA_ADDRESS", mac))
    bed.delete("p")
    assert bed.mac("lower") == restored


# ---------------------------------------------------------------------- promiscuity


def _promiscuity(bed):
    return bed.state("lower").promiscuity


@pytest.mark.parametrize(
    ("nopromisc", "more"), [(False, 1), (True, 0)], ids=["promisc", "nopromisc"]
)
def test_promiscuity_follows_the_link(cable, nopromisc, more):
    """Up: the lower device's promiscuity +1 unless nopromisc; down: as before.

    macvlan_open, macvlan_stop
    """
    bed = cable(Guest("p", Mode.PASSTHRU, nopromisc=nopromisc, up=False))
    before = _promiscuity(bed)
    bed.set("p", up=True)
    assert _promiscuity(bed) - before == more
    bed.set("p", up=False)
    assert _promiscuity(bed) == before


def test_nopromisc_live(cable):
    """The flag can be set and taken back while up; promiscuity follows (macvlan_changelink)."""
    bed = cable(Guest("p", Mode.PASSTHRU))
    before = _promiscuity(bed)
    seen = []
    for flags in (NOPROMISC, NOPROMISC, 0):
        bed.configure("p", ("IFLA_MACVTAP_FLAGS", flags))
        assert bed.state("p").macvtap.nopromisc is bool(flags)
        seen.append(_promiscuity(bed) - before)
    assert seen == [-1, -1, 0]


def test_deleting_takes_the_promiscuity_back(cable):
    """A guest that is deleted while up leaves no promiscuity behind (macvlan_stop)."""
    bed = cable()
    before = _promiscuity(bed)
    bed.add(Guest("p", Mode.PASSTHRU))
    bed.delete("p")
    assert _promiscuity(bed) == before


# ---------------------------------------------------------------------- modes


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.PASSTHRU])
def test_no_way_into_passthru(cable, mode):
    """A live macvtap cannot become passthru: EINVAL (macvlan_changelink)."""
    bed = cable(Guest("p", mode))
    with pytest.raises(KernelError, match="EINVAL"):
        bed.configure("p", ("IFLA_MACVTAP_MODE", PASSTHRU))
    assert bed.state("p").macvtap.mode is mode


@pytest.mark.parametrize("number", [1, 2, 4, 16], ids=["private", "vepa", "bridge", "source"])
def test_no_way_out_of_passthru(cable, number):
    """Passthru stays passthru: EINVAL (macvlan_changelink)."""
    bed = cable(Guest("p", Mode.PASSTHRU))
    with pytest.raises(KernelError, match="EINVAL"):
        bed.configure("p", ("IFLA_MACVTAP_MODE", number))
    assert bed.state("p").macvtap.mode is Mode.PASSTHRU


def test_asking_for_passthru_again(cable):
    """Setting the mode that it is in already is no change (macvlan_changelink)."""
    bed = cable(Guest("p", Mode.PASSTHRU))
    bed.configure("p", ("IFLA_MACVTAP_MODE", PASSTHRU))
    assert bed.state("p").macvtap.mode is Mode.PASSTHRU
