"""What QEMU's card takes of what the macvtap hands over.

guest [QEMU: card -|- macvtap]---- low ----- far

The macvtap lets in more than its guest gets to see, in passthrough everything.
"""

import pytest

from harness import Frame, Mode
from harness.testbed.raw import LinkEnd, marker

pytestmark = pytest.mark.guests

OTHER = "02:68:70:ee:ee:ee"
FAR = "02:68:70:03:00:01"


@pytest.mark.parametrize("promiscuous", [True, False], ids=["promiscuous", "not promiscuous"])
@pytest.mark.parametrize(
    ("mode", "let_in"),
    [(Mode.VEPA, False), (Mode.BRIDGE, False), (Mode.PRIVATE, False), (Mode.PASSTHRU, True)],
)
def test_unicast_of_others(cables, guest, plug, mode, let_in, promiscuous):
    """Only passthrough lets it in, and the card hands it on while promiscuous (receive_filter)."""
    number = plug(mode)
    nic = guest.running.domain.interfaces[number]
    card = guest.card(number).name
    assert cables.ping(guest, number).ok
    frame = Frame(OTHER, FAR, payload=b"for another".ljust(46, b"\0")).to_bytes()
    with (
        LinkEnd(cables.outside, cables.far(nic.source)) as far,
        LinkEnd(cables.ns, nic.target) as macvtap,
        guest.agent.capture(card, promiscuous=promiscuous) as capture,
    ):
        far.send(frame)
        mark = marker(nic.mac)
        far.send(mark)
        assert (frame in macvtap.until(mark)) is let_in
        assert (frame in capture.read(tail=mark).frames) is (let_in and promiscuous)
