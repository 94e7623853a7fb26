"""Frames that guests and others have tagged themselves: tags pass unchanged.

No vlan device takes them, so the host's stack sees them as somebody else's.
"""

import pytest

from harness import BROADCAST, Stimulus, Tag

TAGS = [Tag(5), Tag(4094), Tag(5, tpid=0x88A8)]


@pytest.mark.parametrize("tag", TAGS, ids=lambda tag: f"{tag.tpid:04x}-{tag.vid}")
@pytest.mark.parametrize(
    "flow",
    [
        ("a", "b"),
        ("a", "external"),
        ("external", "a"),
        ("lower", "a"),
        ("a", "lower"),
        ("external", BROADCAST),
    ],
    ids=" → ".join,
)
def test_tagged(testbed, pair, flow, tag):
    """Delivered like the untagged frame, the tag in its place."""
    sender, to = flow
    testbed(pair).check(Stimulus(sender, to=to, tag=tag))
