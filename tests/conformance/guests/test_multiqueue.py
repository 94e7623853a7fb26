"""Several queues: as many descriptors of one macvtap, and as many pairs of rings in the guest.

guest [QEMU: 2 processors, N queues]=== low ----- far [stack]
"""

import pytest

from harness import Frame, Mode

pytestmark = pytest.mark.guests

MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)
FLOWS = 64


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("queues", "used"), [(1, 1), (2, 2), (4, 2)])
def test_queues(cables, guest, plug, mode, queues, used):
    """QEMU has one descriptor for each; the guest uses as many as it has processors."""
    number = plug(mode, queues=queues)
    assert guest.seen(number).queues == queues
    assert cables.wrong(guest, [number]) == []
    assert guest.card(number).queues == used


def flow(dst, port):
    """A UDP datagram from a port of its own, to nobody: what is told apart is the flow."""
    from harness.frames import ETHERTYPE_IPV4

    udp = port.to_bytes(2, "big") + bytes([0, 9, 0, 8, 0, 0])
    header = bytes([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 200, 0, 1, 10, 200, 0, 2])
    return Frame(dst, "02:68:70:03:00:01", ETHERTYPE_IPV4, header + udp).to_bytes()


def interrupts(guest):
    """How often each receive queue of the guest's newest card has interrupted it."""
    lines = guest.agent.run(["cat", "/proc/interrupts"]).stdout.decode().splitlines()
    found = {}
    for line in lines:
        words = line.split()
        if "-input." in words[-1]:
            card, _, queue = words[-1].partition("-input.")
            found.setdefault(card, {})[queue] = sum(int(x) for x in words[1:3])
    return found[max(found, key=lambda card: int(card.removeprefix("virtio")))]


@pytest.mark.parametrize(("queues", "used"), [(1, 1), (2, 2), (4, 2)])
def test_flows_are_spread(cables, guest, plug, queues, used):
    """Frames of many flows arrive by every queue that the guest has on (tap_get_queue)."""
    from harness.testbed.raw import LinkEnd, marker

    number = plug(Mode.BRIDGE, queues=queues)
    nic = guest.running.domain.interfaces[number]
    card = guest.card(number).name
    assert cables.ping(guest, number).ok
    before = interrupts(guest)
    frames = [flow(nic.mac, 1000 + i) for i in range(FLOWS)]
    with (
        LinkEnd(cables.outside, cables.far(nic.source)) as far,
        guest.agent.capture(card) as capture,
    ):
        for frame in frames:
            far.send(frame)
        # Queues do not keep an order among each other: all are counted, none waited behind.
        found = capture.read(count=FLOWS).frames
        assert sorted(x[:42] for x in found) == sorted(frames)
        mark = marker(nic.mac)
        far.send(mark)
        assert mark in capture.read(tail=mark).frames
    after = interrupts(guest)
    busy = [queue for queue in after if after[queue] > before.get(queue, 0)]
    assert len(busy) == used
