"""Path specs: what they are called, what they need, and which make no sense."""

import pytest

from harness import Mode
from harness.bench.paths import PATHS, Carrier, PathSpec, Way
from harness.errors import UsageError
from harness.parts import LowerKind

OUT, IN = Way.GUEST_TO_EXTERNAL, Way.EXTERNAL_TO_GUEST


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (PathSpec(), "guest → guest, bridge"),
        (PathSpec(mode=Mode.VEPA), "guest → guest, vepa behind hairpin"),
        (PathSpec(to_mode=Mode.VEPA), "guest → guest, bridge to vepa behind hairpin"),
        (PathSpec(way=OUT, mode=Mode.PASSTHRU), "guest → external, passthru"),
        (PathSpec(way=IN, mode=Mode.SOURCE), "external → guest, source"),
        (PathSpec(lower=LowerKind.VLAN), "guest → guest, bridge, on vlan"),
        (PathSpec(carrier=Carrier.BRIDGE_TAP, mtu=9000), "bridge + tap"),
    ],
)
def test_name(spec, name):
    """The way, the modes, whether the switch must reflect; parameters are not in it."""
    assert spec.name == name


@pytest.mark.parametrize(
    ("spec", "variant"),
    [
        (PathSpec(), ""),
        (PathSpec(way=OUT), ""),
        (PathSpec(mtu=9000, queues=4), "MTU 9000, 4 queues"),
        (PathSpec(guests=100, listeners=98), "100 guests, 98 listening"),
        (PathSpec(gso=True, sources=16, queue=50), "GSO, 16 sources, txqueuelen 50"),
    ],
)
def test_variant(spec, variant):
    """The parameters that are not as usual."""
    assert spec.variant == variant


def test_standard_list():
    """Every standard path has a name of its own, and no parameters."""
    assert len({spec.name for spec in PATHS}) == len(PATHS)
    assert not any(spec.variant for spec in PATHS)
    assert {spec.carrier for spec in PATHS} == set(Carrier)


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE])
@pytest.mark.parametrize("to", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE])
def test_hairpin(mode, to):
    """Only two in bridge mode need no switch."""
    assert PathSpec(mode=mode, to_mode=to).hairpin is (Mode.BRIDGE is not mode or mode is not to)
    assert not PathSpec(way=OUT, mode=mode).hairpin


@pytest.mark.parametrize(
    ("spec", "header"),
    [
        (PathSpec(), 0),
        (PathSpec(gso=True), 12),
        (PathSpec(way=IN, gso=True), 10),
        (PathSpec(carrier=Carrier.MACVLAN, gso=True), 10),
        (PathSpec(carrier=Carrier.BRIDGE_TAP, gso=True), 12),
    ],
)
def test_header(spec, header):
    """Both ends have the same, and a packet socket's is the short one."""
    assert spec.header == header


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"mtu": 67}, "mtu is 67; allowed: 68 to 65521"),
        ({"queues": 257}, "allowed: 1 to 256"),
        ({"guests": 1}, "guests is 1; allowed: 2 to 1000"),
        ({"guests": 1001}, "allowed: 2 to 1000"),
        ({"way": OUT, "guests": 1001}, "allowed: 1 to 1000"),
        ({"guests": 3, "listeners": 2}, "listeners is 2; allowed: 0 to 1"),
        ({"sources": -1}, "allowed: 0 to 4096"),
        ({"way": OUT, "queue": 5}, "no txqueuelen"),
        ({"carrier": Carrier.MACVLAN, "queue": 5}, "no txqueuelen"),
        ({"carrier": Carrier.MACVLAN, "queues": 2}, "one queue"),
        ({"carrier": Carrier.IPVTAP, "sources": 2}, "one address"),
        ({"carrier": Carrier.BRIDGE_TAP, "mode": Mode.VEPA}, "macvtap's only"),
        ({"carrier": Carrier.MACVLAN, "way": OUT}, "macvtap's only"),
        ({"carrier": Carrier.MACVLAN, "lower": LowerKind.DUMMY}, "macvtap's only"),
        ({"lower": LowerKind.DUMMY, "way": OUT}, "plugged into nothing"),
        ({"lower": LowerKind.DUMMY, "mode": Mode.VEPA}, "plugged into nothing"),
        ({"mode": Mode.PASSTHRU}, "alone"),
        ({"mode": Mode.PASSTHRU, "way": IN, "guests": 2}, "alone"),
        ({"mode": Mode.SOURCE}, "from outside only"),
        ({"mode": Mode.PRIVATE, "guests": 3, "listeners": 1}, "nobody else would hear"),
        ({"mode": Mode.SOURCE, "way": IN, "guests": 2, "listeners": 1}, "nobody else would hear"),
        ({"mode": Mode.VEPA, "way": OUT, "guests": 2, "listeners": 1}, "nobody else would hear"),
    ],
)
def test_nonsense(fields, says):
    """What makes no sense is refused, with the range or the reason."""
    with pytest.raises(UsageError, match=says):
        PathSpec(**fields)
