"""Guests on a dummy device: siblings, and no outside at all."""

import itertools

import pytest

from harness import BROADCAST, Guest, Lower, LowerKind, Mode, Stimulus, Topology

TOPOLOGIES = [
    Topology(
        [Guest("a", first), Guest("b", second)], lowers=[Lower(kind=LowerKind.DUMMY)], externals=[]
    )
    for first, second in itertools.product((Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE), repeat=2)
]
DOWN = Topology(
    [Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)],
    lowers=[Lower(kind=LowerKind.DUMMY, up=False)],
    externals=[],
)


def _label(topology):
    return "-".join(guest.mode for guest in topology.guests)


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=_label, scope="module")
@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("a", to="b"),
        Stimulus("a", to=BROADCAST),
        Stimulus("a", to="lower"),
        Stimulus("lower", to="a"),
    ],
    ids=str,
)
def test_dummy(testbed, topology, stimulus):
    """What is not handed over directly is gone (dummy_xmit)."""
    testbed(topology).check(stimulus)


@pytest.mark.parametrize("stimulus", [Stimulus("a", to="b"), Stimulus("a", to=BROADCAST)], ids=str)
def test_dummy_down(testbed, stimulus):
    """A dummy always has a carrier: down, it takes no unicast, and siblings still hear groups.

    is_skb_forwardable asks for IFF_UP, macvlan_broadcast does not.
    """
    testbed(DOWN).check(stimulus)
