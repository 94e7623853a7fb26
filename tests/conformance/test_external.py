"""Guests and a host behind the switch."""

import pytest

from harness import Stimulus


@pytest.mark.parametrize(
    "stimulus", [Stimulus("a", to="external"), Stimulus("external", to="a")], ids=str
)
def test_outside(testbed, pair, stimulus):
    """One copy either way, whatever the modes and the switch."""
    testbed(pair).check(stimulus)
