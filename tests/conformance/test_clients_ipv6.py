"""Real clients: IPv6 autoconfiguration, neighbour and duplicate address detection.

a [stack]--.
           lower [stack] ----- switch ----- external [stack] dnsmasq, router advertisements
b [stack]--'

A guest's stack joins groups on its own card, of which macvtap does not learn: its filter knows
the groups of the macvtap link. So the links here take all groups, unless a case is about that.
"""

import ipaddress

import pytest

from harness import Guest, Mode, Switch, Topology

PREFIX = ipaddress.IPv6Network("fd68:7069::/64")
CITED = (
    "virtualization guide, 17.12: in every mode a guest has access to the network outside; "
    "kernel: macvlan_multicast_rx, macvlan_change_rx_flags (drivers/net/macvlan.c)"
)


def _topology(mode, *, hairpin):
    names = "a" if mode is Mode.PASSTHRU else "ab"
    guests = [Guest(name, mode, allmulticast=True) for name in names]
    return Topology(guests, switch=Switch(hairpin=hairpin))


def autoconfigured(mac):
    """The address of that card in the advertised prefix (RFC 4291, appendix A)."""
    raw = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:]
    return PREFIX[int.from_bytes(interface, "big")]


def held(net, station):
    return {found.address for found in net.addresses6(station) if not found.duplicate}


@pytest.mark.parametrize(
    ("mode", "hairpin"),
    [
        pytest.param(Mode.VEPA, True, id="vepa-hairpin"),
        pytest.param(Mode.BRIDGE, False, id="bridge"),
        pytest.param(Mode.BRIDGE, True, id="bridge-hairpin"),
        pytest.param(Mode.PRIVATE, False, id="private"),
        pytest.param(Mode.PRIVATE, True, id="private-hairpin"),
        pytest.param(Mode.PASSTHRU, False, id="passthru"),
    ],
)
def test_autoconfiguration(stacks, mode, hairpin):
    """Every guest gets its address by a router's advertisement, and is reached there."""
    topology = _topology(mode, hairpin=hairpin)
    net = stacks(topology, programs=["dnsmasq", "ping"], ipv6=True)
    expected = {guest.name: autoconfigured(guest.mac) for guest in topology.guests}
    with net.spawn(
        "external",
        [
            *("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--leasefile-ro"),
            *("--no-hosts", "--no-resolv", "--interface=external", "--enable-ra"),
            f"--dhcp-range={PREFIX.network_address},ra-only",
        ],
    ) as router:
        router.wait_until(lambda: "router advertisement enabled" in router.stderr)
        for name in expected:
            net.replug(name)  # it asks for routers when it comes up
        router.wait_until(lambda: all(expected[name] in held(net, name) for name in expected))
    running = [
        net.spawn("external", ["ping", "-6nc1", "-W2", str(address)])
        for address in expected.values()
    ]
    assert [process.wait(10).ok for process in running] == [True] * len(expected), CITED


@pytest.mark.parametrize(
    ("mode", "hairpin", "found"),
    [
        pytest.param(Mode.VEPA, False, False, id="vepa"),
        pytest.param(Mode.VEPA, True, True, id="vepa-hairpin"),
        pytest.param(Mode.BRIDGE, False, True, id="bridge"),
        pytest.param(Mode.PRIVATE, True, False, id="private-hairpin"),
    ],
)
def test_neighbour_discovery(stacks, mode, hairpin, found):
    """As ARP: a private guest's solicitation, reflected, comes back to itself and to nobody."""
    net = stacks(_topology(mode, hairpin=hairpin), programs=["ping"], ipv6=True)
    assert net.run("a", ["ping", "-6nc1", "-W2", net.ips6["b"]]).ok is found, CITED


MIXED = Topology(
    [
        Guest("p", Mode.PRIVATE, allmulticast=True),
        Guest("v", Mode.VEPA, allmulticast=True),
        Guest("b", Mode.BRIDGE, allmulticast=True),
    ],
    switch=Switch(hairpin=True),
)


@pytest.mark.parametrize(
    ("enhanced", "duplicates"), [("1", set()), ("0", {"p"})], ids=["rfc7527", "rfc4862"]
)
def test_duplicate_address_detection(stacks, enhanced, duplicates):
    """With hairpin a private guest hears its own solicitation, and takes it for a rival's.

    macvlan_handle_frame leaves a private sender's group frame to the sender's own device. Only
    a stack that marks its solicitations (RFC 7527; ndisc_recv_ns, net/ipv6/ndisc.c) gets an
    address there. vepa and bridge guests do not hear themselves.
    """
    net = stacks(MIXED, ipv6=True)
    guests = [guest.name for guest in MIXED.guests]
    for name in guests:
        for scope in ("all", name):
            net.namespace(name).sysctl(f"net.ipv6.conf.{scope}.enhanced_dad", enhanced)
        net.replug(name)
    duplicate = {
        name: found.duplicate
        for name in guests
        for found in net.addresses6(name)
        if found.address.is_link_local
    }
    assert duplicate == {name: name in duplicates for name in guests}


DEAF = Topology(
    [*(Guest(f"deaf{i}") for i in range(3)), Guest("hears", allmulticast=True)],
    switch=Switch(hairpin=True),
)


def test_guests_filter_does_not_know_the_stacks_groups(stacks):
    """Solicitations go to groups: a guest whose link does not take them is not found.

    The filter is a hash (mc_hash, macvlan.c), which lets one group in 256 through by chance:
    so there are three such guests, and not all of them may be found.
    """
    net = stacks(DEAF, programs=["ping"], ipv6=True)
    running = {
        guest.name: net.spawn("external", ["ping", "-6nc1", "-W2", net.ips6[guest.name]])
        for guest in DEAF.guests
    }
    found = {name for name, process in running.items() if process.wait(10).ok}
    assert "hears" in found
    assert found < set(running), CITED
