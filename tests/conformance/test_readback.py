"""What a link shows is what it was asked to be: IFLA_INFO_DATA and its neighbours, read back.

a [tap]-- lower ----- far
"""

import pytest

from harness import Guest, Mode
from harness.kernel.features import probe
from harness.kernel.links import new_macvtap

MAC = "02:68:70:01:00:42"
LISTED = ("02:68:70:03:00:0a", "02:68:70:03:00:0b", "02:68:70:03:00:0c")
GUESTS = [
    *(Guest("a", mode, mac=MAC) for mode in (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.SOURCE)),
    Guest("a", Mode.PASSTHRU),
    Guest("a", Mode.PASSTHRU, nopromisc=True),
    Guest("a", Mode.SOURCE, mac=MAC, sources=LISTED[:1]),
    Guest("a", Mode.SOURCE, mac=MAC, sources=LISTED),
    Guest("a", Mode.SOURCE, mac=MAC, sources=LISTED, nodst=True),
    Guest("a", Mode.BRIDGE, mac=MAC, bcqueuelen=0),
    Guest("a", Mode.BRIDGE, mac=MAC, bcqueuelen=1),
    Guest("a", Mode.BRIDGE, mac=MAC, bcqueuelen=0xFFFFFFFF),
    *(Guest("a", Mode.BRIDGE, mac=MAC, bc_cutoff=cutoff) for cutoff in (-1, 0, 1, 2147483647)),
    Guest("a", Mode.VEPA, mac=MAC, allmulticast=True),
    Guest("a", Mode.VEPA, mac=MAC, promiscuous=True),
    Guest("a", Mode.VEPA, mac=MAC, up=False),
    Guest("a", Mode.PASSTHRU, nopromisc=True, allmulticast=True, promiscuous=True, up=False),
]


def _label(guest):
    plain = Guest("a")
    changed = [
        f"{name}={value}"
        for name, value in vars(guest).items()
        if name not in ("name", "mode", "mac", "sources") and value != getattr(plain, name)
    ]
    listed = [f"{len(guest.sources)} sources"] if guest.sources else []
    return " ".join([guest.mode, *listed, *changed])


@pytest.mark.parametrize("guest", GUESTS, ids=_label)
def test_as_asked_for(cable, guest):
    """Every setting of a guest is on its link (macvlan_fill_info, rtnl_fill_ifinfo)."""
    missing = probe().missing
    for name in ("bcqueuelen", "bc_cutoff"):
        if getattr(guest, name) is not None and name in missing:
            pytest.skip(f"this kernel has no {name}")
    bed = cable(guest)
    link = bed.state("a")
    shown = Guest(
        "a",
        link.macvtap.mode,
        mac=link.mac if guest.mac else "",
        sources=link.macvtap.sources,
        nodst=link.macvtap.nodst,
        nopromisc=link.macvtap.nopromisc,
        allmulticast=link.allmulticast,
        promiscuous=link.promiscuous,
        bcqueuelen=None if guest.bcqueuelen is None else link.macvtap.bcqueuelen,
        bc_cutoff=None if guest.bc_cutoff is None else link.macvtap.bc_cutoff,
        up=link.up,
    )
    assert shown == guest
    assert link.lower == bed.index["lower"]


def test_unasked(cable):
    """What a macvtap is when nothing is asked: vepa, no flags, queue lengths of 1000 and 500.

    macvlan_common_newlink, macvtap_setup (drivers/net/macvtap.c, TUN_READQ_SIZE)
    """
    bed = cable()
    bed.do(new_macvtap("a", index=bed.claim("a"), lower=bed.index["lower"]))
    link = bed.state("a")
    assert (link.macvtap.mode, link.macvtap.flags, link.macvtap.sources) == (Mode.VEPA, 0, ())
    assert (link.txqueuelen, link.mtu, link.up) == (500, 1500, False)
    assert link.mac not in ("", bed.mac("lower"))
    assert int(link.mac[:2], 16) & 3 == 2, "a random address, locally administered"
    if "bcqueuelen" not in probe().missing:
        assert (link.macvtap.bcqueuelen, link.macvtap.bcqueuelen_used) == (1000, 1000)


@pytest.mark.parametrize("second", [mode for mode in Mode if mode is not Mode.PASSTHRU])
@pytest.mark.parametrize("first", [mode for mode in Mode if mode is not Mode.PASSTHRU])
def test_mode_changed(cable, first, second):
    """Any mode but passthru can be changed into any other, live, and shows (macvlan_changelink)."""
    bed = cable(Guest("a", first))
    number = {Mode.PRIVATE: 1, Mode.VEPA: 2, Mode.BRIDGE: 4, Mode.SOURCE: 16}[second]
    bed.configure("a", ("IFLA_MACVTAP_MODE", number))
    assert bed.state("a").macvtap.mode is second


def test_siblings_are_told_apart(cable):
    """Each guest's settings are its own, but for what belongs to the lower device."""
    bed = cable(
        Guest("a", Mode.SOURCE, sources=LISTED[:2], nodst=True),
        Guest("b", Mode.SOURCE, sources=LISTED[2:]),
        Guest("c", Mode.PRIVATE),
    )
    shown = {name: bed.state(name).macvtap for name in "abc"}
    assert {name: state.sources for name, state in shown.items()} == {
        "a": LISTED[:2],
        "b": LISTED[2:],
        "c": (),
    }
    assert {name: state.flags for name, state in shown.items()} == {"a": 2, "b": 0, "c": 0}
