"""Multicast, joined and not joined.

b has joined a group. A group that nobody has joined is stopped by each guest's 256-bit hash
filter, which lets about one group in 256 through: the model says where that may happen.
"""

import pytest

from harness import Stimulus

GROUP = "03:68:70:00:00:01"
UNJOINED = "03:68:70:00:00:77"


@pytest.mark.parametrize("sender", ["a", "external", "lower"])
@pytest.mark.parametrize("group", [GROUP, UNJOINED])
def test_multicast(testbed, pair, sender, group):
    """A member gets the group by the rules of broadcast; others only by collision."""
    testbed(pair).check(Stimulus(sender, to=group))


def test_filter_keeps_most_groups_out(testbed, pair):
    """Of 64 groups that nobody joined, hardly any gets through to a guest.

    Each has a chance of 1 in 256 per address in the filter (b's holds two), so more than 16 of
    64 would be a filter that does not filter.
    """
    bed = testbed(pair)
    groups = [f"03:68:70:11:{i:02x}:{i * 37 % 256:02x}" for i in range(64)]
    let_through = sum("b" in bed.send("external", to=group) for group in groups)
    assert let_through <= 16
