"""The rules: each says what it decides, is decided somewhere in the suite, and matters there."""

import re

import pytest

from harness.model import Rule, predict
from harness.parts import Guest, Mode, Switch
from harness.promises import promises_for
from harness.stimulus import Stimulus, frame_of
from harness.testbed.causes import explaining_rules
from harness.testbed.verdict import Barrier, Observation, judge
from harness.topology import Topology

ALL = pytest.mark.parametrize("rule", Rule, ids=lambda rule: rule.name)


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
    assert re.match(r"[a-z_][a-z0-9_]+( \([A-Z_]+\))?, ", rule.where), "begins with a function"
    assert re.search(r"\b(drivers/net|net|include/linux)\b(/[a-z0-9_]+(\.[ch])?)*", rule.where), (
        "names a file"
    )


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


@pytest.mark.parametrize(
    "rule", [r for r in Rule if r is not Rule.LEARN], ids=lambda rule: rule.name
)
def test_turned_round_it_is_turned_in_the_trace(rule, cases_of):
    """Up to the first place where the rule is decided, the way is the same.

    But for learning, which has prepared the switch before.
    """
    topology, stimulus = cases_of[rule][0]
    plain = predict(topology, stimulus).trace
    at = next(i for i, step in enumerate(plain) if step.rule is rule)
    turned = predict(topology, stimulus, inverted=frozenset({rule})).trace
    assert turned[:at] == plain[:at]
    assert (turned[at].rule, turned[at].holds) == (rule, not plain[at].holds)


def pair(mode, hairpin):
    return Topology([Guest("a", mode), Guest("b", mode)], switch=Switch(hairpin=hairpin))


@pytest.mark.parametrize(
    ("topology", "moved", "rules"),
    [
        pytest.param(
            pair(Mode.BRIDGE, False),
            {"b": 0, "lower.out": 1},
            [Rule.BRIDGE_DIRECT],
            id="bridge mode, yet on the wire",
        ),
        pytest.param(
            pair(Mode.PRIVATE, True),
            {"b": 0, "lower.otherhost": 1},
            [Rule.LOOKUP, Rule.SOURCE_NO_UNICAST],
            id="came back, but not to the guest",
        ),
        pytest.param(
            pair(Mode.PRIVATE, True),
            {"b": 0, "lower.in": 0},
            [Rule.RESERVED_GROUP, Rule.PORT_UP, Rule.HAIRPIN],
            id="did not come back",
        ),
        pytest.param(pair(Mode.PRIVATE, True), {"b": 3}, [], id="no single rule"),
    ],
)
def test_explaining_rules(topology, moved, rules):
    """Those that alone account for exactly what was seen, and no others."""
    stimulus = Stimulus("a", "b")
    frame = frame_of(topology, stimulus)
    seen = dict(predict(topology, stimulus).arrivals) | {n: (frame,) * k for n, k in moved.items()}
    observation = Observation(
        {name: tuple(f.to_bytes() for f in frames) for name, frames in seen.items()},
        dict.fromkeys(seen, Barrier.SENTINEL),
    )
    verdict = judge(topology, stimulus, predict(topology, stimulus), observation)
    assert explaining_rules(verdict) == rules


def test_only_known_promises_are_broken_in_the_suite(suite_cases):
    """What the model predicts breaks a promise only where docs/findings.md says so."""
    broken = {
        promise.id
        for topology, stimulus in suite_cases
        for promise in promises_for(topology, stimulus)
        if not promise.kept(
            topology,
            stimulus,
            {n: len(f) for n, f in predict(topology, stimulus).arrivals.items()},
        )
    }
    assert broken == {"S4-router-only", "iproute2-private", "libvirt-private-broadcast"}
