"""What macvtap refuses, and with which errno.

a [tap]--.
         lower ----- far
b [tap]--'

Each case is data: what is asked, the errno, and the kernel function that says so. What is
refused must leave nothing behind.
"""

import pytest

from harness import Behaviour, Guest, KernelError, Mode
from harness.kernel.features import probe
from harness.kernel.links import (
    add_fdb_entry,
    add_macvtap,
    configure_macvtap,
    new_macvtap,
    set_attributes,
)
from harness.testbed.cable import FAR_MAC

OWN = "02:68:70:01:00:01"  # a's, as a topology gives it
OTHER = "02:68:70:01:00:99"
GROUP = "03:68:70:00:00:01"
MODE = "IFLA_MACVTAP_MODE"
LO = 1
MACVLAN = "drivers/net/macvlan.c"


def _new(*, lower="lower", data=((MODE, 4),), attributes=()):
    """A request for a second macvtap, x, on the link `lower`."""

    def request(bed):
        on = bed.index.get(lower, lower) if isinstance(lower, str) else lower
        return new_macvtap("x", index=90, lower=on, data=data, attributes=attributes)

    return request


def _set(*attributes, link="a"):
    return lambda bed: set_attributes(link, index=bed.index[link], attributes=attributes)


def _configure(*data):
    return lambda bed: configure_macvtap("a", index=bed.index["a"], data=data)


# ---------------------------------------------------------------------- creation

CREATION = {
    "no IFLA_LINK": (_new(lower=None), "EINVAL", f"macvlan_common_newlink, {MACVLAN}"),
    "no such lower": (_new(lower=4711), "ENODEV", f"macvlan_common_newlink, {MACVLAN}"),
    "on lo": (_new(lower=LO), "EINVAL", f"macvlan_port_create, {MACVLAN}"),
    "MTU above": (
        _new(attributes=(("IFLA_MTU", 1501),)),
        "EINVAL",
        f"macvlan_common_newlink, {MACVLAN}",
    ),
    "MTU too small": (
        _new(attributes=(("IFLA_MTU", 67),)),
        "EINVAL",
        "dev_validate_mtu, net/core/dev.c",
    ),
    **{
        f"mode {number}": (_new(data=((MODE, number),)), "EINVAL", f"macvlan_validate, {MACVLAN}")
        for number in (0, 3, 5, 12, 32, 0xFFFFFFFF)
    },
    **{
        f"flags {flags:#x}": (
            _new(data=((MODE, 8), ("IFLA_MACVTAP_FLAGS", flags))),
            "EINVAL",
            f"macvlan_validate, {MACVLAN}",
        )
        for flags in (0x4, 0x8000, 0x7)
    },
    "zero address": (
        _new(attributes=(("IFLA_ADDRESS", "00:00:00:00:00:00"),)),
        "EADDRNOTAVAIL",
        f"macvlan_validate, {MACVLAN}",
    ),
    "group address": (
        _new(attributes=(("IFLA_ADDRESS", GROUP),)),
        "EADDRNOTAVAIL",
        f"macvlan_validate, {MACVLAN}",
    ),
    "name taken": (
        lambda bed: new_macvtap("a", index=90, lower=bed.index["lower"]),
        "EEXIST",
        "__rtnl_newlink, net/core/rtnetlink.c",
    ),
    "index taken": (
        lambda bed: new_macvtap("x", index=bed.index["lower"], lower=bed.index["lower"]),
        "EEXIST",
        "__rtnl_newlink (NLM_F_EXCL), net/core/rtnetlink.c",
    ),
    "slash in the name": (
        lambda bed: new_macvtap("x/y", index=90, lower=bed.index["lower"]),
        "EINVAL",
        "dev_valid_name, net/core/dev.c",
    ),
    "name of 16": (
        lambda bed: new_macvtap("x" * 16, index=90, lower=bed.index["lower"]),
        "ERANGE",
        "ifla_policy (IFLA_IFNAME), net/core/rtnetlink.c",
    ),
}


@pytest.mark.parametrize(("asked", "error", "where"), CREATION.values(), ids=CREATION)
def test_creation(cable, refuses, asked, error, where):
    """A macvtap that cannot be, beside one that is: refused, and no link comes of it."""
    bed = cable(Guest("a", Mode.BRIDGE))
    before = {link.get_attr("IFLA_IFNAME") for link in bed.ns.rtnl.links()}
    with refuses(error, where):
        bed.do(asked(bed))
    assert {link.get_attr("IFLA_IFNAME") for link in bed.ns.rtnl.links()} == before, where


def test_empty_name(cable, refuses):
    """No name at all is refused, or the kernel makes one, as for a link that asks for none."""
    bed = cable(Guest("a", Mode.BRIDGE))
    asked = new_macvtap("", index=90, lower=bed.index["lower"])
    if Behaviour.EMPTY_NAME_REFUSED in probe().behaviours:
        with refuses("EINVAL", "rtnl_create_link, dev_valid_name, net/core"):
            bed.do(asked)
        return
    bed.do(asked)
    assert "macvtap0" in {link.get_attr("IFLA_IFNAME") for link in bed.ns.rtnl.links()}


def test_used_queue_length(cable, refuses):
    """What the kernel tells is not for setting (macvlan_policy, NLA_REJECT)."""
    if "bcqueuelen" in probe().missing:
        pytest.skip("this kernel has no bcqueuelen")
    bed = cable(Guest("a", Mode.BRIDGE))
    with refuses("EINVAL", f"macvlan_policy (NLA_REJECT), {MACVLAN}"):
        bed.do(_new(data=((MODE, 4), ("IFLA_MACVTAP_BC_QUEUE_LEN_USED", 5)))(bed))


@pytest.mark.parametrize("mode", list(Mode))
def test_on_lo(cable, mode):
    """No mode goes on lo, nor does a first macvtap there leave anything (macvlan_port_create)."""
    bed = cable()
    guest = Guest("x", mode, mac=OTHER)
    with pytest.raises(KernelError, match="EINVAL"):
        bed.do(add_macvtap(guest, index=90, lower=LO))


# ---------------------------------------------------------------------- live changes

CHANGES = {
    "to passthru": (_configure((MODE, 8)), "EINVAL", f"macvlan_changelink, {MACVLAN}"),
    **{
        f"mode {number}": (_configure((MODE, number)), "EINVAL", f"macvlan_validate, {MACVLAN}")
        for number in (0, 6, 64)
    },
    "flags 0x4": (
        _configure(("IFLA_MACVTAP_FLAGS", 4)),
        "EINVAL",
        f"macvlan_validate, {MACVLAN}",
    ),
    "MTU above": (_set(("IFLA_MTU", 1501)), "EINVAL", f"macvlan_change_mtu, {MACVLAN}"),
    "MTU too small": (_set(("IFLA_MTU", 67)), "EINVAL", "dev_validate_mtu, net/core/dev.c"),
    "zero address": (
        _set(("IFLA_ADDRESS", "00:00:00:00:00:00")),
        "EADDRNOTAVAIL",
        f"macvlan_set_mac_address, {MACVLAN}",
    ),
    "group address": (
        _set(("IFLA_ADDRESS", GROUP)),
        "EADDRNOTAVAIL",
        f"macvlan_set_mac_address, {MACVLAN}",
    ),
    "unicast in the FDB": (
        lambda bed: add_fdb_entry(OTHER, index=bed.index["a"]),
        "EOPNOTSUPP",
        f"macvlan_fdb_add, {MACVLAN}",
    ),
    "group replaced in the FDB": (
        lambda bed: add_fdb_entry(GROUP, index=bed.index["a"], replace=True),
        "EOPNOTSUPP",
        f"macvlan_fdb_add, {MACVLAN}",
    ),
}


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
@pytest.mark.parametrize(("asked", "error", "where"), CHANGES.values(), ids=CHANGES)
def test_change(cable, refuses, asked, error, where, up):
    """A live macvtap asked to be what it cannot: refused, and it stays as it was."""
    bed = cable(Guest("a", Mode.BRIDGE, up=up))
    before = bed.state("a")
    with refuses(error, where):
        bed.do(asked(bed))
    after = bed.state("a")
    assert (after.macvtap, after.mtu, after.mac) == (before.macvtap, before.mtu, before.mac), where


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_name_taken(cable, refuses, up):
    """A name that another link has; for a link that is up, any other, where it keeps its own."""
    bed = cable(Guest("a", Mode.BRIDGE, up=up))
    kept = up and Behaviour.LIVE_RENAME not in probe().behaviours
    with refuses("EBUSY" if kept else "EEXIST", "dev_change_name, net/core/dev.c"):
        bed.set("a", ("IFLA_IFNAME", "far"))
    assert bed.state("a").up is up


def test_nopromisc_outside_of_passthru(cable):
    """The kernel takes nopromisc in any mode; only iproute2 refuses it (macvlan_validate)."""
    bed = cable(Guest("a", Mode.BRIDGE))
    before = bed.state("lower").promiscuity
    bed.configure("a", ("IFLA_MACVTAP_FLAGS", 1))
    assert bed.state("a").macvtap.nopromisc
    assert bed.state("lower").promiscuity == before, "macvlan_changelink"


# ---------------------------------------------------------------------- addresses taken

TAKEN = {"a sibling's": OWN, "the lower device's": "02:68:70:02:00:01"}


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.SOURCE])
@pytest.mark.parametrize("mac", TAKEN.values(), ids=TAKEN)
def test_address_taken(cable, mode, mac):
    """Created with an address that is taken: allowed, but it never comes up: EADDRINUSE.

    macvlan_open, macvlan_addr_busy
    """
    bed = cable(Guest("a", Mode.BRIDGE))
    sources = (FAR_MAC,) if mode is Mode.SOURCE else ()
    bed.add(Guest("x", mode, mac=mac, sources=sources, up=False))
    with pytest.raises(KernelError, match="EADDRINUSE"):
        bed.set("x", up=True)
    assert not bed.state("x").up
    assert bed.seen("far", OWN, at=["a"]) == ["a"], "the owner of the address still has it"
    bed.set("x", ("IFLA_ADDRESS", OTHER))
    bed.set("x", up=True)
    assert bed.seen("far", OTHER, at=["x"]) == ["x"], "with an address of its own it is up"


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
@pytest.mark.parametrize("mac", TAKEN.values(), ids=TAKEN)
def test_address_taken_later(cable, mac, up):
    """An address that is in use is EADDRINUSE for a live link, up or down.

    macvlan_set_mac_address
    """
    bed = cable(Guest("a", Mode.BRIDGE))
    bed.add(Guest("x", Mode.BRIDGE, mac=OTHER, up=up))
    with pytest.raises(KernelError, match="EADDRINUSE"):
        bed.set("x", ("IFLA_ADDRESS", mac))
    assert bed.mac("x") == OTHER


def test_address_of_one_that_is_down(cable):
    """A sibling that is down does not hold its address (macvlan_hash_add is macvlan_open's)."""
    bed = cable(Guest("a", Mode.BRIDGE, up=False))
    bed.add(Guest("x", Mode.BRIDGE, mac=OWN))
    assert bed.seen("far", OWN, at=["x"]) == ["x"]
    with pytest.raises(KernelError, match="EADDRINUSE"):
        bed.set("a", up=True)


def test_lower_takes_a_guests_address(cable):
    """Nobody stops the lower device from taking a guest's address, and the guest has the frames.

    macvlan_device_event (NETDEV_CHANGEADDR) looks at passthru only.
    """
    bed = cable(Guest("a", Mode.BRIDGE))
    bed.set("lower", ("IFLA_ADDRESS", OWN))
    assert bed.seen("far", OWN, at=["a", "lower"]) == ["a"]
    bed.set("a", up=False)
    with pytest.raises(KernelError, match="EADDRINUSE"):
        bed.set("a", up=True)


# ---------------------------------------------------------------------- the device's own FDB


def test_unicast_fdb_entry_in_passthru(cable):
    """Passthru takes unicast entries, for a lower device that filters (macvlan_fdb_add)."""
    bed = cable(Guest("p", Mode.PASSTHRU))
    bed.do(add_fdb_entry(OTHER, index=bed.index["p"]))
    with pytest.raises(KernelError, match="EEXIST"):
        bed.do(add_fdb_entry(OTHER, index=bed.index["p"]))


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU])
def test_group_fdb_entry(cable, mode):
    """A group's entry opens the guest's filter for it, in any mode (macvlan_fdb_add)."""
    bed = cable(Guest("a", mode))
    bed.do(add_fdb_entry(GROUP, index=bed.index["a"]))
    assert bed.seen("far", GROUP, at=["a"]) == ["a"]
