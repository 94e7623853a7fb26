"""Three guests on one lower device: who else gets what two have between them."""

import pytest

from harness import BROADCAST, Stimulus

GROUP = "03:68:70:00:00:01"


@pytest.mark.parametrize(
    "stimulus",
    [
        Stimulus("a", to="b"),
        Stimulus("a", to="c"),
        Stimulus("a", to=BROADCAST),
        Stimulus("a", to=GROUP),
        Stimulus("external", to=BROADCAST),
        Stimulus("external", to="c"),
        Stimulus("lower", to=BROADCAST),
    ],
    ids=str,
)
def test_three(testbed, triple, stimulus):
    """Unicast concerns two; group frames reach each guest by its own mode, once."""
    testbed(triple).check(stimulus)
