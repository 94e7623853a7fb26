"""How the plugin labels a topology in the matrix, and what a kernel lacks for one."""

from types import SimpleNamespace

import pytest

from harness.parts import Guest, Lower, LowerKind, Mode, Switch
from harness.plugin import column_of, missing_for
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
            ("source nodst down → vepa down", "hairpin off"),
        ),
    ],
    ids=["none", "one", "two", "three", "extras"],
)
def test_column(guests, hairpin, column):
    assert column_of(Topology(guests, switch=Switch(hairpin=hairpin))) == column


@pytest.mark.parametrize(
    ("topology", "missing", "reason"),
    [
        pytest.param(Topology(), {"dummy", "vlan", "vlan filtering"}, "", id="needs none of it"),
        pytest.param(Topology(lowers=VLAN_ON_DUMMY), set(), "", id="lacks nothing"),
        pytest.param(
            Topology(lowers=VLAN_ON_DUMMY), {"vlan"}, "this kernel has no vlan", id="lacks one"
        ),
        pytest.param(
            Topology(lowers=VLAN_ON_DUMMY),
            {"dummy", "vlan"},
            "this kernel has no dummy and no vlan",
            id="lacks two",
        ),
        pytest.param(
            Topology(switch=Switch(vlan_filtering=True)),
            {"vlan filtering"},
            "this kernel has no vlan filtering",
            id="the switch",
        ),
    ],
)
def test_missing(topology, missing, reason):
    features = SimpleNamespace(missing=dict.fromkeys(missing, "ENOTSUP"))
    assert missing_for(topology, features) == reason
