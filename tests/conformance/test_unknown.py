"""Unicast to an address that nobody has."""

import pytest

from harness import UNKNOWN, Stimulus


@pytest.mark.parametrize("sender", ["a", "external", "lower"])
def test_unknown(testbed, pair, sender):
    """Flooded by the switch; no guest takes it, the host's stack sees it as PACKET_OTHERHOST."""
    testbed(pair).check(Stimulus(sender, to=UNKNOWN))
