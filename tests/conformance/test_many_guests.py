"""Sixty-four guests on one lower device.

g0  [tap]--.
…          lower ----- switch ----- external
g63 [tap]--'
"""

import pytest

from harness import BROADCAST, UNKNOWN, Guest, Mode, Stimulus, Switch, Topology

MANY = 64
MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE)
CROWDS = {
    **{
        f"{mode}{'-hairpin' if hairpin else ''}": Topology(
            [Guest(f"g{i}", mode) for i in range(MANY)], switch=Switch(hairpin=hairpin)
        )
        for mode in MODES
        for hairpin in (False, True)
    },
    "mixed-hairpin": Topology(
        [Guest(f"g{i}", MODES[i % 3]) for i in range(MANY)], switch=Switch(hairpin=True)
    ),
}
each_crowd = pytest.mark.parametrize("crowd", CROWDS.values(), ids=CROWDS, scope="module")


@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("external", to=BROADCAST),
        Stimulus("g0", to=BROADCAST),
        Stimulus("g63", to=BROADCAST),
        Stimulus("lower", to=BROADCAST),
        Stimulus("external", to="g63"),
        Stimulus("external", to=UNKNOWN),
    ],
    ids=str,
)
@each_crowd
def test_crowd(testbed, crowd, stimulus):
    """Whom it concerns has one copy each, and all others have none."""
    testbed(crowd).check(stimulus)


@each_crowd
def test_each_to_the_next(testbed, crowd):
    """Every guest to its neighbour, all the way round (macvlan_hash_lookup)."""
    bed = testbed(crowd)
    for i in range(MANY):
        bed.check(Stimulus(f"g{i}", to=f"g{(i + 1) % MANY}"))


@each_crowd
def test_each_from_outside(testbed, crowd):
    """Every guest is reached from outside, and nobody else sees it."""
    bed = testbed(crowd)
    for i in range(MANY):
        bed.check(Stimulus("external", to=f"g{i}"))


@each_crowd
def test_each_to_outside(testbed, crowd):
    """Every guest reaches the outside."""
    bed = testbed(crowd)
    for i in range(MANY):
        bed.check(Stimulus(f"g{i}", to="external"))
