"""What a kernel lacks for a topology."""

from types import SimpleNamespace

import pytest

from harness.kernel.features import missing_for
from harness.parts import Lower, LowerKind, Switch
from harness.topology import Topology

VLAN_ON_DUMMY = [
    Lower(kind=LowerKind.DUMMY),
    Lower(name="vlan5", kind=LowerKind.VLAN, parent="lower", vlan=5),
]


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
