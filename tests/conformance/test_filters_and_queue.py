"""What opens a guest's multicast filter, and the lower device's broadcast queue."""

import pytest

from harness import BROADCAST, UNKNOWN, Guest, Mode, Stimulus, Switch, Topology

GROUP = "03:68:70:00:00:01"
UNJOINED = "03:68:70:00:00:77"


def _two(**settings):
    return Topology(
        [Guest("a", Mode.BRIDGE, **settings), Guest("b", Mode.VEPA, groups=(GROUP,))],
        switch=Switch(hairpin=True),
    )


FILTERS = {
    "allmulticast": _two(allmulticast=True),
    "promiscuous": _two(promiscuous=True),
    "passthru, promiscuous itself": Topology(
        [Guest("a", Mode.PASSTHRU, nopromisc=True, promiscuous=True)], switch=Switch(hairpin=True)
    ),
    "never queued": _two(bc_cutoff=-1),
    "queued from three subscribers on": _two(bc_cutoff=2),
    "long queue": _two(bcqueuelen=5000),
    "no queue asked for by one of two": _two(bcqueuelen=0),
    "no queue at all": Topology(
        [Guest("a", Mode.BRIDGE, bcqueuelen=0), Guest("b", Mode.VEPA, bcqueuelen=0)],
        switch=Switch(hairpin=True),
    ),
    "no queue, none needed": Topology(
        [Guest("a", Mode.BRIDGE, bcqueuelen=0, bc_cutoff=-1)], switch=Switch(hairpin=True)
    ),
}


@pytest.mark.parametrize("topology", FILTERS.values(), ids=FILTERS, scope="module")
@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("external", to=GROUP),
        Stimulus("external", to=UNJOINED),
        Stimulus("external", to=BROADCAST),
        Stimulus("external", to=UNKNOWN),
        Stimulus("a", to=BROADCAST),
    ],
    ids=str,
)
def test_filters_and_queue(testbed, topology, stimulus):
    """Open filters take every group but no unknown unicast; no room in the queue, no broadcast."""
    testbed(topology).check(stimulus)


@pytest.mark.parametrize("topology", FILTERS.values(), ids=FILTERS, scope="module")
@pytest.mark.parametrize(
    "group", ["01:00:5e:00:00:01", "33:33:00:00:00:01", "03:68:00:00:00:01"], ids=str
)
def test_own_groups(testbed, topology, group):
    """What every link's own stack has joined is in the filters: 224.0.0.1 and ff02::1.

    ip_mc_up, ipv6_add_dev; with them passes, at the lower device, whatever has the same hash.
    """
    testbed(topology).check(Stimulus("external", to=group))
