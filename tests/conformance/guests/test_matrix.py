"""Real guests beside taps.

    a [QEMU]--.                               a [tap]--.
              lower ----- switch ----- …               lower ----- switch ----- …
    b [QEMU]--'                               b [tap]--'

The same stimuli, sentinels and predictions; what differs is who stands behind the macvtap. Modes
are changed under running guests. Clients ask by ARP first, and that is a broadcast.
"""

import itertools

import pytest

from harness import Guest, Mode, Stimulus, Switch, Topology

pytestmark = pytest.mark.guests

MODES = (Mode.BRIDGE, Mode.VEPA, Mode.PRIVATE)
SWITCHES = (Switch(hairpin=False), Switch(hairpin=True))
ALIKE = [
    Topology([Guest("a", mode), Guest("b", mode)], switch=switch)
    for mode in MODES
    for switch in SWITCHES
]
MIXED = [
    Topology([Guest("a", first), Guest("b", second)], switch=switch)
    for first, second in itertools.permutations(MODES, 2)
    for switch in SWITCHES
]
TCP_BYTES = 100_000


def label(topology):
    modes = "-".join(dict.fromkeys(guest.mode.value for guest in topology.guests))
    return f"{modes}-hairpin" if topology.switch.hairpin else modes


@pytest.mark.parametrize("topology", ALIKE + MIXED, ids=label)
@pytest.mark.parametrize("to", ["b", "broadcast"])
def test_frames(testbed, guest_bed, topology, to):
    """Who gets a frame does not depend on who reads the tap."""
    stimulus = Stimulus("a", to=to)
    taps = testbed(topology).check(stimulus)
    real = guest_bed(topology).check(stimulus)
    assert real.observation.arrivals["b"] == taps.observation.arrivals["b"]


@pytest.mark.parametrize("topology", ALIKE, ids=label)
def test_ping(guest_bed, client, topology):
    """From a guest that knows nobody."""
    bed = guest_bed(topology)
    client("ping", bed, "a", "b", lambda: bed.ping("a", "b"))


@pytest.mark.parametrize("topology", ALIKE, ids=label)
def test_tcp(guest_bed, client, topology):
    """100,000 bytes there and back, unchanged."""
    bed = guest_bed(topology)
    client("TCP", bed, "a", "b", lambda: bed.transfer("a", "b", size=TCP_BYTES))
