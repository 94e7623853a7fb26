"""What no topology declares, in words: queues, filters, rules, programs, links, readers.

The facts are written by hand here; that they are read rightly is for the integration tests.
"""

import os
from dataclasses import replace

import pytest

from harness.kernel.nftables import Chain, ChainRule
from harness.kernel.openers import Opener
from harness.kernel.readback import Link, Snapshot
from harness.kernel.traffic import Action, Qdisc, TrafficFilter
from harness.testbed.findings import Finding, Weight, surest_first
from harness.testbed.foreign import Room, foreign_links, foreign_openers, foreign_rules

FOREIGN = "02:00:00:00:00:99"
LOWER = Link("lower", 12, kind="veth")
SWITCH = Link("switch", 2, kind="bridge")
KNOWN = frozenset({"lower", "switch"})


def host(*links, **facts):
    everything = {link.name: link for link in (LOWER, *links)}
    return Room("host", Snapshot(links=everything, **facts), KNOWN)


def switch(*links, **facts):
    everything = {link.name: link for link in (SWITCH, *links)}
    return Room("switch", Snapshot(links=everything, **facts), KNOWN)


QDISC = Qdisc("a", "tbf", 0x10000, root=True, frames=0, drops=0, backlog=0, overlimits=0)
CHAIN = Chain("netdev", "t", "c", "ingress", ("lower",), drops=False, frames=None)
RULE = ChainRule("netdev", "t", "c", 2, "drops", frames=None, harmless=False)
THERE, DIFFERS, ACTED = Weight.THERE, Weight.DIFFERS, Weight.ACTED


@pytest.mark.parametrize(
    ("facts", "weight", "says"),
    [
        pytest.param(
            {"qdiscs": (replace(QDISC, overlimits=2, backlog=60),)},
            ACTED,
            "a tbf qdisc sits on a and delays what exceeds a rate "
            "(60 bytes held back now, it has made frames wait 2 times)",
            id="a queue that delays",
        ),
        pytest.param(
            {"qdiscs": (QDISC,)},
            THERE,
            "a tbf qdisc sits on a and delays what exceeds a rate",
            id="a queue that nothing has passed",
        ),
        pytest.param(
            {"qdiscs": (replace(QDISC, kind="ours", frames=3),)},
            DIFFERS,
            "a ours qdisc sits on a",
            id="a queue of an unknown kind",
        ),
        pytest.param(
            {"qdiscs": (replace(QDISC, kind="pfifo_fast", drops=1),)},
            ACTED,
            "a pfifo_fast qdisc sits on a (1 frame dropped)",
            id="a usual queue that drops",
        ),
        pytest.param(
            {"filters": (TrafficFilter("b", "u32", "egress", (Action("drops", 4),)),)},
            ACTED,
            "a tc filter (u32) on egress of b drops; it has met 4 frames",
            id="a filter that has acted",
        ),
        pytest.param(
            {
                "filters": (
                    TrafficFilter(
                        "b", "flower", "ingress", (Action("edits", 0), Action("passes on", 0))
                    ),
                )
            },
            DIFFERS,
            "a tc filter (flower) on ingress of b edits and passes on",
            id="a filter that nobody counts",
        ),
        pytest.param(
            {"chains": (CHAIN,), "rules": (RULE,)},
            DIFFERS,
            "an nft rule in chain netdev t c at ingress of lower drops",
            id="a rule that does not count",
        ),
        pytest.param(
            {"chains": (CHAIN,), "rules": (replace(RULE, frames=1),)},
            ACTED,
            "an nft rule in chain netdev t c at ingress of lower drops; it has met 1 frame",
            id="a rule that has acted",
        ),
        pytest.param(
            {"chains": (CHAIN,), "rules": (replace(RULE, frames=0),)},
            THERE,
            "an nft rule in chain netdev t c at ingress of lower drops",
            id="a rule that has met nobody",
        ),
        pytest.param(
            {"chains": (CHAIN,), "rules": (replace(RULE, frames=9, harmless=True),)},
            THERE,
            "an nft rule in chain netdev t c at ingress of lower drops; it has met 9 frames",
            id="a rule that lets pass",
        ),
        pytest.param(
            {"chains": (replace(CHAIN, family="ip", hook="forward", devices=(), drops=True),)},
            DIFFERS,
            "chain ip t c at forward of the host drops by policy what no rule accepts",
            id="a policy",
        ),
    ],
)
def test_rule_of_a_stranger(facts, weight, says):
    """What it is, where, what it does, what it has met; and how sure that makes it."""
    (finding,) = foreign_rules(host(**facts))
    assert (finding.weight, finding.says) == (weight, f"{says}, the topology says there is none")


@pytest.mark.parametrize(
    "facts",
    [
        {"qdiscs": (replace(QDISC, kind="noqueue"), replace(QDISC, kind="pfifo_fast", frames=9))},
        {"qdiscs": (replace(QDISC, kind="clsact"),)},
        {"chains": (replace(CHAIN, hook="", drops=False),)},
    ],
    ids=["usual queues", "filters' hook without filters", "a chain without rules"],
)
def test_what_is_harmless(facts):
    """What does nothing to frames is not told."""
    assert list(foreign_rules(host(**facts))) == []


@pytest.mark.parametrize(
    ("link", "says"),
    [
        (
            Link("spy", 30, kind="macvlan", mac=FOREIGN, on=12, settings={"mode": "vepa"}),
            (
                "a foreign link spy (macvlan, address 02:00:00:00:00:99) sits on lower in vepa "
                "mode, the topology has no such link"
            ),
        ),
        (
            Link("spy", 30, kind="ipvlan", mac="02:00:00:00:00:99", on=12, up=False),
            (
                "a foreign link spy (ipvlan, address 02:00:00:00:00:99, down) sits on lower, "
                "the topology has no such link"
            ),
        ),
        (
            Link("spy", 30, kind="dummy", mac="02:00:00:00:00:99"),
            (
                "a foreign link spy (dummy, address 02:00:00:00:00:99) is in the host, "
                "the topology has no such link"
            ),
        ),
    ],
    ids=["macvlan", "ipvlan, down", "on nothing"],
)
def test_foreign_link(link, says):
    """A link that no topology knows, and what it sits on."""
    assert [finding.says for finding in foreign_links(host(link))] == [says]


def test_foreign_switch_port():
    """A port more than the topology has stations."""
    spy = Link("spy", 30, kind="veth", mac=FOREIGN, master=2)
    assert [finding.says for finding in foreign_links(switch(spy))] == [
        (
            "a foreign link spy (veth, address 02:00:00:00:00:99) is a port of the switch, "
            "the topology has no such link"
        )
    ]


def test_xdp():
    """A program on a switch port."""
    assert [finding.says for finding in foreign_rules(switch(replace(LOWER, xdp=7)))] == [
        (
            "an XDP program (id 7) on switch port lower decides about every frame that comes in "
            "there, the topology says there is none"
        )
    ]


def test_foreign_tap():
    """Other descriptors of a tap than our own; the same number in another process is not ours.

    One that was opened before the link was there is of another link that had the number.
    """
    ours = Opener(5, os.getpid(), 9, "python", since=100)
    here = Opener(5, os.getpid(), 10, "python", since=100)
    standing = Opener(5, 1, 9, "qemu", since=0)
    stale = Opener(5, 1, 10, "qemu", since=99)
    openers = [ours, here, standing, stale]
    found = foreign_openers({5: "b"}, openers, own={9}, since={"b": 100})
    first, second = (finding.says for finding in found)
    assert first.startswith("a foreign tap: this very process (descriptor 10) holds the tap of b")
    assert second.startswith("a foreign tap: qemu (pid 1, descriptor 9) holds the tap of b")


def test_surest_first():
    """By weight, then those on the frame's way, then as they came."""
    found = [
        Finding(weight, place, f"{weight.name} {place}")
        for weight in (THERE, DIFFERS, ACTED)
        for place in ("aside", "b", "a")
    ]
    assert [f.says for f in surest_first(found, {"a", "b"})] == [
        f"{weight.name} {place}"
        for weight in (ACTED, DIFFERS, THERE)
        for place in ("b", "a", "aside")
    ]
