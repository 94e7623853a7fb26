"""Fewer cases with every row of every table: --each-choice."""

import itertools

import pytest

from harness.choosing import each_choice

MODES, FLOWS, TAGS = ("bridge", "vepa", "private"), ("in", "out"), ("none", "tag", "qinq", "dei")


@pytest.mark.parametrize(
    ("cases", "chosen"),
    [
        pytest.param([set()], (0,), id="without tables"),
        pytest.param([{"a"}, {"b"}, {"c"}], (0, 1, 2), id="one table: each row"),
        pytest.param([{"a", 1}, {"a", 2}, {"b", 1}, {"b", 2}], (0, 3), id="two tables: a diagonal"),
        pytest.param([{"a"}, {"a", "b"}], (1,), id="nothing twice"),
        pytest.param([{"a", 1}, {"a", 2}, {"b", 2}], (0, 2), id="holes in the table"),
    ],
)
def test_what_is_chosen(cases, chosen):
    assert each_choice(cases) == chosen


def test_as_many_as_the_longest_table():
    cases = [set(x) for x in itertools.product(MODES, FLOWS, TAGS)]
    chosen = each_choice(cases)
    assert len(chosen) == len(TAGS)
    assert set().union(*(cases[x] for x in chosen)) == {*MODES, *FLOWS, *TAGS}


SUITE = """
import pytest

@pytest.fixture(params=["up", "down"])
def state(request):
    return request.param

@pytest.mark.parametrize(("sender", "target"), [("a", "b"), ("b", "a"), ("a", "a")])
@pytest.mark.parametrize("mode", ["vepa", "bridge"])
def test_tables(state, mode, sender, target):
    assert True

def test_one():
    assert True
"""


def test_rows_of_tables_and_fixtures(tmp_path, capsys):
    """Twelve combinations, three of which have each pair, each mode and each state."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(SUITE)
    words = ["-c", str(tmp_path / "pytest.ini"), "-p", "no:cacheprovider", "-p", "harness.choosing"]
    pytest.main([*words, "-q", "--collect-only", "--hairpin-each-choice", str(tmp_path)])
    said = capsys.readouterr().out
    cases = [x.partition("[")[2].rstrip("]") for x in said.splitlines() if "test_tables[" in x]
    assert len(cases) == 3, said
    for row in ("a-b", "b-a", "a-a", "vepa", "bridge", "up", "down"):
        assert any(row in case for case in cases), (row, cases)
    assert "::test_one" in said
