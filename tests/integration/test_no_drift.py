"""A testbed that nobody has touched has nothing to tell: every difference named is a real one.

Each topology is brought up, sends, and is read back; the list of what is not as declared must be
empty, or a true cause would stand behind a false one.
"""

import os
from contextlib import ExitStack

import pytest

from harness import (
    BROADCAST,
    External,
    Guest,
    Lower,
    LowerKind,
    Mode,
    Port,
    Router,
    Stimulus,
    Switch,
    Topology,
)
from harness.kernel.features import Backend, missing_for, probe
from harness.kernel.links import delete_link
from harness.kernel.openers import read_openers, tap_device
from harness.kernel.privileges import ensure_namespaces
from harness.testbed import Testbed
from harness.testbed.drift import drift

GROUP = "03:68:70:00:00:01"

TOPOLOGIES = {
    "every mode": Topology(
        [
            Guest("a", Mode.VEPA, promiscuous=True),
            Guest("b", Mode.BRIDGE, groups=(GROUP,), allmulticast=True),
            Guest("c", Mode.PRIVATE, up=False),
            Guest("d", Mode.SOURCE, sources=("02:68:70:01:00:01",), nodst=True),
        ],
        switch=Switch(hairpin=True),
    ),
    "passthru": Topology([Guest("a", Mode.PASSTHRU, nopromisc=True)]),
    "broadcast queue": Topology([Guest("a", bcqueuelen=0), Guest("b", bcqueuelen=7, bc_cutoff=2)]),
    "router": Topology([Guest("a")], router=Router()),
    "ports": Topology(
        [Guest("a")],
        externals=(External("external"), External("second")),
        switch=Switch(
            ports=(
                Port(to="external", flood=False, multicast_flood=False),
                Port(to="second", learning=False, up=False),
            )
        ),
    ),
    "two lower devices": Topology(
        [Guest("a"), Guest("b", lower="other")], lowers=(Lower(), Lower(name="other", mtu=9000))
    ),
    "two switches": Topology(
        [Guest("a")],
        switches=(Switch(), Switch(name="upstairs")),
        externals=(External("external"), External("far", switch="upstairs")),
    ),
    "lower device down": Topology([Guest("a")], lowers=(Lower(up=False),)),
    "guest in a namespace of its own": Topology([Guest("a"), Guest("b", namespace="elsewhere")]),
    "dummy": Topology([Guest("a")], lowers=(Lower(kind=LowerKind.DUMMY),)),
    "vlan": Topology(
        [Guest("a", lower="tagged")],
        lowers=(Lower(), Lower(name="tagged", kind=LowerKind.VLAN, parent="lower", vlan=5)),
    ),
}


@pytest.fixture(scope="module")
def features():
    ensure_namespaces()
    return probe()


def _said(bed):
    return [finding.says for finding in drift(bed.wiring, bed._own_taps())]


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_nothing_to_tell(features, name):
    """As brought up, and after frames have passed."""
    topology = TOPOLOGIES[name]
    if reason := missing_for(topology, features):
        pytest.skip(reason)
    with Testbed(topology, backend=features.backend) as bed:
        assert _said(bed) == []
        for sender in topology.macs:
            bed.verdict(Stimulus(sender, BROADCAST))
        assert _said(bed) == []


def test_nothing_to_tell_after_a_change(features):
    """A testbed that has become another one is held against what it is now."""
    before = Topology([Guest("a", Mode.BRIDGE), Guest("b")])
    after = Topology(
        [Guest("a", Mode.PRIVATE, mac="02:68:70:01:00:77"), Guest("c", groups=(GROUP,))],
        switch=Switch(hairpin=True),
    )
    with Testbed(before, backend=features.backend) as bed:
        bed.become(after)
        bed.verdict(Stimulus("a", "c"))
        assert _said(bed) == []
        bed.become(before)
        assert _said(bed) == []


def test_a_stale_descriptor_is_no_reader(features):
    """The device number of a tap that has gone is given again; who still holds it reads nothing."""
    if features.backend is not Backend.TAP:
        pytest.skip(f"no taps: {features.backend_reason}")
    with ExitStack() as undo:
        first = undo.enter_context(Testbed(Topology([Guest("a")])))
        device = tap_device(first.wiring.host, "a")
        gone = delete_link("a", index=first.wiring.index["a"])
        first.wiring.host.rtnl.transact([gone])
        # The lowest that is free is given next, to us unless somebody else is quicker.
        for _ in range(50):
            bed = undo.enter_context(Testbed(Topology([Guest("a")])))
            if tap_device(bed.wiring.host, "a") == device:
                break
        held = {opener.fd for opener in read_openers([device]) if opener.pid == os.getpid()}
        assert held >= {first.endpoints["a"].tap.fd}
        assert _said(bed) == []
