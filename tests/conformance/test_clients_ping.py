"""Real clients: ping and ARP.

a [stack]--.
           lower [stack] ----- switch ----- external [stack]
b [stack]--'
"""

from contextlib import ExitStack

import pytest

from harness import Guest, Mode, Switch, Topology

CITED = (
    "virtualization guide, 17.12: vepa through the switch, bridge directly, private not at all, "
    "passthrough owns the device; kernel: macvlan_queue_xmit, macvlan_handle_frame, "
    "macvlan_multicast_rx (drivers/net/macvlan.c)"
)


def pings(net, flows, *, vain=()):
    """One ping for each flow, all at once: whether it was answered, and whom ARP has found.

    Only for those in `vain`, which nobody will answer, a short deadline decides.
    """
    running = {
        flow: net.spawn(
            flow[0],
            ["ping", "-nc1", "-W0.2" if flow in vain else "-W2", net.topology.ips[flow[1]]],
        )
        for flow in flows
    }
    return {
        (sender, to): (process.wait(10).ok, net.arp(sender).get(to, ""))
        for (sender, to), process in running.items()
    }


def test_ping(stacks, clients):
    """Who reaches whom, ARP included: who is not reached is not even found."""
    net = stacks(clients.topology, programs=["ping"])
    for flow in clients.flows:
        net.forget(*flow)
    # Who hears another's request learns where that one is (arp_process), and then finds it: so
    # those who are heard least ask first.
    seen = {}
    for asking in ("ab", ("lower",), ("external",)):
        flows = [flow for flow in clients.flows if flow[0] in asking]
        seen |= pings(net, flows, vain=clients.found)
    expected = dict.fromkeys(clients.flows, (False, ""))
    for flow in clients.reached | clients.found:
        expected[flow] = (flow in clients.reached, clients.topology.macs[flow[1]])
    assert seen == expected, CITED


PRIVATE = Topology([Guest(name, Mode.PRIVATE) for name in "ab"], switch=Switch(hairpin=True))


def test_private_with_static_neighbours(stacks):
    """What isolates private guests is ARP alone: macvlan_handle_frame delivers their unicast.

    iproute2, ip-link(8): private mode allows no communication "even if the switch supports
    hairpin". The kernel keeps back broadcast and multicast only.
    """
    net = stacks(PRIVATE, programs=["ping"])
    with ExitStack() as undo:
        undo.callback(net.know("a", "b"))
        undo.callback(net.know("b", "a"))
        assert net.run("a", ["ping", "-nc1", "-W2", net.topology.ips["b"]]).ok


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.PRIVATE])
def test_static_neighbours_without_hairpin(stacks, mode):
    """Without hairpin the switch sends nothing back (should_deliver, net/bridge/br_forward.c)."""
    net = stacks(Topology([Guest(name, mode) for name in "ab"]), programs=["ping"])
    with ExitStack() as undo:
        undo.callback(net.know("a", "b"))
        undo.callback(net.know("b", "a"))
        lost = net.spawn("a", ["ping", "-nc1", "-W0.2", net.topology.ips["b"]])
        assert not lost.wait(10).ok


def test_private_guest_learns_where_its_host_is(stacks):
    """The host's broadcast reaches private guests, and after it they answer (arp_process).

    A private guest never finds the host by itself: its own requests come back to itself.
    """
    net = stacks(PRIVATE, programs=["ping"])
    for sender, to in [("a", "lower"), ("lower", "a")]:
        net.forget(sender, to)
    up, down = ("a", "lower"), ("lower", "a")
    macs = net.topology.macs
    assert pings(net, [up]) == {up: (False, "")}
    assert pings(net, [down]) == {down: (True, macs["a"])}
    assert pings(net, [up]) == {up: (True, macs["lower"])}
