"""Groups that the guest joins: whether the macvtap lets them in.

guest [QEMU: joined]---- low ----- far

The macvtap does not know what the guest's card listens for, unless libvirt tells it.
"""

import pytest

from harness import Frame, Guest, Mode, Stimulus, Topology
from harness.kernel.waiting import look_until
from harness.model import predict

pytestmark = pytest.mark.guests

MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)
GROUP = "03:68:70:00:00:77"
FAR = "02:68:70:03:00:01"
# A packet socket's membership is the card's, as a protocol's would be (PACKET_MR_MULTICAST).
JOIN = """
import signal, socket, struct, sys
joined = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
index, group = socket.if_nametoindex(sys.argv[1]), bytes.fromhex(sys.argv[2].replace(":", ""))
joined.setsockopt(263, 1, struct.pack("=iHH8s", index, 0, 6, group))
signal.pause()
"""


def has_joined(guest, card):
    text = guest.agent.run(["cat", "/proc/net/dev_mcast"]).stdout.decode()
    lines = [line.split() for line in text.splitlines()]
    return (card, GROUP.replace(":", "")) in [(words[1], words[-1]) for words in lines]


@pytest.mark.parametrize("trusted", [False, True], ids=["distrusted", "trusted"])
@pytest.mark.parametrize("mode", MODES)
def test_joined_by_the_guest(cables, guest, plug, mode, trusted):
    """Trusted, the macvtap joins as well; distrusted, it lets in what the model says of it."""
    from harness.testbed.raw import LinkEnd, marker

    number = plug(mode, trust_guest_rx_filters=trusted)
    nic = guest.running.domain.interfaces[number]
    card = guest.card(number).name
    assert cables.ping(guest, number).ok
    unjoined = predict(Topology([Guest("a", mode)]), Stimulus("external", to=GROUP))
    frame = Frame(GROUP, FAR, payload=b"to the group".ljust(46, b"\0")).to_bytes()
    with (
        guest.agent.start(["python", "-S", "-c", JOIN, card, GROUP]),
        LinkEnd(cables.outside, cables.far(nic.source)) as far,
        guest.agent.capture(card) as capture,
    ):
        assert look_until(lambda: has_joined(guest, card), bool, within=5.0)
        if trusted:
            assert look_until(lambda: GROUP in cables.groups(nic.target), bool, within=5.0)
        far.send(frame)
        mark = marker("ff:ff:ff:ff:ff:ff")
        far.send(mark)
        found = capture.read(tail=mark).frames
    assert found.count(frame) == (1 if trusted else len(unjoined.arrivals["a"]))
    assert trusted or GROUP not in cables.groups(nic.target)
