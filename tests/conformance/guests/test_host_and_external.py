"""Real guests, their own host's stack, and a host behind the switch.

    a [QEMU]--.                                  a [tap]--.
              lower [stack] ----- switch -----             lower ----- switch ----- …
    b [QEMU]--'                      '-- external b [tap]--'

Frames with guests of either kind side by side; ping with the real ones, both ways.
"""

import itertools

import pytest

from harness import BROADCAST, UNKNOWN, Guest, Mode, Stimulus, Switch, Topology

pytestmark = pytest.mark.guests

SWITCHES = (Switch(hairpin=False), Switch(hairpin=True))
ALONE = [Topology([Guest("a", Mode.PASSTHRU)], switch=switch) for switch in SWITCHES]
PAIRS = [
    Topology([Guest("a", mode), Guest("b", mode)], switch=switch)
    for mode in (Mode.BRIDGE, Mode.VEPA, Mode.PRIVATE)
    for switch in SWITCHES
]
FLOWS = (
    Stimulus("a", to="external"),
    Stimulus("external", to="a"),
    Stimulus("a", to="lower"),
    Stimulus("lower", to="a"),
    Stimulus("lower", to="external"),
    Stimulus("external", to="lower"),
    Stimulus("a", to=BROADCAST),
    Stimulus("lower", to=BROADCAST),
    Stimulus("external", to=BROADCAST),
    Stimulus("external", to=UNKNOWN),
)


def label(topology):
    return f"{topology.guests[0].mode}{'-hairpin' if topology.switch.hairpin else ''}"


@pytest.mark.parametrize("topology", ALONE + PAIRS, ids=label)
def test_frames(testbed, guest_bed, topology):
    """Each flow, to guests on taps and to real ones: the same copies at every observer."""
    taps, real = testbed(topology), guest_bed(topology)
    for stimulus in FLOWS:
        seen = taps.check(stimulus).observation.arrivals
        assert real.check(stimulus).observation.arrivals == seen, stimulus


@pytest.mark.parametrize(
    ("station", "other"), list(itertools.permutations(("a", "lower", "external"), 2))
)
@pytest.mark.parametrize("topology", ALONE + PAIRS, ids=label)
def test_ping(guest_bed, client, topology, station, other):
    """From a station that knows nobody to another: ARP, and then an echo."""
    bed = guest_bed(topology)
    client("ping", bed, station, other, lambda: bed.ping(station, other))
