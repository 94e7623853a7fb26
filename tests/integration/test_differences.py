"""A difference between kernel and model is seen, in its cell, with its cause.

Each rule of the model is turned round in a real run: the kernel then differs from the model,
and turning exactly that rule back is what explains it.
"""

import json

import pytest

from harness import Rule, Stimulus
from harness.kernel.features import probe
from harness.kernel.privileges import ensure_namespaces
from harness.suite import suite_folder

INVERTING = """
import harness.model
import harness.testbed.shots as shots
import harness.testbed.causes as causes
from harness.model import Rule, predict

RULE = frozenset({{Rule.{rule}}})

def wrong(topology, stimulus, *, behaviours, inverted=frozenset()):
    return predict(topology, stimulus, behaviours=behaviours, inverted=inverted ^ RULE)

shots.predict = wrong
causes.predict = wrong
"""

NEEDS = {
    Rule.VLAN_RECEIVE: "vlan",
    Rule.VLAN_INGRESS: "vlan filtering",
    Rule.VLAN_EGRESS: "vlan filtering",
}

# Where to look for each: the file of the suite whose cells the rule decides.
SUBJECT = {
    Rule.TX_UP: "test_link_states.py",
    Rule.CARRIER: "test_unicast.py",
    Rule.FORWARDABLE: "test_unicast.py",
    Rule.PORT_UP: "test_unicast.py",
    Rule.BRIDGE_DIRECT: "test_unicast.py",
    Rule.BRIDGE_FLOOD: "test_broadcast.py",
    Rule.SOURCE_LIST: "test_source.py",
    Rule.SOURCE_CONSUME: "test_source.py",
    Rule.OWN_RETURN: "test_broadcast.py",
    Rule.PORT_FILTER: "test_passthru.py",
    Rule.QUEUE_ROOM: "test_filters_and_queue.py",
    Rule.FROM_OUTSIDE: "test_broadcast.py",
    Rule.REFLECTED: "test_broadcast.py",
    Rule.FROM_GUEST: "test_broadcast.py",
    Rule.FROM_BRIDGE: "test_three_guests.py",
    Rule.NOT_TO_SENDER: "test_broadcast.py",
    Rule.TAP_FILTER: "test_broadcast.py",
    Rule.GROUP_PASS: "test_broadcast.py",
    Rule.PASSTHRU_ALL: "test_passthru.py",
    Rule.LOOKUP: "test_external.py",
    Rule.SOURCE_NO_UNICAST: "test_source.py",
    Rule.RX_UP: "test_link_states.py",
    Rule.HOST_ADDRESS: "test_unknown.py",
    Rule.HOST_TAGGED: "test_vlan_tags.py",
    Rule.VLAN_RECEIVE: "test_vlan_lowers.py",
    Rule.WIRED: "test_external.py",
    Rule.RESERVED_GROUP: "test_reserved_groups.py",
    Rule.LEARN: "test_switch_ports.py",
    Rule.FDB_HIT: "test_external.py",
    Rule.FLOOD_UNKNOWN: "test_unknown.py",
    Rule.FLOOD_GROUP: "test_broadcast.py",
    Rule.HAIRPIN: "test_unicast.py",
    Rule.VLAN_INGRESS: "test_vlan_filtering.py",
    Rule.VLAN_EGRESS: "test_vlan_filtering.py",
    Rule.ROUTER_ADDRESS: "test_router.py",
    Rule.ROUTER_FORWARD: "test_router.py",
}

# Cells that differ before a run is stopped: some rules decide hundreds, and each is explained.
ENOUGH = 20


@pytest.fixture(scope="module")
def features():
    ensure_namespaces()
    return probe()


def test_every_rule_has_a_subject():
    """A rule added to the model is added here."""
    assert set(SUBJECT) == set(Rule)


@pytest.mark.parametrize("rule", Rule, ids=lambda rule: rule.name)
def test_inverted_rule(hairpin, features, tmp_path, rule):
    """The run fails, in cells of that subject, and names the rule as a likely cause."""
    lacking = NEEDS.get(rule)
    if lacking in features.missing:
        pytest.skip(f"this kernel has no {lacking}")
    subject = str(suite_folder() / SUBJECT[rule])
    inverting = INVERTING.format(rule=rule.name)
    result = hairpin("run", subject, f"--maxfail={ENOUGH}", plugin=inverting)
    assert result.returncode == 1, result.stdout + result.stderr
    records = json.loads((tmp_path / ".hairpin/last/results.json").read_text())["records"]
    differing = [r for r in records if r["outcome"] == "differs"]
    assert differing
    assert any(rule.says in cause for r in differing for cause in r["causes"])


FLIPPING = """
from harness.testbed import Testbed

original = Testbed.verdict

def verdict(self, stimulus):
    self.wiring.set_hairpin("lower", on=not self.topology.port("lower").hairpin)
    return original(self, stimulus)

Testbed.verdict = verdict
"""


def test_hairpin_flipped_behind_the_back(hairpin, tmp_path):
    """Just the cells that hang on the reflection differ, and the cause is the switch port."""
    result = hairpin("run", str(suite_folder() / "test_unicast.py"), plugin=FLIPPING)
    assert result.returncode == 1
    records = json.loads((tmp_path / ".hairpin/last/results.json").read_text())["records"]
    assert {r["stimulus"] for r in records} == {str(Stimulus("a", "b"))}
    right = {tuple(r["column"]) for r in records if r["outcome"] != "differs"}
    assert right == {("bridge → bridge", "hairpin off"), ("bridge → bridge", "hairpin on")}
    for record in records:
        if record["outcome"] == "differs":
            live = "on" if record["column"][1] == "hairpin off" else "off"
            assert any(f"switch port lower has hairpin {live}" in c for c in record["causes"])
    assert "switch port lower has hairpin" in result.stdout
