"""MTU: who bounds it, what fits, and where one byte more is counted as dropped.

a [tap]--.
         lower ----- far
b [tap]--'
"""

import pytest

from harness import Guest, KernelError, Mode
from harness.kernel.counters import link_counters, moved
from harness.kernel.features import Backend
from harness.testbed.cable import Cable

HEADER = 14  # bytes of an Ethernet header, which the MTU does not count
TAG = 4  # room for a tag is always there (is_skb_forwardable, include/linux/netdevice.h)


def _mtus(bed):
    return {name: bed.state(name).mtu for name in bed.index if name != "far"}


# ---------------------------------------------------------------------- who bounds it


@pytest.mark.parametrize("mode", list(Mode))
def test_inherited(cable, mode):
    """A macvtap starts with its lower device's MTU (macvlan_common_newlink)."""
    bed = cable(mtu=1400)
    bed.add(Guest("a", mode, mac="02:68:70:01:00:01"))
    assert _mtus(bed) == {"lower": 1400, "a": 1400}


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU])
@pytest.mark.parametrize("mtu", [68, 1280, 1500])
def test_smaller(cable, mode, mtu):
    """Up to the lower device's, a macvtap may have any MTU; the lower device's stays."""
    bed = cable(Guest("a", mode))
    bed.set("a", ("IFLA_MTU", mtu))
    assert _mtus(bed) == {"lower": 1500, "a": mtu}, "macvlan_change_mtu"


def test_lowered_and_raised(cable):
    """Lowering the lower device's clamps what is above it; raising gives nothing back.

    macvlan_device_event (NETDEV_CHANGEMTU)
    """
    bed = cable(Guest("a", Mode.BRIDGE), Guest("b", Mode.VEPA))
    bed.set("b", ("IFLA_MTU", 1280))
    bed.set("lower", ("IFLA_MTU", 1400))
    assert _mtus(bed) == {"lower": 1400, "a": 1400, "b": 1280}
    bed.set("lower", ("IFLA_MTU", 9000))
    assert _mtus(bed) == {"lower": 9000, "a": 1400, "b": 1280}
    bed.set("a", ("IFLA_MTU", 9000))
    assert _mtus(bed) == {"lower": 9000, "a": 9000, "b": 1280}


def test_raising_the_lower_makes_room(cable):
    """The refusal is about the lower device's MTU of the moment, not the first one."""
    bed = cable(Guest("a", Mode.BRIDGE))
    with pytest.raises(KernelError, match="EINVAL"):
        bed.set("a", ("IFLA_MTU", 1501))
    bed.set("lower", ("IFLA_MTU", 1501))
    bed.set("a", ("IFLA_MTU", 1501))
    assert bed.state("a").mtu == 1501


# ---------------------------------------------------------------------- what fits


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU])
@pytest.mark.parametrize("size", [60, 1514, 2000, 4000, 9014])
def test_jumbo(cable, mode, size):
    """At MTU 9000, frames of 9,014 bytes go out and come in whole, in every mode."""
    bed = cable(Guest("a", mode), mtu=9000)
    out, back = bed.frame("a", "far", size=size), bed.frame("far", "a", size=size)
    assert bed.exchange("a", out, at=["far"]) == {"far": [out]}
    assert bed.exchange("far", back, at=["a"]) == {"a": [back]}


def test_jumbo_between_siblings(cable):
    """Bridge mode hands over 9,014 bytes as well."""
    bed = cable(Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE), mtu=9000)
    frame = bed.frame("a", "b", size=9014)
    assert bed.exchange("a", frame, at=["b", "far"]) == {"b": [frame], "far": []}


def test_the_guests_own_mtu_bounds_nothing(cable):
    """What a tap writes and reads is bounded by the wire's MTU, not by the macvtap's own.

    Neither macvlan_queue_xmit nor tap_get_user compares; __dev_forward_skb of the lower does.
    """
    bed = cable(Guest("a", Mode.VEPA))
    bed.set("a", ("IFLA_MTU", 1000))
    frame = bed.frame("far", "a", size=1514)
    assert bed.exchange("far", frame, at=["a"]) == {"a": [frame]}


# ---------------------------------------------------------------------- one byte more

OVERSIZE = {
    "bridge to bridge": (
        Guest("a", Mode.BRIDGE),
        "b",
        {"a": {"tx_packets": 1}, "lower": {"rx_dropped": 1}},
    ),
    **{
        f"{mode} to far": (
            Guest("a", mode),
            "far",
            {"a": {"tx_dropped": 1}, "lower": {"tx_dropped": 1}},
        )
        for mode in (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.SOURCE)
    },
    "vepa to sibling": (
        Guest("a", Mode.VEPA),
        "b",
        {"a": {"tx_dropped": 1}, "lower": {"tx_dropped": 1}},
    ),
}


def _packets(changes):
    """On the host's links, and without the bytes, which only repeat the size."""
    return {
        link: {name: n for name, n in counters.items() if not name.endswith("bytes")}
        for link, counters in changes.items()
        if link != "far"  # a veth counts its peer's drops as its own (veth_get_stats64)
    }


def _boundary(cable, guest, to):
    """A bed on which both `guest` and its sibling b in bridge mode have their taps open."""
    bed = cable(guest, Guest("b", Mode.BRIDGE))
    if bed.backend is Backend.PACKET:
        pytest.skip("a packet socket sends nothing above the MTU (packet_snd): this takes taps")
    return bed


@pytest.mark.parametrize(("guest", "to", "counted"), OVERSIZE.values(), ids=OVERSIZE)
def test_boundary(cable, guest, to, counted):
    """Four bytes above the MTU pass, for a tag; a fifth is dropped, and counted there.

    Direct delivery drops it in the lower device's receive path (____dev_forward_skb,
    include/linux/netdevice.h), the wire in its transmit path (veth_xmit, drivers/net/veth.c).
    """
    bed = _boundary(cable, guest, to)
    fits = bed.frame("a", to, size=HEADER + 1500 + TAG)
    receiver = "b" if guest.mode is Mode.BRIDGE and to == "b" else "far"
    assert bed.exchange("a", fits, at=[receiver]) == {receiver: [fits]}
    too_long = bed.frame("a", to, size=HEADER + 1500 + TAG + 1)
    before = link_counters(bed.ns)
    bed.end("a").send(too_long)
    after = link_counters(bed.ns)
    assert _packets(moved(before, after)) == counted
    assert bed.exchange("a", fits, at=[receiver]) == {receiver: [fits]}, "nothing but the fit"


def test_write_succeeds_all_the_same(cable):
    """The guest does not learn of it: write() takes the whole frame (tap_get_user, tap.c)."""
    bed = _boundary(cable, Guest("a", Mode.VEPA), "far")
    bed.end("a").send(bed.frame("a", "far", size=HEADER + 1500 + TAG + 1))


def test_oversize_for_passthru(cable):
    """In passthru it is the wire that drops it, and both links count it."""
    bed = cable(Guest("p", Mode.PASSTHRU))
    if bed.backend is Backend.PACKET:
        pytest.skip("a packet socket sends nothing above the MTU (packet_snd): this takes taps")
    bed.end("p")
    before = link_counters(bed.ns)
    bed.end("p").send(bed.frame("p", "far", size=HEADER + 1500 + TAG + 1))
    counted = _packets(moved(before, link_counters(bed.ns)))
    assert counted == {"p": {"tx_dropped": 1}, "lower": {"tx_dropped": 1}}, "veth_xmit"


def test_packet_socket_refuses_oversize(cable):
    """From the link's own stack, one byte above the MTU is EMSGSIZE (packet_snd, af_packet.c)."""
    with Cable([Guest("a", Mode.BRIDGE)], backend=Backend.PACKET) as bed:
        bed.end("a").send(bed.frame("a", "far", size=HEADER + 1500))
        with pytest.raises(OSError, match="Message too long"):
            bed.end("a").send(bed.frame("a", "far", size=HEADER + 1501))


def test_lower_with_a_smaller_mtu_receives_less(cable):
    """What comes from a wire with a bigger MTU than the lower device's is dropped there.

    veth forwards by the receiver's MTU, and its sender is told (____dev_forward_skb)
    """
    bed = cable(Guest("a", Mode.VEPA), mtu=9000)
    bed.set("lower", ("IFLA_MTU", 1500))
    bed.end("far").send(bed.frame("far", "a", size=HEADER + 1500))
    with pytest.raises(OSError, match="No buffer space"):
        bed.end("far").send(bed.frame("far", "a", size=HEADER + 1500 + TAG + 1))
    fits = bed.frame("far", "a", size=HEADER + 1500 + TAG)
    assert bed.exchange("far", fits, at=["a"])["a"][-1] == fits
