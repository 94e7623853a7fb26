"""Two runs held against each other: what counts as a difference, and how it is told."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from harness.report.compare import Place, Shift, Side, compare
from harness.report.compared import print_comparison
from harness.report.record import CellOutcome, Record, Run

TRACE = ("a: sends", "b: a guest that is up? yes", "b: receives a copy")


def record(case="t", *, want=1, got=None, outcome=None, **more):
    got = want if got is None else got
    given = {
        "section": "unicast",
        "row": "a → b",
        "column": ("vepa → vepa", "hairpin on"),
        "outcome": outcome or (CellOutcome.AS_PREDICTED if want == got else CellOutcome.DIFFERS),
        "focus": "b",
        "predicted": {"a": 0, "b": want},
        "seen": {"a": 0, "b": got},
        "trace": TRACE,
    }
    return Record(case=case, **given | more)


def run(*records, **more):
    given = {
        "started": "2026-01-02T03:04:05Z",
        "seconds": 1.0,
        "verdict_seconds": 0.5,
        "kernel": "6.18.0",
        "machine": "x86_64",
        "backend": "tap",
        "version": "0.1.0",
        "missing": {},
        "exit_status": 0,
    }
    return Run(records=records, **given | more)


def places(comparison):
    return [change.place.case for change in comparison.changes]


# ---------------------------------------------------------------------- what differs


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(record(), id="equal"),
        pytest.param(record(barriers={"b": "deadline"}), id="another barrier"),
        pytest.param(record(causes=("rule",)), id="another cause"),
        pytest.param(record(trace=()), id="no trace"),
        pytest.param(record(seen={"a": 1, "b": 1}, maybe={"a": 1}), id="a copy left open"),
        pytest.param(record(section="renamed"), id="another section"),
    ],
)
def test_no_difference(after):
    comparison = compare(run(record()), run(after, kernel="6.19.0"))
    assert (comparison.changes, comparison.alike) == ((), 1)


@pytest.mark.parametrize(
    ("after", "shifts"),
    [
        pytest.param(record(got=0), [Shift("b", (1, 1), (1, 0))], id="lost"),
        pytest.param(
            record(seen={"a": 2, "b": 1}, maybe={"a": 1}),
            [Shift("a", (0, 0), (0, 2))],
            id="more than is left open",
        ),
        pytest.param(record(want=0), [Shift("b", (1, 0), (1, 0))], id="predicted otherwise"),
        pytest.param(
            record(seen={"a": 1, "b": 1}), [Shift("a", (0, 0), (0, 1))], id="another observer"
        ),
        pytest.param(
            record(predicted={"b": 1}, seen={"b": 1}),
            [Shift("a", (0, None), (0, None))],
            id="observer gone",
        ),
        pytest.param(record(outcome=CellOutcome.DOCUMENTED_OTHERWISE), [], id="outcome alone"),
        pytest.param(
            record(outcome=CellOutcome.SKIPPED, predicted={}, seen={}),
            [Shift("a", (0, None), (0, None)), Shift("b", (1, None), (1, None))],
            id="skipped",
        ),
    ],
)
def test_a_difference(after, shifts):
    (change,) = compare(run(record()), run(after)).changes
    assert list(change.shifts) == shifts
    assert (change.before, change.after, change.only_in) == (record(), after, None)


def test_a_case_in_one_run_only():
    comparison = compare(run(record("old"), record("both")), run(record("both"), record("new")))
    assert [(c.place.case, c.only_in) for c in comparison.changes] == [
        ("old", Side.BEFORE),
        ("new", Side.AFTER),
    ]
    assert comparison.alike == 1


@pytest.mark.parametrize("other", [{"row": "b → a"}, {"column": ("vepa → vepa", "hairpin off")}])
def test_one_case_in_several_cells(other):
    """The cell counts, not the case alone."""
    comparison = compare(run(record(), record(**other)), run(record(**other), record(got=0)))
    assert [c.place for c in comparison.changes] == [Place("t", record().row, record().column)]
    assert comparison.alike == 1


def test_several_verdicts_in_one_cell_stand_against_each_other_in_order():
    comparison = compare(run(record(), record(want=2)), run(record(), record(want=2, got=1)))
    assert [c.place.number for c in comparison.changes] == [2]


def test_the_order_is_that_of_the_first_run():
    old = run(*(record(case) for case in "abc"))
    new = run(*(record(case, got=0) for case in "dcba"))
    assert places(compare(old, new)) == ["a", "b", "c", "d"]


def test_either_way_round_the_same_differs():
    old, new = run(record("a"), record("b")), run(record("b", got=0), record("c"))
    assert set(places(compare(old, new))) == set(places(compare(new, old))) == {"a", "b", "c"}


# ---------------------------------------------------------------------- how it is told


def printed(before, after, *, whole=False, width=100):
    console = Console(file=io.StringIO(), width=width)
    print_comparison(compare(before, after), console, names=("old", "new"), whole=whole)
    return console.file.getvalue().splitlines()


def test_both_runs_stand_at_the_head_and_what_is_not_the_same_is_marked():
    lines = printed(
        run(record(), missing={"dummy": "no"}),
        run(record(got=0), kernel="6.19.0", started="2027-01-01T00:00:00Z"),
    )
    assert lines[:10] == [
        "              A                     B",
        "file          old                   new",
        "kernel        6.18.0                6.19.0  ≠",
        "machine       x86_64                x86_64",
        "backend       tap                   tap",
        "hairpin       0.1.0                 0.1.0",
        "started       2026-01-02T03:04:05Z  2027-01-01T00:00:00Z",
        "missing       dummy                 nothing  ≠",
        "as predicted  1                     0  ≠",
        "differs       0                     1  ≠",
    ]


def test_a_difference_is_told_with_observers_causes_and_trace():
    lines = printed(run(record()), run(record(got=0, causes=("hairpin is off",))))
    start = lines.index("a → b in vepa → vepa, hairpin on: as predicted → differs")
    assert lines[start + 1 :] == [
        "    t",
        "    b: predicted 1, seen 1 → 0",
        "    B: hairpin is off",
        "    The model's way of the frame, in both:",
        "        a: sends",
        "        b: a guest that is up? yes",
        "        b: receives a copy",
        "",
        "1 cell not the same; 0 cells alike.",
    ]


def test_traces_that_are_not_the_same_stand_line_by_line():
    other = ("a: sends", "b: a guest that is up? no")
    lines = printed(run(record()), run(record(want=0, trace=other)))
    start = lines.index("    The model's way of the frame, - in A, + in B:")
    assert lines[start + 1 : start + 5] == [
        "        a: sends",
        "      - b: a guest that is up? yes",
        "      - b: receives a copy",
        "      + b: a guest that is up? no",
    ]


def test_files_from_before_traces_say_so():
    lines = printed(run(record(trace=())), run(record(got=0, trace=())))
    assert "    no trace in either file" in lines


def test_a_skipped_case_says_why():
    skipped = replace(
        record(), outcome=CellOutcome.SKIPPED, predicted={}, seen={}, trace=(), reason="no dummy"
    )
    lines = printed(run(record()), run(skipped))
    assert "    B: no dummy" in lines
    assert "    b: predicted 1 → unknown, seen 1 → unknown" in lines


def test_cases_of_one_run_stand_apart():
    lines = printed(run(record("old"), record("x")), run(record("x"), record("new")))
    assert lines[lines.index("Only in A (old): 1 cell") + 2] == "      old"
    assert lines[lines.index("Only in B (new): 1 cell") + 2] == "      new"
    assert lines[-1] == "1 cell only in A, 1 cell only in B; 1 cell alike."


def test_no_difference_is_said():
    assert printed(run(record()), run(record()))[-1] == "No difference: 1 cell alike."


@pytest.mark.parametrize(("whole", "traces"), [(False, 20), (True, 30)])
def test_of_many_differences_each_is_named_and_some_are_told(whole, traces):
    cases = [f"case{i}" for i in range(30)]
    lines = printed(
        run(*(record(case, row=case) for case in cases)),
        run(*(record(case, got=0, row=case) for case in cases)),
        whole=whole,
    )
    for case in cases:
        assert [line for line in lines if line.startswith(f"{case} in ")]
    assert len([line for line in lines if "way of the frame" in line]) == traces
    said = "The last 10 are in short; --all tells them in full." in lines
    assert said is not whole
