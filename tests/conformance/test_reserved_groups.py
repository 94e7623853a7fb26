"""Link-local groups (01:80:c2:00:00:0X) and the switch."""

import pytest

from harness import Stimulus


@pytest.mark.parametrize(
    "group",
    ["01:80:c2:00:00:00", "01:80:c2:00:00:02", "01:80:c2:00:00:0e", "01:80:c2:00:00:10"],
)
@pytest.mark.parametrize("sender", ["a", "external"])
def test_reserved(testbed, pair, sender, group):
    """A bridge without STP forwards :00 and stops :01 to :0f; :10 is an ordinary group."""
    testbed(pair).check(Stimulus(sender, to=group))
