"""Frames with a source address that is not the sender's: nothing stops them."""

import pytest

from harness import BROADCAST, Stimulus

STRANGER = "02:68:70:dd:dd:dd"


@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("a", to="external", source=STRANGER),
        Stimulus("a", to="b", source=STRANGER),
        Stimulus("a", to=BROADCAST, source=STRANGER),
        Stimulus("a", to="external", source="b"),
        Stimulus("a", to=BROADCAST, source="b"),
        Stimulus("external", to="b", source="a"),
        Stimulus("external", to=BROADCAST, source="a"),
        Stimulus("a", to="b", source="external"),
    ],
    ids=str,
)
def test_spoofed_source(testbed, pair, stimulus):
    """Macvlan forwards by destination; a stolen source only changes whose echo it seems to be."""
    testbed(pair).check(stimulus)
