"""Topologies: what is refused and how it is said, addresses, equality, ports, observers."""

import pytest

from harness.errors import TopologyError
from harness.parts import (
    BEACON_MAC,
    NOWHERE_MAC,
    UNKNOWN_MAC,
    External,
    Guest,
    Lower,
    LowerKind,
    Mode,
    Port,
    Router,
    Switch,
)
from harness.topology import Topology
from harness.validity import RESERVED_NAMES

VLAN = {"kind": LowerKind.VLAN, "parent": "lower"}
VLAN5 = Lower(name="vlan5", vlan=5, **VLAN)
MAC = "02:00:00:00:00:01"
GROUP = "01:00:5e:00:00:01"


def bad(id, field, allowed, problem, *guests, **parts):
    return pytest.param(guests, parts, field, allowed, problem, id=id)


def port(**settings):
    return Switch(ports=(Port(to="external", **settings),))


NAMES = "a lower-case letter, then up to 14 of a-z, 0-9 and -"
OWN_NAME = "a name of its own"
UNICAST, GROUPS = "unicast MACs", "group (multicast) MACs"
HEX = "six pairs of hex digits"
VIDS = "1 to 4094"

BAD = [
    # names
    bad("empty", "guest[1].name", NAMES, "'' cannot be a name", Guest("")),
    bad("capital", "guest[1].name", NAMES, "'A' cannot be a name", Guest("A")),
    bad("digit first", "guest[1].name", NAMES, "'1a' cannot be a name", Guest("1a")),
    bad("underscore", "guest[1].name", NAMES, "'a_b' cannot be a name", Guest("a_b")),
    bad("newline", "guest[1].name", NAMES, "'a\\n' cannot be a name", Guest("a\n")),
    bad("dot", "lower[1].name", NAMES, "'eth0.2' cannot be a name", lowers=[Lower(name="eth0.2")]),
    bad("too long", "guest[1].name", NAMES, "cannot be a name", Guest("a" * 16)),
    bad("router", "router.name", NAMES, "'R' cannot be a name", router=Router("R")),
    bad("second guest", "guest[2].name", NAMES, "'B' cannot be a name", Guest("a"), Guest("B")),
    bad("reserved", "guest[1].name", "anything but all, beacon", "'lo' is reserved", Guest("lo")),
    bad("twice", "guest[2].name", OWN_NAME, "'a' is taken by guest[1]", Guest("a"), Guest("a")),
    bad("guest and lower", "lower[1].name", OWN_NAME, "is taken by guest[1]", Guest("lower")),
    bad(
        "two externals",
        "external[2].name",
        OWN_NAME,
        "'external' is taken by external[1]",
        externals=[External(), External()],
    ),
    bad(
        "two lowers",
        "lower[2].name",
        OWN_NAME,
        "'lower' is taken by lower[1]",
        lowers=[Lower(), Lower()],
    ),
    bad(
        "router and external",
        "router.name",
        OWN_NAME,
        "'external' is taken by external[1]",
        router=Router("external"),
    ),
    # lower devices
    bad("no lower", "lower", "one lower device at least", "there is none", lowers=[]),
    bad("mtu", "lower[1].mtu", "68 to 65535", "67 is out of range", lowers=[Lower(mtu=67)]),
    bad("mtu", "lower[1].mtu", "68 to 65535", "65536 is out", lowers=[Lower(mtu=65536)]),
    bad(
        "vlan of a veth",
        "lower[1].vlan",
        "kind = 'vlan'",
        "a veth has no vlan",
        lowers=[Lower(vlan=5)],
    ),
    bad(
        "parent of a dummy",
        "lower[1].parent",
        "kind = 'vlan'",
        "a dummy has no parent",
        lowers=[Lower(kind=LowerKind.DUMMY, parent="lower")],
    ),
    bad(
        "vlan without parent",
        "lower[1].parent",
        "the name of a veth or dummy lower device",
        "'' cannot carry a vlan",
        lowers=[Lower(kind=LowerKind.VLAN, vlan=5)],
    ),
    bad(
        "vlan on itself",
        "lower[1].parent",
        "the name of a veth or dummy lower device",
        "'lower' cannot carry a vlan",
        lowers=[Lower(vlan=5, **VLAN)],
    ),
    bad(
        "vlan on a vlan",
        "lower[3].parent",
        "the name of a veth or dummy lower device",
        "'vlan5' cannot carry a vlan",
        lowers=[Lower(), VLAN5, Lower(name="vlan6", kind=LowerKind.VLAN, parent="vlan5", vlan=6)],
    ),
    bad(
        "no id",
        "lower[2].vlan",
        VIDS,
        "None is no VLAN id",
        lowers=[Lower(), Lower(name="v", **VLAN)],
    ),
    bad(
        "id 0",
        "lower[2].vlan",
        VIDS,
        "0 is no VLAN id",
        lowers=[Lower(), Lower(name="v", vlan=0, **VLAN)],
    ),
    bad(
        "id 4095",
        "lower[2].vlan",
        VIDS,
        "4095 is no VLAN id",
        lowers=[Lower(), Lower(name="v", vlan=4095, **VLAN)],
    ),
    bad(
        "id twice",
        "lower[3].vlan",
        "one device per VLAN id",
        "lower has a vlan 5 already",
        lowers=[Lower(), VLAN5, Lower(name="again", vlan=5, **VLAN)],
    ),
    # guests
    bad(
        "no such lower",
        "guest[1].lower",
        "lower",
        "no lower device 'eth0'",
        Guest("a", lower="eth0"),
    ),
    bad(
        "passthru second",
        "guest[2].mode",
        "passthru as the only guest of its lower device",
        "passthru beside another guest on 'lower'",
        Guest("a"),
        Guest("b", Mode.PASSTHRU),
    ),
    bad(
        "passthru first",
        "guest[1].mode",
        "passthru as the only guest of its lower device",
        "passthru beside another guest on 'lower'",
        Guest("a", Mode.PASSTHRU),
        Guest("b"),
    ),
    bad(
        "passthru's own address",
        "guest[1].mac",
        "none: it is the lower device's, 02:68:70:02:00:01",
        "passthru ignores the address asked for",
        Guest("a", Mode.PASSTHRU, mac=MAC),
    ),
    bad(
        "sources",
        "guest[1].sources",
        "mode = 'source'",
        "not in vepa mode",
        Guest("a", sources=(MAC,)),
    ),
    bad(
        "nodst",
        "guest[1].nodst",
        "mode = 'source'",
        "not in bridge mode",
        Guest("a", Mode.BRIDGE, nodst=True),
    ),
    bad(
        "nopromisc",
        "guest[1].nopromisc",
        "mode = 'passthru'",
        "not in private mode",
        Guest("a", Mode.PRIVATE, nopromisc=True),
    ),
    bad(
        "queue below 0",
        "guest[1].bcqueuelen",
        "0 to 4294967295",
        "-1 is out",
        Guest("a", bcqueuelen=-1),
    ),
    bad(
        "queue above 32 bits",
        "guest[1].bcqueuelen",
        "0 to 4294967295",
        "4294967296 is out of range",
        Guest("a", bcqueuelen=1 << 32),
    ),
    bad(
        "cutoff below -1",
        "guest[1].bc_cutoff",
        "-1 to 2147483647",
        "-2 is out",
        Guest("a", bc_cutoff=-2),
    ),
    bad(
        "cutoff above 31 bits",
        "guest[1].bc_cutoff",
        "-1 to 2147483647",
        "2147483648 is out of range",
        Guest("a", bc_cutoff=1 << 31),
    ),
    # addresses
    bad("no MAC", "guest[1].mac", HEX, "'02:00' is not a MAC address", Guest("a", mac="02:00")),
    bad("no MAC", "lower[1].mac", HEX, "'x' is not a MAC address", lowers=[Lower(mac="x")]),
    bad(
        "no MAC", "external[1].mac", HEX, "'x' is not a MAC address", externals=[External(mac="x")]
    ),
    bad("no MAC", "router.mac", HEX, "'x' is not a MAC address", router=Router(mac="x")),
    bad("group MAC", "guest[1].mac", "a unicast MAC", f"{GROUP} cannot be", Guest("a", mac=GROUP)),
    bad(
        "broadcast MAC",
        "external[1].mac",
        "a unicast MAC",
        "ff:ff:ff:ff:ff:ff cannot be a station's address",
        externals=[External(mac="ff:ff:ff:ff:ff:ff")],
    ),
    bad(
        "zero MAC",
        "router.mac",
        "a unicast MAC",
        "00:00:00:00:00:00 cannot be a station's address",
        router=Router(mac="00:00:00:00:00:00"),
    ),
    bad(
        "two guests' MAC",
        "guest[2].mac",
        "an address of its own",
        f"{MAC} belongs to a",
        Guest("a", mac=MAC),
        Guest("b", mac=MAC),
    ),
    bad(
        "a lower's MAC",
        "lower[1].mac",
        "an address of its own",
        f"{MAC} belongs to a",
        Guest("a", mac=MAC),
        lowers=[Lower(mac=MAC)],
    ),
    bad(
        "an external's MAC",
        "external[1].mac",
        "an address of its own",
        f"{MAC} belongs to lower",
        lowers=[Lower(mac=MAC)],
        externals=[External(mac=MAC)],
    ),
    bad(
        "the router's MAC",
        "router.mac",
        "an address of its own",
        f"{MAC} belongs to external",
        externals=[External(mac=MAC)],
        router=Router(mac=MAC),
    ),
    bad(
        "source no MAC",
        "guest[1].sources",
        UNICAST,
        "'x' is not a MAC address",
        Guest("a", Mode.SOURCE, sources=("x",)),
    ),
    bad(
        "group as a source",
        "guest[1].sources",
        UNICAST,
        f"{GROUP} does not belong here",
        Guest("a", Mode.SOURCE, sources=(MAC, GROUP)),
    ),
    bad("group no MAC", "guest[1].groups", GROUPS, "'x' is not a MAC", Guest("a", groups=("x",))),
    bad(
        "unicast as a group",
        "guest[1].groups",
        GROUPS,
        f"{MAC} does not belong here",
        Guest("a", groups=(GROUP, MAC)),
    ),
    # ports
    bad(
        "port of a guest",
        "switch.port[1].to",
        "lower, external",
        "'a' has no port",
        Guest("a"),
        switch=Switch(ports=(Port(to="a"),)),
    ),
    bad(
        "port of a vlan",
        "switch.port[1].to",
        "lower, external",
        "'vlan5' has no port",
        lowers=[Lower(), VLAN5],
        switch=Switch(ports=(Port(to="vlan5"),)),
    ),
    bad(
        "port where nothing is plugged in",
        "switch.port[1].to",
        "nothing",
        "'lower' has no port",
        lowers=[Lower(kind=LowerKind.DUMMY)],
        externals=[],
        switch=Switch(ports=(Port(to="lower"),)),
    ),
    bad(
        "port twice",
        "switch.port[2].to",
        "one entry a port",
        "'external' is set twice",
        switch=Switch(ports=(Port(to="external"), Port(to="external"))),
    ),
    bad("pvid 0", "switch.port[1].pvid", VIDS, "0 is no VLAN id", switch=port(pvid=0)),
    bad("pvid 4095", "switch.port[1].pvid", VIDS, "4095 is no VLAN id", switch=port(pvid=4095)),
    bad("vlans", "switch.port[1].vlans", VIDS, "0 is no VLAN id", switch=port(vlans=(5, 0))),
    bad("vlans", "switch.port[1].vlans", VIDS, "4095 is no VLAN id", switch=port(vlans=(4095,))),
    bad(
        "the beacon's port",
        "external[1].name",
        "anything but",
        "'beacon-port' is reserved",
        externals=[External("beacon-port")],
    ),
    *(
        bad(
            "hairpin's own address",
            "external[1].mac",
            "any other",
            "own",
            externals=[External("e", mac)],
        )
        for mac in (BEACON_MAC, NOWHERE_MAC, UNKNOWN_MAC)
    ),
    bad("vlan 0 of a veth", "lower[1].vlan", "kind = 'vlan'", "no vlan", lowers=[Lower(vlan=0)]),
]


@pytest.mark.parametrize(("guests", "parts", "field", "allowed", "problem"), BAD)
def test_refused(guests, parts, field, allowed, problem):
    """The error names the field, what is wrong with it and what may stand there."""
    with pytest.raises(TopologyError) as caught:
        Topology(guests, **parts)
    assert caught.value.field == field
    assert problem in caught.value.problem
    assert caught.value.allowed.startswith(allowed)


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_reserved_names(name):
    """Words of a stimulus, and names that links of the testbed bear already."""
    with pytest.raises(TopologyError, match="is reserved"):
        Topology([Guest(name)])


@pytest.mark.parametrize(
    ("guests", "parts"),
    [
        pytest.param([Guest("a" * 15)], {}, id="name of 15"),
        pytest.param([Guest("a-1")], {}, id="name with digit and hyphen"),
        pytest.param([], {}, id="no guest"),
        pytest.param([], {"externals": []}, id="no external"),
        pytest.param([], {"lowers": [Lower(mtu=68)]}, id="smallest mtu"),
        pytest.param([], {"lowers": [Lower(mtu=65535)]}, id="largest mtu"),
        pytest.param([], {"lowers": [Lower(), Lower(name="v", vlan=1, **VLAN)]}, id="vlan 1"),
        pytest.param([], {"lowers": [Lower(), Lower(name="v", vlan=4094, **VLAN)]}, id="vlan 4094"),
        pytest.param([], {"lowers": [Lower(name="v", vlan=4, **VLAN), Lower()]}, id="vlan first"),
        pytest.param([Guest("a", bcqueuelen=(1 << 32) - 1, bc_cutoff=-1)], {}, id="limits"),
        pytest.param([Guest("a", bcqueuelen=0, bc_cutoff=(1 << 31) - 1)], {}, id="other limits"),
        pytest.param([], {"switch": port(pvid=4094, vlans=(1, 4094))}, id="port VLANs"),
        pytest.param([Guest("a", Mode.SOURCE)], {}, id="source mode that lists nobody"),
        pytest.param(
            [Guest("p", Mode.PASSTHRU), Guest("c", lower="vlan5")],
            {"lowers": [Lower(), VLAN5]},
            id="passthru, and another guest on a vlan above",
        ),
        pytest.param(
            [Guest("p", Mode.PASSTHRU, mac="02:68:70:02:00:01")], {}, id="passthru's real address"
        ),
    ],
)
def test_accepted(guests, parts):
    assert Topology(guests, **parts).guests is not None


def test_error_as_text():
    with pytest.raises(TopologyError) as caught:
        Topology(lowers=[Lower(mtu=1)])
    assert str(caught.value) == "lower[1].mtu: 1 is out of range; allowed: 68 to 65535"


# ---------------------------------------------------------------------- addresses


def everything():
    return Topology(
        [Guest("a"), Guest("b", lower="vlan5"), Guest("p", Mode.PASSTHRU, lower="right")],
        lowers=[Lower(), VLAN5, Lower(name="right"), Lower(name="dull", kind=LowerKind.DUMMY)],
        externals=[External("e"), External("f")],
        router=Router(),
    )


@pytest.mark.parametrize(
    ("station", "mac"),
    [
        ("a", "02:68:70:01:00:01"),
        ("b", "02:68:70:01:00:02"),
        ("p", "02:68:70:02:00:03"),  # its lower device's
        ("lower", "02:68:70:02:00:01"),
        ("vlan5", "02:68:70:02:00:01"),  # its parent's
        ("right", "02:68:70:02:00:03"),
        ("dull", "02:68:70:02:00:04"),
        ("e", "02:68:70:03:00:01"),
        ("f", "02:68:70:03:00:02"),
        ("router", "02:68:70:04:00:01"),
    ],
)
def test_derived_address(station, mac):
    """By kind and position; a vlan has its parent's address, passthru its lower device's."""
    assert everything().macs[station] == mac


def test_derived_address_beyond_a_byte():
    topology = Topology([Guest(f"g{i}") for i in range(300)])
    assert topology.macs["g256"] == "02:68:70:01:01:01"


def test_every_part_has_its_address():
    topology = everything()
    parts = [*topology.guests, *topology.lowers, *topology.externals, topology.router]
    assert {part.name: part.mac for part in parts} == topology.macs


@pytest.mark.parametrize("text", ["02-AA-00-00-00-0F", "02:aa:00:00:00:0f", "02:AA:00:00:00:0F"])
def test_given_address_becomes_canonical(text):
    assert Topology([Guest("a", mac=text)]).macs["a"] == "02:aa:00:00:00:0f"


def test_lists_of_addresses_become_canonical():
    guest = Guest("a", Mode.SOURCE, sources=("02-AA-00-00-00-01",), groups=("33-33-00-00-00-0A",))
    (stored,) = Topology([guest]).guests
    assert (stored.sources, stored.groups) == (("02:aa:00:00:00:01",), ("33:33:00:00:00:0a",))


def test_vlan_with_an_address_of_its_own():
    own = Lower(name="vlan5", vlan=5, mac=MAC, **VLAN)
    assert Topology(lowers=[Lower(), own]).macs["vlan5"] == MAC


def test_ips_are_one_for_each_station_from_2_on():
    """The router's stays, whoever comes and goes."""
    names = ("router", "a", "b", "p", "lower", "vlan5", "right", "dull", "e", "f")
    assert everything().ips == {name: f"10.104.0.{i}" for i, name in enumerate(names, 1)}


def test_ips_beyond_a_byte():
    assert Topology([Guest(f"g{i}") for i in range(300)]).ips["g254"] == "10.104.1.0"


# ---------------------------------------------------------------------- equality


def test_written_alike_is_equal_and_hashes_alike():
    assert everything() == everything()
    assert hash(everything()) == hash(everything())


def test_address_written_out_is_the_same_as_the_derived_one():
    assert Topology([Guest("a", mac="02:68:70:01:00:01")]) == Topology([Guest("a")])


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Topology([Guest("b")]), id="guests"),
        pytest.param(Topology([Guest("a")], lowers=[Lower(mtu=9000)]), id="lowers"),
        pytest.param(Topology([Guest("a")], switch=Switch(hairpin=True)), id="switch"),
        pytest.param(Topology([Guest("a")], externals=[]), id="externals"),
        pytest.param(Topology([Guest("a")], router=Router()), id="router"),
    ],
)
def test_written_differently_is_not_equal(other):
    topology = Topology([Guest("a")])
    assert topology != other
    assert hash(topology) != hash(other)


def test_iterators_are_as_good_as_lists():
    assert Topology(iter([Guest("a")]), lowers=iter([Lower()])) == Topology([Guest("a")])


def test_frozen():
    with pytest.raises(AttributeError):
        Topology().guests = ()


# ---------------------------------------------------------------------- stations and ports


def test_observers_guests_first():
    """A dummy and a vlan have no wire of their own; every host has an otherhost."""
    topology = Topology(
        [Guest("a")],
        lowers=[Lower(), VLAN5, Lower(name="dull", kind=LowerKind.DUMMY)],
        router=Router(),
    )
    assert topology.observers == (
        *("a", "lower", "vlan5", "dull", "external", "router"),
        *("lower.otherhost", "lower.out", "lower.in"),
        "vlan5.otherhost",
        "dull.otherhost",
    )


def test_plugged_in_port_order():
    assert everything().plugged() == ("lower", "right", "e", "f", "router")


@pytest.mark.parametrize(
    ("lower", "root"), [("vlan5", "lower"), ("lower", "lower"), ("dull", "dull")]
)
def test_root_of(lower, root):
    assert everything().root_of(lower).name == root


def test_guests_on_a_device_are_not_those_on_its_vlans():
    topology = everything()
    assert [g.name for g in topology.guests_on("lower")] == ["a"]
    assert [g.name for g in topology.guests_on("vlan5")] == ["b"]


def test_guest_and_lower_by_name():
    topology = everything()
    assert (topology.guest("b").lower, topology.lower("vlan5").vlan) == ("vlan5", 5)


@pytest.mark.parametrize("kind", ["guest", "lower"])
def test_nobody_by_name(kind):
    with pytest.raises(KeyError, match="external"):
        getattr(everything(), kind)("external")


@pytest.mark.parametrize(
    ("everywhere", "at_port", "station", "reflects"),
    [
        pytest.param(True, None, "lower", True, id="the switch's default, at a lower device"),
        pytest.param(False, None, "lower", False, id="off by default"),
        pytest.param(True, None, "external", False, id="the default is not for externals"),
        pytest.param(True, None, "router", False, id="nor for the router"),
        pytest.param(True, False, "lower", False, id="the port overrides it: off"),
        pytest.param(False, True, "lower", True, id="the port overrides it: on"),
        pytest.param(False, True, "external", True, id="an external's port when told so"),
    ],
)
def test_hairpin_of_a_port(everywhere, at_port, station, reflects):
    ports = (Port(to=station, hairpin=at_port),)
    topology = Topology(switch=Switch(hairpin=everywhere, ports=ports), router=Router())
    assert topology.port(station).hairpin is reflects


def test_hairpin_of_a_port_not_declared():
    topology = Topology(switch=Switch(hairpin=True))
    assert topology.port("lower") == Port(to="lower", hairpin=True)
    assert topology.port("external") == Port(to="external", hairpin=False)


def test_port_keeps_its_other_settings():
    declared = Port(to="external", learning=False, flood=False, pvid=7, vlans=(8,))
    resolved = Topology(switch=Switch(ports=(declared,))).port("external")
    assert (resolved.learning, resolved.flood, resolved.pvid, resolved.vlans) == (
        *(False, False, 7),
        (8,),
    )


# ---------------------------------------------------------------------- parts


def test_libvirts_word_for_passthru():
    assert Mode.parse("passthrough") is Mode.PASSTHRU


@pytest.mark.parametrize("mode", Mode)
def test_mode_by_its_own_word(mode):
    assert Mode.parse(mode.value) is mode


def test_no_mode():
    with pytest.raises(ValueError, match="bridged"):
        Mode.parse("bridged")


def test_a_group_joined_twice_counts_once():
    """The kernel counts subscribers, one a guest (dev_mc_sync)."""
    group = "03:68:70:00:00:01"
    assert Topology([Guest("a", groups=(group, group.upper()))]).guests[0].groups == (group,)


def test_a_vlan_may_not_have_a_guests_address():
    """Its parent's is the only one it may share."""
    vlan = Lower(name="v", kind=LowerKind.VLAN, parent="lower", vlan=5, mac="02:00:00:00:00:01")
    with pytest.raises(TopologyError, match="belongs to a"):
        Topology([Guest("a", mac="02:00:00:00:00:01")], lowers=[Lower(), vlan])
