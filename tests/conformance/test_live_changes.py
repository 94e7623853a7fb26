"""Live changes: what a guest, a lower device or a switch port becomes, it is at once.

    a [tap]--.
    b [tap]---- lower ----- switch ----- external
    s [tap]--'

Each network is brought up as it was before, changed while it is live, and must then do what the
model says of the network that it has become (macvlan_changelink, macvlan_set_mac_address,
macvlan_change_rx_flags, macvlan_device_event; drivers/net/macvlan.c).
"""

import threading

import pytest

from harness import (
    BROADCAST,
    Add,
    Change,
    External,
    Guest,
    Mode,
    Part,
    Remove,
    Stimulus,
    Switch,
    Topology,
)
from harness.kernel.features import missing_for, probe

GROUP = "03:68:70:00:00:01"
OUTSIDE = External("external", mac="02:68:70:03:00:01")
ELSEWHERE = "02:68:70:0c:00:01"


def _beginning(mode=Mode.BRIDGE, *, hairpin=False, **settings):
    return Topology(
        [
            Guest("a", mode, mac="02:68:70:01:00:01", **settings),
            Guest("b", Mode.BRIDGE, mac="02:68:70:01:00:02"),
            Guest("s", Mode.SOURCE, mac="02:68:70:01:00:03", sources=(OUTSIDE.mac,)),
        ],
        switch=Switch(hairpin=hairpin),
        externals=[OUTSIDE],
    )


def _guest(name, **fields):
    return Change(Part.GUEST, name, tuple(fields.items()))


PASSTHRU = Topology([Guest("a", Mode.PASSTHRU, groups=(GROUP,))], externals=[OUTSIDE])

CHANGES = {
    **{
        f"{before} to {after}": (_beginning(before, hairpin=True), [_guest("a", mode=after)])
        for before in (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE)
        for after in (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE)
        if before is not after
    },
    "into source mode": (_beginning(), [_guest("a", mode=Mode.SOURCE, sources=(OUTSIDE.mac,))]),
    "out of source mode": (_beginning(), [_guest("s", mode=Mode.VEPA)]),
    "out of source mode and back: the list is gone": (
        _beginning(),
        [_guest("s", mode=Mode.VEPA), _guest("s", mode=Mode.SOURCE)],
    ),
    "another list": (_beginning(), [_guest("s", sources=("02:68:70:01:00:01",))]),
    "nodst": (_beginning(), [_guest("s", nodst=True)]),
    "address of a guest": (_beginning(), [_guest("a", mac=ELSEWHERE)]),
    "address of the lower device": (
        _beginning(hairpin=True),
        [Change(Part.LOWER, "lower", (("mac", ELSEWHERE),))],
    ),
    "address of passthru: the lower device's as well": (PASSTHRU, [_guest("a", mac=ELSEWHERE)]),
    "address of passthru's lower device: the guest's as well": (
        PASSTHRU,
        [Change(Part.LOWER, "lower", (("mac", ELSEWHERE),))],
    ),
    "nopromisc on": (PASSTHRU, [_guest("a", nopromisc=True)]),
    "nopromisc on and off": (PASSTHRU, [_guest("a", nopromisc=True), _guest("a", nopromisc=False)]),
    "promiscuous": (_beginning(), [_guest("a", promiscuous=True)]),
    "promiscuous no more": (_beginning(promiscuous=True), [_guest("a", promiscuous=False)]),
    "allmulticast": (_beginning(), [_guest("a", allmulticast=True)]),
    "allmulticast no more": (_beginning(allmulticast=True), [_guest("a", allmulticast=False)]),
    "a group joined": (_beginning(), [_guest("a", groups=(GROUP,))]),
    "a group left": (_beginning(groups=(GROUP,)), [_guest("a", groups=())]),
    "down": (_beginning(), [_guest("a", up=False)]),
    "down and up": (_beginning(), [_guest("a", up=False), _guest("a", up=True)]),
    "moved to another namespace": (_beginning(), [_guest("a", namespace="elsewhere")]),
    "moved, a member": (_beginning(groups=(GROUP,)), [_guest("a", namespace="elsewhere")]),
    "moved and back": (
        _beginning(),
        [_guest("a", namespace="elsewhere"), _guest("a", namespace="")],
    ),
    "hairpin on": (
        _beginning(Mode.VEPA),
        [Change(Part.PORT, "lower", (("hairpin", True),))],
    ),
    "hairpin off": (
        _beginning(Mode.VEPA, hairpin=True),
        [Change(Part.PORT, "lower", (("hairpin", False),))],
    ),
    "the port stops learning": (
        _beginning(Mode.VEPA),
        [Change(Part.PORT, "lower", (("learning", False),))],
    ),
    "a guest more": (
        _beginning(),
        [Add(Guest("n", Mode.BRIDGE, mac="02:68:70:01:00:04", groups=(GROUP,)))],
    ),
    "a guest less": (_beginning(), [Remove("b")]),
}
FLOWS = [
    Stimulus("a", to="external"),
    Stimulus("external", to="a"),
    Stimulus("external", to="02:68:70:01:00:01"),
    Stimulus("a", to="02:68:70:01:00:02"),
    Stimulus("a", to=BROADCAST),
    Stimulus("external", to=BROADCAST),
    Stimulus("external", to=GROUP),
    Stimulus("lower", to="a"),
    Stimulus("external", to="lower"),
]


@pytest.mark.parametrize(("before", "changes"), CHANGES.values(), ids=CHANGES)
def test_changed(testbed, before, changes):
    """After the change every frame goes where the model says, and not where it went before."""
    bed = testbed(before)
    for change in changes:
        after = change.applied(bed.topology)
        if reason := missing_for(after, probe()):
            pytest.skip(reason)
        bed.become(after)
    for stimulus in FLOWS:
        bed.check(stimulus)


# What arrives once in every mode: by the switch, or directly.
STEADY = {
    "to the outside": (Stimulus("a", to="external"), "external"),
    "from the outside": (Stimulus("external", to="a"), "a"),
    "to a sibling, behind hairpin": (Stimulus("a", to="b"), "b"),
}


@pytest.mark.parametrize(("stimulus", "target"), STEADY.values(), ids=STEADY)
def test_mode_changes_under_traffic(testbed, stimulus, target):
    """While a's mode changes over and over, each frame arrives exactly once."""
    bed = testbed(_beginning(hairpin=True))
    wiring = bed.wiring
    enough = threading.Event()
    changes = 0

    def change():
        nonlocal changes
        while not enough.is_set() or changes < 30:
            for mode in (Mode.VEPA, Mode.PRIVATE, Mode.BRIDGE):
                wiring.set_mode("a", mode)
                changes += 1

    changing = threading.Thread(target=change)
    changing.start()
    try:
        arrived = [bed.observe(stimulus).copies(target) for _ in range(400)]
    finally:
        enough.set()
        changing.join()
    assert arrived == [1] * len(arrived)
