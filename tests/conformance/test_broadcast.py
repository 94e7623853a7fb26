"""Broadcast."""

import pytest

from harness import BROADCAST, Stimulus


@pytest.mark.parametrize(
    "stimulus", [Stimulus("a", to=BROADCAST), Stimulus("external", to=BROADCAST)], ids=str
)
def test_broadcast(testbed, pair, stimulus):
    """From outside to all; from a guest to those whom macvlan_multicast_rx means, no copy twice."""
    testbed(pair).check(stimulus)
