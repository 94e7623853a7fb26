"""Records arranged for reading: matrices, what differs, which promises were broken."""

import pytest

from harness.report.matrix import (
    broken_promises,
    deviations,
    matrices,
    reproduce,
    tally,
    worst,
)
from harness.report.record import CellOutcome, Record

OFF, ON = ("vepa → bridge", "hairpin off"), ("vepa → bridge", "hairpin on")
OTHER = ("bridge → bridge", "hairpin off")


def record(row="a → b", column=OFF, outcome=CellOutcome.AS_PREDICTED, **more):
    given = {"case": "case", "section": "unicast"} | more
    return Record(row=row, column=column, outcome=outcome, **given)


def promise(id="S4", kept=False):
    return {"id": id, "text": f"{id} says so", "source": "guide", "section": "1", "kept": kept}


def test_one_matrix_for_each_section_in_the_order_they_came():
    records = [record(section="b"), record(section="a"), record(section="b", row="b → a")]
    assert [(m.title, m.rows) for m in matrices(records)] == [
        ("b", ("a → b", "b → a")),
        ("a", ("a → b",)),
    ]


def test_rows_and_columns_keep_first_seen_order():
    records = [record("z", OTHER), record("z", OFF), record("a", OFF), record("a", OTHER)]
    (matrix,) = matrices(records)
    assert matrix.rows == ("z", "a")
    assert matrix.columns == (OTHER, OFF)


def test_columns_under_one_heading_stay_together():
    """A suite that turns hairpin in its outer loop meets the pairs twice."""
    (matrix,) = matrices([record(column=c) for c in (OFF, OTHER, ON)])
    assert matrix.columns == (OFF, ON, OTHER)


def test_a_cell_without_a_record_is_none():
    (matrix,) = matrices([record("a → b", OFF), record("b → a", ON)])
    assert matrix.at("a → b", OFF) is not None
    assert matrix.at("a → b", ON) is None


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (CellOutcome.ERROR, CellOutcome.DIFFERS),
        (CellOutcome.DIFFERS, CellOutcome.DOCUMENTED_OTHERWISE),
        (CellOutcome.DOCUMENTED_OTHERWISE, CellOutcome.AS_PREDICTED),
        (CellOutcome.AS_PREDICTED, CellOutcome.SKIPPED),
    ],
)
def test_the_worst_record_stands_for_its_cell(worse, better):
    both = [record(outcome=better), record(outcome=worse)]
    (matrix,) = matrices(both)
    assert matrix.at("a → b", OFF).outcome is worse
    assert worst(reversed(both)).outcome is worse
    assert len(matrix.cells["a → b", OFF]) == 2


def test_the_first_of_equally_bad_records_stands():
    assert worst([record(case="first"), record(case="second")]).case == "first"


def test_turned_topologies_are_rows_and_the_last_heading_stays():
    (matrix,) = matrices([record(r, c) for r in ("a → b", "b → a") for c in (OFF, ON, OTHER)])
    turned = matrix.turned(keep=1)
    assert turned.rows == ("vepa → bridge", "bridge → bridge")
    assert turned.columns == (
        ("a → b", "hairpin off"),
        ("a → b", "hairpin on"),
        ("b → a", "hairpin off"),
        ("b → a", "hairpin on"),
    )
    assert turned.at("vepa → bridge", ("b → a", "hairpin on")) is matrix.at("b → a", ON)
    assert turned.at("bridge → bridge", ("b → a", "hairpin on")) is None
    assert len(turned.records) == len(matrix.records) == 6


def test_turned_whole_every_heading_goes_into_the_row():
    (matrix,) = matrices([record(column=OFF), record(column=ON)])
    turned = matrix.turned(keep=0)
    assert turned.rows == ("vepa → bridge, hairpin off", "vepa → bridge, hairpin on")
    assert turned.columns == (("a → b",),)


def test_turned_keeps_the_order_of_flows_that_not_every_topology_has():
    (matrix,) = matrices([record("x", ON), record("y", OTHER), record("z", ON)])
    turned = matrix.turned(keep=0)
    assert turned.columns == (("x",), ("y",), ("z",))
    assert turned.rows == ("vepa → bridge, hairpin on", "bridge → bridge, hairpin off")


def test_renamed_rows_of_one_name_become_one():
    (matrix,) = matrices([record("x"), record("y"), record("z", OTHER), record("x", OTHER)])
    renamed = matrix.renamed({"x": "x and 1", "y": "x and 1", "z": "z"})
    assert renamed.rows == ("x and 1", "z")
    assert renamed.columns == matrix.columns
    assert [r.row for r in renamed.cells["x and 1", OFF]] == ["x", "y"]
    assert [r.row for r in renamed.cells["z", OTHER]] == ["z"]


def test_tally_has_every_outcome():
    counts = tally([record(), record(outcome=CellOutcome.ERROR), record()])
    assert counts == {
        CellOutcome.AS_PREDICTED: 2,
        CellOutcome.DOCUMENTED_OTHERWISE: 0,
        CellOutcome.DIFFERS: 0,
        CellOutcome.HOLDS: 0,
        CellOutcome.BROKEN: 0,
        CellOutcome.SKIPPED: 0,
        CellOutcome.ERROR: 1,
    }


@pytest.mark.parametrize(
    ("predicted", "seen", "barriers", "texts"),
    [
        pytest.param({"a": 0, "b": 1}, {"a": 0, "b": 2}, {}, ["b: 1 predicted, 2 seen"], id="more"),
        pytest.param({"b": 1}, {}, {}, ["b: 1 predicted, 0 seen"], id="not-observed"),
        pytest.param(
            {"a": 1, "b": 1},
            {"a": 1, "b": 1},
            {},
            ["b: 1 predicted, 1 seen, but not the same bytes"],
            id="bytes",
        ),
        pytest.param(
            {"a": 1, "b": 1},
            {"a": 1, "b": 1},
            {"a": "lost", "b": "sentinel"},
            ["a: 1 predicted, 1 seen, and the sentinel after it did not arrive"],
            id="lost",
        ),
    ],
)
def test_deviations_say_what_each_observer_saw(predicted, seen, barriers, texts):
    differing = record(
        outcome=CellOutcome.DIFFERS, focus="b", predicted=predicted, seen=seen, barriers=barriers
    )
    assert [str(d) for d in deviations(differing)] == texts


def test_only_a_differing_record_deviates():
    """Frames that the model allows for besides make counts unequal without a difference."""
    assert deviations(record(predicted={"b": 0}, seen={"b": 1})) == ()


def test_what_the_model_leaves_open_is_no_deviation():
    found = record(
        outcome=CellOutcome.DIFFERS,
        predicted={"a": 0, "b": 1},
        seen={"a": 1, "b": 0},
        maybe={"a": 1},
        focus="b",
    )
    assert [d.observer for d in deviations(found)] == ["b"]


def test_broken_promises_count_only_what_is_documented_otherwise():
    otherwise = record(
        outcome=CellOutcome.DOCUMENTED_OTHERWISE,
        promises=(promise("S4"), promise("S2", kept=True), promise("ip")),
    )
    again = record(outcome=CellOutcome.DOCUMENTED_OTHERWISE, promises=(promise("ip"),), case="2")
    differing = record(outcome=CellOutcome.DIFFERS, promises=(promise("S3"), promise("S4")))
    broken = broken_promises([otherwise, differing, again])
    assert [(b.id, b.text, b.records) for b in broken] == [
        ("S4", "S4 says so", (otherwise,)),
        ("ip", "ip says so", (otherwise, again)),
    ]


@pytest.mark.parametrize(
    ("case", "command"),
    [
        ("test_flow[vepa-on]", "hairpin run -k 'test_flow[vepa-on]'"),
        ("tests/test_x.py::TestA::test_flow[b]", "hairpin run -k 'test_flow[b]'"),
        ("test_plain", "hairpin run -k test_plain"),
        ("flow[a → b and c]", "hairpin run -k 'flow[a and b and c]'"),
        ("→", "hairpin run"),
        ("guests/test_mtu.py::test_x[a]", "hairpin guests -k 'test_x[a]'"),
        ("vsi/test_later.py::test_x", "hairpin vsi test -k test_x"),
        ("./test_mine.py::test_x[a b]", "hairpin run './test_mine.py::test_x[a b]'"),
        ("../test_mine.py::test_x", "hairpin run ../test_mine.py::test_x"),
        ("/home/me/test_mine.py::test_x", "hairpin run /home/me/test_mine.py::test_x"),
    ],
)
def test_reproduce_is_a_command_that_pytest_can_parse(case, command):
    assert reproduce(record(case=case)) == command
