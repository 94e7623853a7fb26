"""A wire that loses, delays, doubles and reorders: macvtap itself does nothing of the kind.

    a [tap]--.
             lower [netem] ----- [netem] far
    b [tap]--'

netem counts what it let through: that is what arrives, and all of it.
"""

import errno
import time

import pytest

from harness import KernelError, Mode
from harness.kernel.counters import link_counters
from harness.kernel.netem import Netem, netem_counters, set_netem
from harness.kernel.waiting import look_until
from harness.parts import BROADCAST_MAC, Guest

FRAMES = 100
WITHIN = 10.0  # seconds; all is there as soon as netem has let go of it
LATE = 0.3  # seconds: longer than it takes to send all
MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)
WIRES = {
    "loss": Netem(loss=0.3),
    "duplicates": Netem(duplicate=0.3),
    "loss, duplicates and delay": Netem(loss=0.2, duplicate=0.2, delay=0.01),
}
each_mode = pytest.mark.parametrize("mode", MODES)
each_way = pytest.mark.parametrize(("sender", "receiver"), [("a", "far"), ("far", "a")])


@pytest.fixture
def rough(cable):
    """``rough(netem, mode, on="lower")``: a cable with guests, and netem before its wire."""

    def rough(netem, mode, *, on="lower"):
        guests = [Guest("a", mode)] + [Guest("b", mode)] * (mode is not Mode.PASSTHRU)
        bed = cable(*guests)
        try:
            bed.do(set_netem(on, netem, index=bed.index[on]))
        except KernelError as error:
            if error.errno == errno.ENOENT:
                pytest.skip("this kernel has no netem")
            raise
        return bed

    return rough


def _through(bed, sender, receiver, *, frames=FRAMES):
    """Send so many; what netem did to them, the frames, and where each that arrived was sent."""
    wire = "far" if sender == "far" else "lower"
    sent = [bed.frame(sender, receiver) for _ in range(frames)]
    numbers = {frame: number for number, frame in enumerate(sent)}
    out, into = bed.end(sender), bed.end(receiver)
    into.waiting()
    for frame in sent:
        out.send(frame)

    def look():
        counters = netem_counters(bed.ns, bed.index[wire])
        arrived.extend(numbers[x] for x in into.waiting() if x in numbers)
        return counters

    arrived = []
    counters = look_until(
        look, lambda seen: not seen.held and len(arrived) == seen.sent, within=WITHIN
    )
    return counters, arrived


@each_mode
@each_way
@pytest.mark.parametrize("netem", WIRES.values(), ids=WIRES)
def test_what_the_wire_lets_through(rough, netem, mode, sender, receiver):
    """arrives, in order, once for each copy; what is lost is the wire's, and the guest's sent."""
    bed = rough(netem, mode, on="far" if sender == "far" else "lower")
    before = link_counters(bed.ns)["a"]
    counters, arrived = _through(bed, sender, receiver)
    after = link_counters(bed.ns)["a"]
    # Without a tap the link's own stack gets it, and may count it as dropped.
    names = ("tx_packets", "tx_dropped") if sender == "a" else ("rx_packets",)
    counted = [after[name] - before[name] for name in names]
    assert len(arrived) == counters.sent
    assert arrived == sorted(arrived), "a wire without reordering"
    if not netem.duplicate:  # of one that is doubled and lost, one is left (netem_enqueue)
        assert len(arrived) == FRAMES - counters.dropped
    assert counted == ([FRAMES, 0] if sender == "a" else [len(arrived)]), "macvlan_start_xmit"
    if netem.loss:
        assert 0 < len(set(arrived)) < FRAMES
    else:
        assert set(arrived) == set(range(FRAMES))
    if netem.duplicate:
        assert len(set(arrived)) < len(arrived)


@each_mode
@each_way
def test_out_of_order(rough, mode, sender, receiver):
    """Every fifth overtakes the others, which come late and in order; none is lost."""
    reordering = Netem(delay=LATE, gap=5)
    bed = rough(reordering, mode, on="far" if sender == "far" else "lower")
    started = time.monotonic()
    counters, arrived = _through(bed, sender, receiver)
    assert time.monotonic() - started >= LATE
    assert (counters.sent, counters.dropped) == (FRAMES, 0)
    assert sorted(arrived) == list(range(FRAMES))
    at_once = [x for x in arrived if x % 5 == 4]
    others = [x for x in arrived if x % 5 != 4]
    assert (at_once, others) == (sorted(at_once), sorted(others))
    assert arrived[0] == 4, "netem_enqueue: the gap is over with the fifth"


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE])
def test_a_dead_wire(rough, mode):
    """Siblings in bridge mode do without it; for all others it is the only way."""
    bed = rough(Netem(loss=1.0), mode)
    heard = ["b"] if mode is Mode.BRIDGE else []
    assert bed.seen("a", "b", at=["b"]) == heard, "macvlan_queue_xmit, drivers/net/macvlan.c"
    assert bed.seen("a", BROADCAST_MAC, at=["b"]) == heard
    # Unicast between siblings is never on the wire.
    dropped = netem_counters(bed.ns, bed.index["lower"]).dropped
    assert dropped == (1 if mode is Mode.BRIDGE else 2)


@each_mode
def test_a_full_queue(rough, mode):
    """What the wire's queue refuses is counted at the guest, whose write succeeds all the same.

    NET_XMIT_DROP comes back to macvlan_start_xmit; a loss on the wire does not.
    """
    bed = rough(Netem(delay=LATE, limit=10), mode)
    before = link_counters(bed.ns)["a"]
    counters, arrived = _through(bed, "a", "far", frames=30)
    after = link_counters(bed.ns)["a"]
    counted = {x: after[x] - before[x] for x in ("tx_packets", "tx_dropped")}
    assert arrived == list(range(len(arrived)))
    assert (counters.sent, counters.dropped) == (len(arrived), 30 - len(arrived))
    assert counted == {"tx_packets": len(arrived), "tx_dropped": 30 - len(arrived)}
    assert 10 <= len(arrived) < 30
