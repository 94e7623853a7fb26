"""Guests and the host's own stack on the lower device."""

import pytest

from harness import BROADCAST, Stimulus


@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("a", to="lower"),
        Stimulus("lower", to="a"),
        Stimulus("lower", to="external"),
        Stimulus("external", to="lower"),
        Stimulus("lower", to=BROADCAST),
    ],
    ids=str,
)
def test_host(testbed, pair, stimulus):
    """Host and guest reach each other only by way of a switch that reflects."""
    testbed(pair).check(stimulus)
