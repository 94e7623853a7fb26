"""Unicast between two guests.

    a [tap]--.
             lower ----- switch ----- external
    b [tap]--'

macvlan_queue_xmit hands a frame over directly only from bridge mode to bridge mode; any other
pair needs the switch to send it back, and then macvlan_handle_frame looks at nothing but the
destination: private guests get it too.
"""

from harness import Stimulus


def test_guest_to_guest(testbed, pair):
    """Bridge to bridge directly; all others exactly when the switch reflects."""
    testbed(pair).check(Stimulus("a", to="b"))
