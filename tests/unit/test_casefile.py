"""Case files: what is written is read again, and mistakes are told by line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Case, Send, Stimulus, Tag, Topology, TopologyError, dump_case, parse_case
from harness.cases import everything_plain
from harness.explore.strategies import CHANGES, topologies
from harness.parts import LowerKind


@st.composite
def cases(draw):
    """A random topology, up to six random changes, and a stimulus at the end."""
    topology = draw(topologies(tuple(LowerKind)))
    steps = []
    now = topology
    for kind in draw(st.lists(st.sampled_from(sorted(CHANGES)), max_size=6)):
        operation = draw(CHANGES[kind](now))
        if operation is not None:
            steps.append(operation)
            now = operation.applied(now)
    names = st.sampled_from(tuple(now.macs))
    tag = draw(st.sampled_from((None, Tag(5), Tag(7, tpid=0x88A8))))
    steps.append(Send(Stimulus(draw(names), draw(names), tag=tag)))
    return Case(topology, tuple(steps), draw(st.sampled_from(("", "found\n\nby chance"))))


@settings(deadline=None, max_examples=60)
@given(cases())
def test_what_is_written_is_read_again(case):
    assert parse_case(dump_case(case)) == case


def test_a_topology_is_a_case_without_steps():
    case = parse_case('[[guest]]\nname = "a"\n')
    assert case.steps == ()
    assert len(everything_plain(case.topology)) == 3 * 4


def test_states_follow_the_steps():
    text = """
[[guest]]
name = "a"
[[step]]
op = "set"
guest = "a"
mode = "private"
[[step]]
op = "send"
from = "a"
to = "external"
[[step]]
op = "remove"
guest = "a"
"""
    modes = [[g.mode for g in topology.guests] for _, topology in parse_case(text).states()]
    assert modes == [["private"], ["private"], []]


@pytest.mark.parametrize(
    ("steps", "line", "problem"),
    [
        pytest.param('op = "jump"', 4, "send, set, add, remove", id="no such op"),
        pytest.param("", 3, "send, set, add, remove", id="no op"),
        pytest.param('op = "send"\nfrom = "a"', 3, "has no to", id="nobody to send to"),
        pytest.param('op = "send"\nfrom = "z"\nto = "a"', 3, "'z' is nobody", id="no such sender"),
        pytest.param('op = "send"\nfrom = "a"\nto = 3', 6, "a string", id="number for a name"),
        pytest.param(
            'op = "send"\nfrom = "a"\nto = "a"\nvlan = "x"', 7, "a whole number", id="no VLAN id"
        ),
        pytest.param('op = "send"\nfrom = "a"\nto = "a"\nvlan = 0', 3, "1 to 4094", id="VLAN 0"),
        pytest.param('op = "set"\nmode = "vepa"', 3, "guest, lower, port", id="set what"),
        pytest.param('op = "set"\nguest = "a"\nmode = "x"', 6, "vepa, bridge", id="no such mode"),
        pytest.param('op = "set"\nguest = "a"\nhairpin = true', 6, "no such key", id="not its own"),
        pytest.param('op = "set"\nport = "lower"\nhairpin = 1', 6, "true or false", id="no bool"),
        pytest.param('op = "set"\nguest = "a"\nlower = "x"', 3, "cannot be changed", id="fixed"),
        pytest.param('op = "remove"\nguest = "z"', 3, "no 'z'", id="nobody to remove"),
        pytest.param('op = "add"\nname = "a"', 3, "taken", id="added twice"),
        pytest.param('op = "add"\nnom = "a"', 5, "no such key", id="no such key of a guest"),
    ],
)
def test_mistakes(steps, line, problem):
    with pytest.raises(TopologyError, match=problem) as caught:
        parse_case(f'[[guest]]\nname = "a"\n[[step]]\n{steps}\n', file="case.toml")
    assert (caught.value.file, caught.value.line) == ("case.toml", line)


def test_step_is_a_list():
    with pytest.raises(TopologyError, match=r"\[\[step\]\]"):
        parse_case('[step]\nop = "send"\n')


def test_no_such_table():
    with pytest.raises(TopologyError, match="guest, lower, external, switch, router, step"):
        parse_case("[[gest]]\n")


def test_comment_is_the_lines_at_the_top():
    case = Case(Topology([]), (), "where it comes from\nand when")
    assert dump_case(case).startswith("# where it comes from\n# and when\n")
    assert parse_case(dump_case(case)).comment == case.comment
