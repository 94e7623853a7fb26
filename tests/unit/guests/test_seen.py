"""What the kernel shows, held against what was asked for."""

from dataclasses import replace

import pytest

from harness.guests.expected import Expected
from harness.guests.found import FINDINGS
from harness.guests.seen import Seen, unlike
from harness.kernel.linkstate import LinkState, MacvtapState
from harness.parts import Mode

MAC, LOWER_MAC, OTHER = "02:68:70:01:00:01", "02:68:70:02:00:01", "02:68:70:01:00:02"

LOWER = LinkState(
    name="low0",
    index=1,
    mac=LOWER_MAC,
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


def seen(mode=Mode.VEPA, *, lower_mac=LOWER_MAC, holders=("qemu-system-x86",), queues=1, **link):
    state = MacvtapState(mode, 0, (), None, None, 1)
    macvtap = replace(LOWER, name="macvtap0", index=2, mac=MAC, lower=1, macvtap=state)
    lower = replace(LOWER, mac=lower_mac)
    return Seen(link=replace(macvtap, **link), lower=lower, holders=holders, queues=queues)


def asked(mode=Mode.VEPA, **rest):
    return Expected(lower="low0", mode=mode, **{"mac": MAC} | rest)


@pytest.mark.parametrize(
    ("wanted", "there"),
    [
        pytest.param(asked(), seen(), id="vepa"),
        pytest.param(asked(mac=""), seen(mac=OTHER), id="address made up"),
        pytest.param(asked(queues=4), seen(queues=4), id="queues"),
        pytest.param(
            asked(Mode.PASSTHRU, lower_mac=MAC), seen(Mode.PASSTHRU, lower_mac=MAC), id="passthru"
        ),
        pytest.param(
            asked(Mode.PASSTHRU, mac=""),
            seen(Mode.PASSTHRU, mac=OTHER, lower_mac=OTHER),
            id="passthru, address made up",
        ),
    ],
)
def test_alike(wanted, there):
    assert unlike(wanted, there, lower_was=LOWER) == []


@pytest.mark.parametrize(
    ("wanted", "there", "what"),
    [
        (asked(), seen(Mode.BRIDGE), "mode"),
        (asked(), seen(mac=OTHER), "address"),
        (asked(), seen(up=False), "state"),
        (asked(), seen(mtu=1400), "MTU"),
        (asked(name="tap-a"), seen(), "name"),
        (asked(queues=2), seen(), "queues"),
        (asked(), seen(lower_mac=MAC), "address of the lower device"),
        (asked(Mode.PASSTHRU, mac=""), seen(Mode.PASSTHRU), "address of the lower device"),
        (asked(), seen(holders=("cat",)), "owner"),
        (asked(), seen(holders=()), "owner"),
    ],
)
def test_unlike(wanted, there, what):
    found = unlike(wanted, there, lower_was=LOWER)
    assert [clause.partition(":")[0] for clause in found] == [what]


def test_findings_are_told_apart():
    """Each by its key; what is said of each is there."""
    assert len({x.key for x in FINDINGS}) == len(FINDINGS)
    assert all(x.behaviour and x.documentation and x.source and x.test for x in FINDINGS)


def test_findings_name_tests_that_exist():
    """A finding that nobody can see again is hearsay."""
    from pathlib import Path

    for finding in FINDINGS:
        file, _, name = finding.test.partition("::")
        assert f"def {name}(" in Path(__file__).parents[3].joinpath(file).read_text()
