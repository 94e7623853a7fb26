"""The rules: each says what it decides, is decided somewhere in the suite, and matters there."""

import re

import pytest

from harness.model import Rule, explaining_rules, predict
from harness.parts import Guest, Mode, Switch
from harness.stimulus import BROADCAST, Stimulus
from harness.topology import Topology

ALL = pytest.mark.parametrize("rule", Rule, ids=lambda rule: rule.name)
SOURCE_FILE = re.compile(r"(drivers/net|net)(/[a-z0-9_]+)*(\.c)?")


@pytest.fixture(scope="session")
def cases_of(suite_cases):
    """Rule to the cases of the suite in which it is decided."""
    cases = {rule: [] for rule in Rule}
    for topology, stimulus in suite_cases:
        for rule in {step.rule for step in predict(topology, stimulus).trace} - {None}:
            cases[rule].append((topology, stimulus))
    return cases


def outcome(topology, stimulus, inverted=frozenset()):
    prediction = predict(topology, stimulus, inverted=inverted)
    return prediction.arrivals, prediction.maybe


def test_the_suite_has_been_collected(suite_cases):
    """Else the tests below would pass or fail for the wrong reason."""
    assert len(suite_cases) > 1000


@ALL
def test_says_a_whole_clause(rule):
    """It stands in traces before a question mark: no capital (but of names), no full stop."""
    assert re.fullmatch(r"[a-z0-9].*[^.?\s]", rule.says)
    assert len(rule.says.split()) >= 4


@ALL
def test_where_names_function_and_file(rule):
    *functions, file = re.split(r", |; IEEE.*", rule.where.removesuffix(", 8.6.3"))[:2]
    assert re.match(r"[a-z_]+\b", functions[0])
    assert SOURCE_FILE.search(rule.where), f"{file} is no path in the kernel"


def test_no_two_say_the_same():
    """Python's Enum would make the second one an alias of the first when `where` is equal too."""
    said = [rule.says for rule in Rule.__members__.values()]
    assert sorted(set(said)) == sorted(said)


@ALL
def test_decided_somewhere_in_the_suite(rule, cases_of):
    assert cases_of[rule], f"no case of the conformance suite decides {rule.name}"


@ALL
def test_turned_round_it_changes_a_prediction_of_the_suite(rule, cases_of):
    """A kernel that broke this rule would be found out by the conformance suite."""
    turned = frozenset({rule})
    assert any(outcome(*case) != outcome(*case, turned) for case in cases_of[rule])


@ALL
def test_turned_round_it_is_turned_in_the_trace(rule, cases_of):
    """Up to the first place where the rule is decided, the way is the same."""
    topology, stimulus = cases_of[rule][0]
    plain = predict(topology, stimulus).trace
    at = next(i for i, step in enumerate(plain) if step.rule is rule)
    if rule is Rule.LEARN:
        pytest.skip("learning has prepared the way already")
    turned = predict(topology, stimulus, inverted=frozenset({rule})).trace
    assert turned[:at] == plain[:at]
    assert (turned[at].rule, turned[at].holds) == (rule, not plain[at].holds)


PRIVATE_PAIR = Topology(
    [Guest("a", Mode.PRIVATE), Guest("b", Mode.PRIVATE)], switch=Switch(hairpin=True)
)


def test_explaining_rules_of_what_one_rule_explains():
    """Nothing came back although the port reflects: hairpin, and nothing else, explains it."""
    stimulus = Stimulus("a", "b")
    seen = dict(predict(PRIVATE_PAIR, stimulus).arrivals)
    seen |= {"lower.in": (), "b": ()}
    assert explaining_rules(PRIVATE_PAIR, stimulus, seen) == [Rule.HAIRPIN]


def test_explaining_rules_of_what_no_rule_explains():
    stimulus = Stimulus("a", BROADCAST)
    nothing = dict.fromkeys(PRIVATE_PAIR.observers, ())
    nothing["b"] = predict(PRIVATE_PAIR, stimulus).arrivals["a"] * 3
    assert explaining_rules(PRIVATE_PAIR, stimulus, nothing) == []


def test_an_inverted_rule_that_makes_a_loop_ends():
    """A router that forwards to itself what it has just sent, and a port that sends it back."""
    from harness.parts import Router

    topology = Topology([Guest("a")], router=Router(), switch=Switch(hairpin=True))
    turned = frozenset({Rule.ROUTER_ADDRESS, Rule.HAIRPIN, Rule.FDB_HIT, Rule.FLOOD_UNKNOWN})
    for rules in (turned, frozenset(Rule)):
        for stimulus in (Stimulus("a", BROADCAST), Stimulus("a", "router", via="router")):
            assert predict(topology, stimulus, inverted=rules).trace
