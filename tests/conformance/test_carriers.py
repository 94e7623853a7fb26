"""Lower devices and switch ports that are down: nobody behind them is reached, nobody else minds.

a [tap]--.
         left -----.
b [tap]--'         switch ----- external
c [tap]-- right ---'
"""

import pytest

from harness import (
    BROADCAST,
    Behaviour,
    External,
    Guest,
    Lower,
    Mode,
    Port,
    Stimulus,
    Switch,
    Topology,
)


def _with(*, up=True, port=True, outside=True, mode=Mode.BRIDGE):
    return Topology(
        [
            Guest("a", mode, lower="left"),
            Guest("b", mode, lower="left"),
            Guest("c", Mode.VEPA, lower="right"),
        ],
        lowers=[Lower(name="left", up=up), Lower(name="right")],
        switch=Switch(
            hairpin=True, ports=(Port(to="left", up=port), Port(to="external", up=outside))
        ),
        externals=[External("external")],
    )


TOPOLOGIES = {
    "lower device down": _with(up=False),
    "lower device down, vepa": _with(up=False, mode=Mode.VEPA),
    "lower device down, source": Topology(
        [
            Guest("a", Mode.SOURCE, lower="left", sources=("02:68:70:03:00:01",)),
            Guest("b", lower="left"),
        ],
        lowers=[Lower(name="left", up=False), Lower(name="right")],
    ),
    "switch port down": _with(port=False),
    "switch port down, private": _with(port=False, mode=Mode.PRIVATE),
    "the external host's port down": _with(outside=False),
}


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES, scope="module")
@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("a", to="b"),
        Stimulus("a", to=BROADCAST),
        Stimulus("a", to="external"),
        Stimulus("external", to="a"),
        Stimulus("external", to=BROADCAST),
        Stimulus("left", to="external"),
        Stimulus("right", to="left"),
        Stimulus("right", to=BROADCAST),
    ],
    ids=str,
)
def test_without_carrier(testbed, topology, stimulus):
    """Without a carrier a macvtap hands over nothing, not even to a sibling.

    dev_deactivate puts noop_qdisc in its place (netif_stacked_transfer_operstate,
    net/core/dev.c); a port without one is disabled (br_port_carrier_check, net/bridge/br_if.c).
    """
    testbed(topology).check(stimulus)


def test_up_again(testbed):
    """The tap follows its lower device down and up, and frames flow again."""
    bed = testbed(_with())
    if Behaviour.LOWER_DOWN_SHOWS not in bed.behaviours:
        pytest.skip("this kernel's macvtaps do not see that their lower device goes down")
    for topology in (_with(up=False), _with(), _with(port=False), _with()):
        bed.become(topology)
        for stimulus in (Stimulus("a", to="external"), Stimulus("external", to="b")):
            bed.check(stimulus)
