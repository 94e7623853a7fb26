"""What is read back, held against the topology: every drift in words, and silence without one.

The facts are written by hand here; that they are read rightly is for the integration tests.
"""

from dataclasses import replace

import pytest

from harness import Guest, LowerKind, Mode, Port, Router, Switch, Topology
from harness.kernel.readback import FdbEntry, Link, Neighbour, Route, Snapshot
from harness.parts import Lower
from harness.testbed.drift import Live, compare
from harness.testbed.findings import Weight

TOPOLOGY = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)], router=Router())
MACS = TOPOLOGY.macs
FOREIGN = "02:00:00:00:00:99"


def guest(name, index, **more):
    data = {"mode": "bridge", "flags": 0, "bc_queue_len_used": 1000}
    facts = {"kind": "macvtap", "mac": MACS[name], "on": 12, "queue_length": 500, "settings": data}
    return Link(name, index, **facts | more)


def port(name, index, **settings):
    defaults = {"state": 3, "mode": 0, "learning": 1, "unicast_flood": 1, "mcast_flood": 1}
    mac = f"0a:00:00:00:00:{index:02x}"
    return Link(name, index, kind="veth", mac=mac, master=2, port=defaults | settings)


def room(*links, **more):
    return Snapshot(links={link.name: link for link in links}, **more)


HOST = room(
    guest("a", 10), guest("b", 11), Link("lower", 12, kind="veth", mac=MACS["lower"], promiscuity=1)
)
SWITCH = room(
    Link("switch", 2, kind="bridge", settings={"ageing_time": 8640000, "stp_state": 0}),
    port("beacon-port", 3),
    Link("beacon", 4, kind="veth"),
    port("lower", 20),
    port("external", 21),
    port("router", 22),
    forwarding=(
        FdbEntry(MACS["a"], "lower"),
        FdbEntry(MACS["external"], "external"),
        FdbEntry("0a:00:00:00:00:15", "external", local=True),
    ),
)
EXTERNAL = room(Link("external", 2, kind="veth", mac=MACS["external"]))
ROUTER = room(
    Link("router", 2, kind="veth", mac=MACS["router"]),
    neighbours=tuple(Neighbour(ip, MACS[x]) for x, ip in TOPOLOGY.ips.items() if x != "router"),
    routes=(Route("10.104.0.0/16", "unicast", "router"),),
    addresses={"router": frozenset({f"{TOPOLOGY.ips['router']}/16"})},
    sysctls={"net.ipv4.ip_forward": "1"},
)
LIVE = Live(HOST, SWITCH, {"external": EXTERNAL, "router": ROUTER})


def said(live, topology=TOPOLOGY):
    return [finding.says for finding in compare(topology, live)]


def with_link(snapshot, name, **changes):
    """The snapshot with one link changed, or a new one; no link when `changes` is `gone`."""
    links = dict(snapshot.links)
    if changes == {"gone": True}:
        del links[name]
    else:
        links[name] = replace(links[name], **changes)
    return replace(snapshot, links=links)


def test_as_declared():
    """Nothing to tell; a lower device that its guests have made promiscuous is no news."""
    assert said(LIVE) == []


def host(name, says, **changes):
    return pytest.param(replace(LIVE, host=with_link(HOST, name, **changes)), says, id=says[:60])


def switch(name, says, **changes):
    live = replace(LIVE, switch=with_link(SWITCH, name, **changes))
    return pytest.param(live, says, id=says[:60])


def setting(name, says, **settings):
    link = SWITCH.links[name]
    return switch(name, says, port=dict(link.port) | settings)


def bridge(says, **settings):
    return switch("switch", says, settings=dict(SWITCH.links["switch"].settings) | settings)


def routed(says, **changes):
    outside = {"external": EXTERNAL, "router": replace(ROUTER, **changes)}
    return pytest.param(replace(LIVE, outside=outside), says, id=says[:60])


def macvtap(says, **settings):
    return host("b", says, settings=dict(HOST.links["b"].settings) | settings)


@pytest.mark.parametrize(
    ("live", "says"),
    [
        host("b", "b is gone", gone=True),
        host("b", "b is down, the topology says up", up=False),
        host(
            "b",
            "b has the address 02:00:00:00:00:99, the topology says 02:68:70:01:00:02",
            mac="02:00:00:00:00:99",
        ),
        host("b", "b has the MTU 1400, the topology says 1500", mtu=1400),
        host("b", "b sits on None, the topology says lower", on=77),
        host(
            "b",
            "the queue of b takes 1 frames (txqueuelen), the topology says the usual 500",
            queue_length=1,
        ),
        host("b", "b has promiscuous on, the topology says off", promiscuous=True, promiscuity=1),
        host("b", "b has allmulticast on, the topology says off", allmulticast=True),
        host("b", "somebody listens promiscuously on b (promiscuity 1)", promiscuity=1),
        host("b", "b has no carrier, the topology says it has one", carrier=False),
        host("lower", "lower is enslaved to another link", master=9),
        macvtap("b is in private mode, the topology says bridge", mode="private"),
        macvtap("b has nopromisc on, the topology says off", flags=1),
        macvtap("b has nodst on, the topology says off", flags=2),
        macvtap(
            "the broadcast queue of lower takes 5 frames (bcqueuelen), the topology says 1000",
            bc_queue_len_used=5,
        ),
        switch("lower", "switch port lower is gone", gone=True),
        switch("lower", "switch port lower is down", up=False),
        switch("lower", "switch port lower is no port of the switch any more", master=0),
        switch("switch", "the switch is gone", gone=True),
        switch("switch", "the switch is down", up=False),
        switch(
            "beacon-port",
            "the beacon, where sentinels start, is no port of the switch any more",
            master=0,
        ),
        setting("lower", "switch port lower has hairpin on, the topology says off", mode=1),
        setting("lower", "switch port lower has learning off, the topology says on", learning=0),
        setting("lower", "switch port lower has flood off, the topology says on", unicast_flood=0),
        setting(
            "lower",
            "switch port lower has multicast_flood off, the topology says on",
            mcast_flood=0,
        ),
        setting(
            "lower",
            "switch port lower has broadcast flood off, the topology says on",
            bcast_flood=0,
        ),
        setting("lower", "switch port lower is blocking, the topology says forwarding", state=4),
        setting(
            "beacon-port", "switch port beacon is disabled, the topology says forwarding", state=0
        ),
        setting(
            "external",
            "switch port external has neighbour suppression, the topology says no such thing",
            neigh_suppress=1,
        ),
        setting(
            "external",
            "switch port external has multicast turned to unicast, the topology says no such thing",
            mcast_to_ucast=1,
        ),
        bridge("the switch has STP on, the topology says off", stp_state=1),
        bridge("the switch has VLAN filtering on, the topology says off", vlan_filtering=1),
        bridge("the switch has multicast snooping on, the topology says off", mcast_snooping=1),
        bridge(
            "the switch forgets stations after 0 s (ageing_time), a testbed's does after 86400 s",
            ageing_time=0,
        ),
        routed(
            "router does not forward (net.ipv4.ip_forward is 0), the topology says it does",
            sysctls={"net.ipv4.ip_forward": "0"},
        ),
        routed(
            f"router has lost its address {TOPOLOGY.ips['router']}/16",
            addresses={"router": frozenset({"10.0.0.1/8"})},
        ),
        routed(
            "router has a foreign route: prohibit 10.104.0.3/32",
            routes=(*ROUTER.routes, Route("10.104.0.3/32", "prohibit", "")),
        ),
    ],
)
def test_one_drift(live, says):
    """What has changed is told, and nothing besides."""
    assert said(live) == [says]


def test_neighbour():
    """A neighbour that is wrong, and one that is missing."""
    kept = [n for n in ROUTER.neighbours if n.mac not in (MACS["a"], MACS["b"])]
    wrong = Neighbour(TOPOLOGY.ips["a"], "02:00:00:00:00:99")
    router = replace(ROUTER, neighbours=(*kept, wrong))
    assert said(replace(LIVE, outside={"external": EXTERNAL, "router": router})) == [
        f"router has the neighbour {seen} for {TOPOLOGY.ips[name]} ({name}), "
        f"the topology says {MACS[name]}"
        for name, seen in (("a", "02:00:00:00:00:99"), ("b", "nobody"))
    ]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (
            FdbEntry(MACS["a"], "external"),
            (
                "the switch has learned 02:68:70:01:00:01 (a) at port external, "
                "the topology says lower"
            ),
        ),
        (
            FdbEntry(MACS["a"], "lower", static=True),
            (
                "a foreign static entry sends frames for 02:68:70:01:00:01 (a) to switch port "
                "lower, the topology says lower"
            ),
        ),
        (
            FdbEntry("02:00:00:00:00:99", "external", static=True),
            (
                "a foreign static entry sends frames for 02:00:00:00:00:99 to switch port "
                "external, the topology says none"
            ),
        ),
        (
            FdbEntry(MACS["a"], "lower", local=True),
            (
                "the switch takes frames for 02:68:70:01:00:01 (a) itself: a foreign local entry "
                "at port lower, the topology says none"
            ),
        ),
        (
            FdbEntry("02:00:00:00:00:99", "external"),
            (
                "the switch has learned 02:00:00:00:00:99 at port external, "
                "which no station of the topology has"
            ),
        ),
    ],
    ids=["learned elsewhere", "static", "static for nobody", "local", "learned from nobody"],
)
def test_forwarding_table(entry, says):
    """An entry that no station has put there."""
    assert said(replace(LIVE, switch=replace(SWITCH, forwarding=(entry,)))) == [says]


def test_misled_by_the_stimulus():
    """A stimulus that bears another's address has the switch learn it anywhere: no drift."""
    moved = replace(SWITCH, forwarding=(FdbEntry(MACS["external"], "lower"),))
    assert said(replace(LIVE, switch=moved, misled=frozenset({MACS["external"]}))) == []
    assert len(said(replace(LIVE, switch=moved))) == 1


def test_declared_otherwise():
    """Whatever the topology itself says is no drift: states, settings, lists."""
    topology = Topology(
        [
            Guest("a", Mode.SOURCE, sources=("02:00:00:00:00:01",), nodst=True, up=False),
            Guest("b", Mode.BRIDGE, promiscuous=True, bcqueuelen=5),
        ],
        switch=Switch(hairpin=True, ports=(Port(to="external", flood=False, up=False),)),
        router=Router(),
    )
    declared = {"mode": "source", "flags": 2, "bc_queue_len_used": 1000}
    first = replace(
        HOST.links["a"], up=False, settings=declared, sources=frozenset({"02:00:00:00:00:01"})
    )
    host = room(first, replace(HOST.links["b"], promiscuous=True), HOST.links["lower"])
    switch = with_link(SWITCH, "lower", port=dict(SWITCH.links["lower"].port) | {"mode": 1})
    unflooded = dict(SWITCH.links["external"].port) | {"unicast_flood": 0, "state": 0}
    switch = with_link(switch, "external", up=False, carrier=False, port=unflooded)
    outside = room(replace(EXTERNAL.links["external"], carrier=False))
    live = replace(LIVE, host=host, switch=switch, outside=LIVE.outside | {"external": outside})
    assert said(live, topology) == []


def test_vlan_and_groups():
    """A VLAN device of another id; a group that the guest has left."""
    topology = Topology(
        [Guest("a", Mode.BRIDGE, "tagged", groups=("03:00:00:00:00:01",))],
        lowers=[Lower(), Lower(name="tagged", kind=LowerKind.VLAN, parent="lower", vlan=5)],
    )
    vlan = Link("tagged", 13, kind="vlan", mac=topology.macs["tagged"], settings={"id": 6})
    links = (guest("a", 10, on=13), HOST.links["lower"], vlan)
    live = Live(
        room(*links, groups={"a": frozenset({"01:00:5e:00:00:01"})}),
        with_link(SWITCH, "router", gone=True),
        {"external": EXTERNAL},
    )
    assert said(live, topology) == [
        "tagged has the VLAN id 6, the topology says 5",
        "a is not in the groups 03:00:00:00:00:01, the topology says so",
    ]


def test_unread():
    """What the kernel would not tell is said, and counts for little."""
    live = replace(LIVE, host=replace(HOST, unread=("netfilter (Protocol not supported)",)))
    (finding,) = compare(TOPOLOGY, live)
    assert finding.weight is Weight.THERE
    assert finding.says == (
        "of the host this cannot be read back: netfilter (Protocol not supported)"
    )
