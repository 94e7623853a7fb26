"""What a topology is called in the matrix."""

import pytest

from harness.parts import External, Guest, Lower, LowerKind, Mode, Port, Router, Switch
from harness.report.labels import column_of
from harness.topology import Topology

VLAN_ON_DUMMY = [
    Lower(kind=LowerKind.DUMMY),
    Lower(name="vlan5", kind=LowerKind.VLAN, parent="lower", vlan=5),
]


@pytest.mark.parametrize(
    ("guests", "hairpin", "column"),
    [
        ([], False, ("no guest", "hairpin off")),
        ([Guest("p", Mode.PASSTHRU, nopromisc=True)], True, ("passthru nopromisc", "hairpin on")),
        ([Guest("a"), Guest("b", Mode.BRIDGE)], False, ("vepa → bridge", "hairpin off")),
        (
            [Guest("a"), Guest("b", Mode.BRIDGE), Guest("c", Mode.PRIVATE)],
            True,
            ("vepa + bridge + private", "hairpin on"),
        ),
        (
            [Guest("s", Mode.SOURCE, nodst=True, up=False), Guest("b", up=False)],
            False,
            ("source (nobody) nodst down → vepa down", "hairpin off"),
        ),
        (
            [Guest("s", Mode.SOURCE, sources=("02:68:70:03:00:01", "02:68:70:dd:dd:dd"))],
            False,
            ("source (external, 02:68:70:dd:dd:dd)", "hairpin off"),
        ),
        (
            [
                Guest("a", allmulticast=True, bcqueuelen=0),
                Guest("b", promiscuous=True, bc_cutoff=-1),
            ],
            False,
            ("vepa allmulticast bcqueuelen 0 → vepa promiscuous bc_cutoff -1", "hairpin off"),
        ),
    ],
    ids=["none", "one", "two", "three", "extras", "sources", "filters"],
)
def test_column(guests, hairpin, column):
    assert column_of(Topology(guests, switch=Switch(hairpin=hairpin))) == column


@pytest.mark.parametrize(
    ("parts", "special"),
    [
        ({"lowers": VLAN_ON_DUMMY}, "; lower is a dummy; vlan5 is a vlan 5"),
        ({"router": Router()}, "; router"),
        ({"lowers": [Lower(up=False)]}, "; lower down"),
        ({"switch": Switch(ports=(Port(to="lower", up=False),))}, "; lower: down"),
        (
            {
                "switches": [Switch(name="first"), Switch(name="second", vlan_filtering=True)],
                "lowers": [Lower(switch="first")],
                "externals": [External("far", switch="second")],
            },
            "; first: lower; second: far; VLAN filtering at second",
        ),
        ({"switch": Switch(vlan_filtering=True)}, "; VLAN filtering"),
        (
            {"switch": Switch(ports=(Port(to="lower", hairpin=True, learning=False),))},
            "; lower: hairpin on, no learning",
        ),
        (
            {"switch": Switch(ports=(Port(to="external", flood=False, multicast_flood=False),))},
            "; external: no flooding, no multicast flooding",
        ),
        ({"switch": Switch(ports=(Port(to="lower"),))}, ""),
    ],
    ids=[
        "lowers",
        "router",
        "lower down",
        "port down",
        "two switches",
        "filtering",
        "port",
        "flooding",
        "port as it comes",
    ],
)
def test_column_names_what_is_special(parts, special):
    assert column_of(Topology([Guest("a")], **parts))[0] == f"vepa{special}"


def test_hairpin_of_several_switches():
    """One word where they agree, each by name where they do not."""
    switches = [Switch(name="first", hairpin=True), Switch(name="second")]
    parts = {"lowers": [Lower(switch="first")], "externals": []}
    assert column_of(Topology([], switches=switches, **parts))[1] == (
        "hairpin on at first, off at second"
    )
    assert (
        column_of(
            Topology([], switches=switches[1:], lowers=[Lower(switch="second")], externals=[])
        )[1]
        == "hairpin off"
    )


def test_guest_elsewhere():
    """A guest that has been moved is told by where it is."""
    assert column_of(Topology([Guest("a", namespace="yonder")]))[0] == "vepa in yonder"
