"""What a client gets through: the model's frames, put together.

a [client]--.
lower ----- switch ----- external
b [server]--'
"""

import pytest

from harness import Guest, Mode, Switch, Topology
from harness.model.clients import Reach, reaches

BRIDGE, VEPA, PRIVATE = Mode.BRIDGE, Mode.VEPA, Mode.PRIVATE
NO_ARP = Reach(ok=False, why="ARP asks by broadcast, and that does not reach b")
NO_ARP_ONLY = Reach(
    ok=False, why="ARP asks by broadcast, and that does not reach b, though unicast would"
)
OK = Reach(ok=True)


@pytest.mark.parametrize(
    ("first", "second", "hairpin", "reach"),
    [
        (BRIDGE, BRIDGE, False, OK),
        (BRIDGE, BRIDGE, True, OK),
        (VEPA, VEPA, False, NO_ARP),
        (VEPA, VEPA, True, OK),
        (BRIDGE, VEPA, True, OK),
        (PRIVATE, PRIVATE, False, NO_ARP),
        (PRIVATE, PRIVATE, True, NO_ARP_ONLY),
        (VEPA, PRIVATE, True, NO_ARP_ONLY),
    ],
    ids=str,
)
def test_guest_to_guest(first, second, hairpin, reach):
    topology = Topology([Guest("a", first), Guest("b", second)], switch=Switch(hairpin=hairpin))
    assert reaches(topology, "a", "b") == reach


@pytest.mark.parametrize("mode", [BRIDGE, VEPA, PRIVATE, Mode.PASSTHRU])
@pytest.mark.parametrize("way", [("a", "external"), ("external", "a")], ids=" → ".join)
def test_outside(mode, way):
    """Everybody reaches the outside, and is reached from there."""
    assert reaches(Topology([Guest("a", mode)]), *way) == OK


def test_answer_that_is_lost():
    """A private guest asks nobody in vain, but is not heard: the broadcast decides."""
    topology = Topology([Guest("a", PRIVATE), Guest("b", VEPA)], switch=Switch(hairpin=True))
    assert reaches(topology, "b", "a") == Reach(
        ok=False, why="ARP asks by broadcast, and that does not reach a, though unicast would"
    )
