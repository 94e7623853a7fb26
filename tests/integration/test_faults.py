"""Rules put into the testbed on purpose: the verdict differs, and the rule is named.

    a [tap]--.                         .-- external
             lower ------ switch ------+
    b [tap]--'                         '-- router

A rule of tc, nft or ebtables drops, duplicates, redirects, rewrites, retags or delays frames
somewhere on that way. Each is a line: the commands that put it in and take it out, the frame
that shows it, and words that the cause must have.
"""

import time
from dataclasses import dataclass

import pytest

from harness import Guest, Mode, Router, Stimulus, Topology
from harness.errors import StrayFrameError
from harness.frames import Tag
from harness.kernel.features import Backend
from harness.testbed import Testbed

PAIR = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)])
ROUTED = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)], router=Router())
A_TO_B = Stimulus("a", "b")
A_TO_OUTSIDE = Stimulus("a", "external")
OUTSIDE_TO_A = Stimulus("external", "a")
ROUTED_A_TO_B = Stimulus("a", "b", via="router")


@dataclass(frozen=True)
class Fault:
    """What is put in and taken out (``room: command``), what shows it, what must be said."""

    name: str
    stimulus: Stimulus
    put: tuple[str, ...]
    undo: tuple[str, ...]
    says: tuple[str, ...]
    topology: Topology = PAIR
    sends: int = 1
    tap_only: bool = False


def tc(name, stimulus, room, link, hook, rule, says, **more):
    """A filter on clsact."""
    return Fault(
        name,
        stimulus,
        (
            f"{room}: tc qdisc add dev {link} clsact",
            f"{room}: tc filter add dev {link} {hook} protocol all {rule}",
        ),
        (f"{room}: tc qdisc del dev {link} clsact",),
        ("tc filter", f"{hook} of", *says),
        **more,
    )


def netdev(name, stimulus, room, link, hook, rule, says, **more):
    """A rule in a chain of the netdev family, on one link."""
    base = f"{{ type filter hook {hook} device {link} priority 0; }}"
    return Fault(
        name,
        stimulus,
        (
            f"{room}: nft add table netdev t",
            f"{room}: nft add chain netdev t c '{base}'",
            f"{room}: nft add rule netdev t c {rule}",
        ),
        (f"{room}: nft delete table netdev t",),
        ("nft rule", f"chain netdev t c at {hook} of", *says),
        **more,
    )


def chain(name, stimulus, room, family, hook, rules, says, *, policy="accept", **more):
    """A chain of a family that is not bound to a link."""
    base = f"{{ type filter hook {hook} priority 0; policy {policy}; }}"
    return Fault(
        name,
        stimulus,
        (
            f"{room}: nft add table {family} t",
            f"{room}: nft add chain {family} t c '{base}'",
            *(f"{room}: nft add rule {family} t c {rule}" for rule in rules),
        ),
        (f"{room}: nft delete table {family} t",),
        (f"chain {family} t c at {hook}", *says),
        **more,
    )


def ebtables(name, stimulus, rule, undo, says, **more):
    """A rule of ebtables on the switch."""
    return Fault(
        name, stimulus, (f"switch: ebtables {rule}",), (f"switch: ebtables {undo}",), says, **more
    )


def qdisc(name, stimulus, link, commands, says, **more):
    """A root qdisc in the host."""
    return Fault(
        name,
        stimulus,
        tuple(f"host: tc {command}" for command in commands),
        (f"host: tc qdisc del dev {link} root",),
        (f"sits on {link}", *says),
        **more,
    )


ALL = "u32 match u32 0 0 action mirred egress"
SENTINEL_TAP, SENTINEL_NET = "@ll,144,8 2", "@ll,144,8 3"  # the kind, in the payload

FAULTS = [
    # tc
    tc(
        "tc duplicates",
        A_TO_OUTSIDE,
        "switch",
        "lower",
        "ingress",
        f"{ALL} mirror dev external",
        ["switch port lower duplicates to external", "has met"],
    ),
    tc(
        "tc steals on the way out",
        A_TO_OUTSIDE,
        "host",
        "lower",
        "egress",
        f"{ALL} redirect dev lo",
        ["of lower redirects to lo", "has met"],
    ),
    tc(
        "tc steals on the way in",
        A_TO_B,
        "host",
        "b",
        "ingress",
        f"{ALL} redirect dev lo",
        ["of b redirects to lo"],
        tap_only=True,
    ),
    tc(
        "tc steals by classic BPF",
        OUTSIDE_TO_A,
        "host",
        "lower",
        "ingress",
        "bpf bytecode '1,6 0 0 4294967295' action mirred egress redirect dev lo",
        ["(bpf)", "of lower redirects to lo"],
    ),
    tc(
        "tc redirects to another station",
        A_TO_OUTSIDE,
        "switch",
        "external",
        "egress",
        f"{ALL} redirect dev router",
        ["of switch port external redirects to router"],
        topology=ROUTED,
    ),
    qdisc(
        "tbf delays",
        A_TO_OUTSIDE,
        "a",
        ["qdisc add dev a root tbf rate 8kbit burst 100 limit 3000"],
        ["a tbf qdisc", "delays", "made frames wait"],
        sends=5,
    ),
    qdisc(
        "htb delays",
        A_TO_OUTSIDE,
        "a",
        [
            "qdisc add dev a root handle 1: htb default 1",
            "class add dev a parent 1: classid 1:1 htb rate 8kbit burst 60 cburst 60 quantum 1500",
        ],
        ["a htb qdisc", "delays", "made frames wait"],
        sends=5,
    ),
    qdisc(
        "a queue too short",
        A_TO_OUTSIDE,
        "lower",
        ["qdisc add dev lower root bfifo limit 10"],
        ["a bfifo qdisc", "1 frame dropped"],
    ),
    # nft, on a link
    netdev(
        "nft drops on the last wire",
        A_TO_OUTSIDE,
        "switch",
        "external",
        "egress",
        "ether saddr $a counter drop",
        ["of switch port external drops; it has met 1 frame"],
    ),
    netdev(
        "nft drops at a guest",
        A_TO_B,
        "host",
        "b",
        "ingress",
        "counter drop",
        ["of b drops"],
        tap_only=True,
    ),
    netdev(
        "nft drops without counting",
        A_TO_OUTSIDE,
        "host",
        "a",
        "egress",
        "drop",
        ["of a drops"],
    ),
    netdev(
        "nft drops one sender",
        A_TO_OUTSIDE,
        "switch",
        "lower",
        "ingress",
        "ether saddr $a counter drop",
        ["of switch port lower drops"],
    ),
    netdev(
        "nft drops every other",
        A_TO_OUTSIDE,
        "host",
        "lower",
        "egress",
        "numgen inc mod 2 0 counter drop",
        ["drops (some)"],
        sends=2,
    ),
    netdev(
        "nft limits the rate",
        A_TO_OUTSIDE,
        "host",
        "lower",
        "egress",
        "limit rate over 1/hour burst 1 packets counter drop",
        ["drops (above a rate)"],
        sends=3,
    ),
    netdev(
        "nft duplicates",
        A_TO_OUTSIDE,
        "switch",
        "lower",
        "ingress",
        "counter dup to external",
        ["duplicates to external"],
    ),
    netdev(
        "nft redirects",
        A_TO_OUTSIDE,
        "switch",
        "lower",
        "ingress",
        "counter fwd to router",
        ["redirects to router"],
        topology=ROUTED,
    ),
    netdev(
        "nft sends elsewhere",
        A_TO_OUTSIDE,
        "switch",
        "lower",
        "ingress",
        "counter ether daddr set $router",
        ["rewrites the destination address"],
        topology=ROUTED,
    ),
    netdev(
        "nft forges the sender",
        A_TO_B,
        "host",
        "b",
        "ingress",
        "ether saddr $a counter ether saddr set $external",
        ["rewrites the source address"],
        tap_only=True,
    ),
    netdev(
        "nft retags",
        Stimulus("a", "external", tag=Tag(5)),
        "host",
        "a",
        "egress",
        "counter vlan id set 6",
        ["rewrites the VLAN tag"],
    ),
    netdev(
        "only the host's sentinel",
        A_TO_OUTSIDE,
        "switch",
        "external",
        "egress",
        f"{SENTINEL_NET} counter drop",
        ["of switch port external drops"],
    ),
    netdev(
        "only a guest's sentinel",
        A_TO_B,
        "host",
        "b",
        "ingress",
        f"{SENTINEL_TAP} counter drop",
        ["of b drops"],
        tap_only=True,
    ),
    # nft, in the bridge and the router
    chain(
        "nft drops in the switch",
        A_TO_OUTSIDE,
        "switch",
        "bridge",
        "forward",
        ["ether saddr $a counter drop"],
        ["of the switch drops; it has met 1 frame"],
    ),
    chain(
        "nft drops before the switch decides",
        A_TO_OUTSIDE,
        "switch",
        "bridge",
        "prerouting",
        ["iifname lower counter drop"],
        ["of the switch drops"],
    ),
    chain(
        "nft policy of the switch",
        A_TO_OUTSIDE,
        "switch",
        "bridge",
        "forward",
        [],
        ["drops by policy"],
        policy="drop",
    ),
    chain(
        "nft drops in the router",
        ROUTED_A_TO_B,
        "router",
        "ip",
        "forward",
        ["counter drop"],
        ["of router drops"],
        topology=ROUTED,
    ),
    chain(
        "nft policy of the router",
        ROUTED_A_TO_B,
        "router",
        "inet",
        "prerouting",
        [],
        ["of router drops by policy"],
        topology=ROUTED,
        policy="drop",
    ),
    chain(
        "nft rejects in the router",
        ROUTED_A_TO_B,
        "router",
        "ip",
        "forward",
        ["counter reject"],
        ["of router rejects"],
        topology=ROUTED,
    ),
    # ebtables
    ebtables(
        "ebtables drops",
        A_TO_OUTSIDE,
        "-A FORWARD -s $a -j DROP",
        "-F FORWARD",
        ["bridge filter FORWARD", "drops; it has met 1 frame"],
    ),
    ebtables(
        "ebtables policy",
        A_TO_OUTSIDE,
        "-P FORWARD DROP",
        "-P FORWARD ACCEPT",
        ["bridge filter FORWARD", "drops by policy"],
    ),
    ebtables(
        "ebtables sends elsewhere",
        A_TO_OUTSIDE,
        "-t nat -A PREROUTING -d $external -j dnat --to-destination $router",
        "-t nat -F PREROUTING",
        ["bridge nat PREROUTING", "does dnat"],
        topology=ROUTED,
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_rule(shows, backend, fault):
    """The verdict differs and the rule is named; without it all is well, before and after."""
    if fault.tap_only and backend is not Backend.TAP:
        pytest.skip("without taps a guest sees frames before what hooks on its ingress")
    shows(fault.topology, fault.stimulus, fault.put, fault.undo, fault.says, sends=fault.sends)


def test_a_lost_sentinel_is_told_besides(shows):
    """The stimulus came through and only its sentinel did not: path cut, and what cuts it."""
    (fault,) = [f for f in FAULTS if f.name == "only the host's sentinel"]
    verdict = shows(fault.topology, fault.stimulus, fault.put, fault.undo, fault.says)
    (difference,) = verdict.differences
    assert (difference.observer, difference.lost) == ("external", True)
    assert len(difference.seen) == len(difference.predicted) == 1
    assert verdict.causes[-1] == "no sentinel reached external: the path there is cut"


def test_late_copy(backend, commanded):
    """A copy after its barrier: an error that names the queue, and a testbed that goes on."""
    (fault,) = [f for f in FAULTS if f.name == "tbf delays"]

    def until_one_is_late():
        give_up = time.monotonic() + 10
        while time.monotonic() < give_up:
            bed.verdict(fault.stimulus)

    late = r"received stimulus \d+ while \S+ was observed; likely cause: a tbf qdisc sits on a "
    with Testbed(fault.topology, backend=backend) as bed:
        with commanded(bed, fault.put, fault.undo), pytest.raises(StrayFrameError, match=late):
            until_one_is_late()
        assert not bed.verdict(fault.stimulus).differences
