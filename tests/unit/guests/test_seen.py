"""What the kernel shows, held against what the XML asks for: each difference is told in words."""

from dataclasses import replace

import pytest

from harness.guests.expected import Expected
from harness.guests.seen import Seen, unlike
from harness.kernel.linkstate import LinkState, MacvtapState
from harness.parts import Mode

LOWER = LinkState(
    name="eth0",
    index=3,
    mac="02:00:00:00:00:03",
    mtu=1500,
    up=True,
    promiscuous=False,
    allmulticast=False,
    operstate="UP",
    carrier=True,
    lower=0,
    lower_netnsid=None,
    master=0,
    promiscuity=0,
    allmulti=0,
    txqueuelen=1000,
)
STATE = MacvtapState(
    mode=Mode.VEPA, flags=0, sources=(), bcqueuelen=None, bcqueuelen_used=None, bc_cutoff=1
)
LINK = replace(LOWER, name="macvtap0", index=9, mac="02:00:00:00:00:0a", lower=3, macvtap=STATE)
SEEN = Seen(link=LINK, lower=LOWER, holders=("qemu-system-x86",), queues=1)
ASKED = Expected(lower="eth0", mode=Mode.VEPA, mac="02:00:00:00:00:0a")


def link(**changes):
    return replace(SEEN, link=replace(LINK, **changes))


def test_as_asked():
    assert unlike(ASKED, SEEN, lower_was=LOWER) == []


@pytest.mark.parametrize(
    ("asked", "seen", "said"),
    [
        (ASKED, link(macvtap=replace(STATE, mode=Mode.BRIDGE)), "mode: vepa was asked for, bridge"),
        (ASKED, link(mac="02:00:00:00:00:0b"), "address: 02:00:00:00:00:0a was asked for, 02:"),
        (ASKED, link(mtu=1400), "MTU: 1500 was asked for, 1400"),
        (replace(ASKED, mtu=1400), SEEN, "MTU: 1400 was asked for, 1500"),
        (ASKED, link(up=False), "state: True was asked for, False"),
        (replace(ASKED, name="web"), SEEN, "name: web was asked for, macvtap0"),
        (replace(ASKED, queues=4), SEEN, "queues: 4 was asked for, 1"),
        (replace(ASKED, lower="eth1"), SEEN, "lower device: eth1 was asked for, eth0"),
        (
            ASKED,
            replace(SEEN, lower=replace(LOWER, mac="02:00:00:00:00:0a")),
            "address of the lower device: 02:00:00:00:00:03 was asked for",
        ),
        (
            ASKED,
            replace(SEEN, holders=("cat",)),
            "owner: no QEMU has its tap open, but cat",
        ),
        (ASKED, replace(SEEN, holders=()), "owner: no QEMU has its tap open, but nobody"),
    ],
    ids=lambda x: x.partition(":")[0] if isinstance(x, str) else "",
)
def test_otherwise(asked, seen, said):
    """One clause, about what is otherwise."""
    (found,) = unlike(asked, seen, lower_was=LOWER)
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("promiscuity", "found"),
    [(1, []), (0, ["promiscuous lower device: True was asked for, False is there"])],
    ids=["promiscuous", "not"],
)
def test_passthrough_changes_its_lower_device(promiscuity, found):
    """Its address, which may be made up, and what it lets in."""
    asked = replace(ASKED, mode=Mode.PASSTHRU, mac="", promiscuity=1)
    lower = replace(LOWER, mac=LINK.mac, promiscuity=promiscuity)
    seen = replace(link(macvtap=replace(STATE, mode=Mode.PASSTHRU)), lower=lower)
    assert unlike(asked, seen, lower_was=LOWER) == found


def test_passthrough_that_is_down_lets_in_nothing_yet():
    asked = replace(ASKED, mode=Mode.PASSTHRU, mac="", promiscuity=1, up=False)
    down = replace(LINK, up=False, macvtap=replace(STATE, mode=Mode.PASSTHRU))
    seen = replace(SEEN, link=down, lower=replace(LOWER, mac=LINK.mac))
    assert unlike(asked, seen, lower_was=LOWER) == []


def test_no_macvtap():
    with pytest.raises(ValueError, match="macvtap0 is no macvtap"):
        _ = link(macvtap=None).mode
