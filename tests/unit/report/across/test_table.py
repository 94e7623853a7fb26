"""Many runs held against each other: which cases differ, since when, and what is no difference.

One row a case; a column a run: 1 as predicted with one copy, 0 with none, x differs, d documented
otherwise, h holds, b does not hold, e error, s skipped, - no record.
"""

from dataclasses import replace

import pytest

from harness.report.across import Axis, Kind, State, arrange

KERNELS = ("4.15.0-213-generic", "5.4.0", "5.10.0", "6.1.0-56-amd64", "6.8.0-151-generic")


def line(column, letters, *, axis=Axis.KERNEL, kernels=KERNELS):
    columns = [column(k, letter) for k, letter in zip(kernels, letters, strict=True)]
    (only,) = arrange(columns, axis=axis).lines
    return only


@pytest.mark.parametrize(
    ("letters", "kind"),
    [
        ("11111", Kind.ALIKE),
        ("xxxxx", Kind.ALIKE),
        ("sssss", Kind.ALIKE),
        ("1111s", Kind.NOT_EVERYWHERE),
        ("1111-", Kind.NOT_EVERYWHERE),
        ("s---s", Kind.NOT_EVERYWHERE),
        ("1111x", Kind.DIFFERS),
        ("s-11x", Kind.DIFFERS),
        ("d1111", Kind.DIFFERS),
        ("11110", Kind.DIFFERS),
    ],
)
def test_kind(column, letters, kind):
    assert line(column, letters).kind is kind


@pytest.mark.parametrize(
    ("letters", "course"),
    #  4.15 5.4 5.10 6.1 6.8
    [
        ("1111x", "as predicted up to 6.1, differs since 6.8"),
        ("1xxxx", "as predicted up to 4.15, differs since 5.4"),
        ("x1111", "differs up to 4.15, as predicted since 5.4"),
        ("11s-x", "as predicted up to 5.4, differs since 6.8"),
        ("11-xx", "as predicted up to 5.4, differs since 6.1"),
        ("11x11", "differs in 5.10, elsewhere as predicted"),
        ("1xx11", "differs in 5.4 – 5.10, elsewhere as predicted"),
        ("x11x1", "differs in 4.15 and in 6.1, elsewhere as predicted"),
        ("1x1xx", "as predicted in 4.15 and in 5.10, elsewhere differs"),
        ("11ddx", "as predicted up to 5.4, documented otherwise in 5.10 – 6.1, differs since 6.8"),
        ("11100", "as predicted: 1 at b up to 5.10, as predicted: nothing arrives since 6.1"),
        ("hhhhb", "holds up to 6.1, does not hold since 6.8"),
    ],
)
def test_where_it_begins_is_said_in_words(column, letters, course):
    assert line(column, letters).course == course


@pytest.mark.parametrize(
    ("letters", "course"),
    [
        ("111x1", "differs on d, elsewhere as predicted"),
        ("xx111", "differs on a, b, elsewhere as predicted"),
        ("x1de-", "differs on a, as predicted on b, documented otherwise on c, error on d"),
    ],
)
def test_hosts_have_no_order_that_means_something(column, letters, course):
    columns = [column("6.1.0", c, name=host) for host, c in zip("abcde", letters, strict=True)]
    matrix = arrange(columns)
    assert matrix.axis is Axis.HOST
    assert [x.course for x in matrix.lines if x.kind is Kind.DIFFERS] == [course]


def test_the_turn_is_where_to_compare(column):
    assert line(column, "1s-xx").turn == (0, 3)
    assert line(column, "11s11").turn is None


def test_kernels_stand_from_old_to_new(column):
    matrix = arrange([column(k, "1") for k in ("6.12.1", "5.4.0", "6.8.0", "5.10.0")])
    assert (matrix.axis, matrix.labels) == (Axis.KERNEL, ("5.4", "5.10", "6.8", "6.12"))


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("web2.example.org", "web10.example.org"), ("web2", "web10")),
        (("a.north", "a.south"), ("a.north", "a.south")),
        (("a", "a"), ("a (1)", "a (2)")),
    ],
)
def test_hosts_are_called_as_short_as_they_can_be(column, names, labels):
    matrix = arrange([column("6.1.0", "1", name=name) for name in names])
    assert matrix.labels == labels


def test_one_kernel_twice_is_told_apart_by_name(column):
    columns = [column("6.1.0", "1", name=name) for name in ("first", "second")]
    assert arrange(columns, axis=Axis.KERNEL).labels == ("6.1 first", "6.1 second")


@pytest.mark.parametrize(
    ("kernel", "letters", "state"),
    [
        pytest.param("6.8.0", None, State.DIED, id="died"),
        pytest.param("", None, State.MISSING, id="missing"),
        pytest.param("6.8.0", "1", State.INTERRUPTED, id="interrupted"),
    ],
)
def test_a_run_that_is_not_whole_is_a_column_and_makes_no_case_differ(
    column, kernel, letters, state
):
    """But the whole does not agree: it is not known."""
    matrix = arrange([column("6.1.0", "111"), column(kernel, letters, name="new", state=state)])
    assert [c.ending.state for c in matrix.columns] == [State.FINISHED, state]
    assert matrix.alike == 3
    assert not matrix.agrees


@pytest.mark.parametrize(
    ("letters", "agrees"), [("111", True), ("1s1", True), ("1-1", True), ("11x", False)]
)
def test_agrees(column, letters, agrees):
    """What a run skipped or does not know is told, and is no difference."""
    columns = [column(k, c) for k, c in zip(KERNELS, letters, strict=False)]
    assert arrange(columns).agrees is agrees


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param(["1"], ["b"], ["as predicted up to 6.1, does not hold since 6.8"], id="check"),
        pytest.param(["1"], ["e"], ["as predicted up to 6.1, error since 6.8"], id="set-up"),
        pytest.param(["1"], ["s"], [""], id="skipped"),
        pytest.param(["1"], ["1", "b"], ["", "as predicted up to 6.1, does not hold since 6.8"]),
    ],
)
def test_a_case_that_fails_as_a_whole_stands_for_its_verdicts(column, record, old, new, told):
    """Its record then has no topology, and so another place."""
    before, after = column("6.1.0", ""), column("6.8.0", "")
    runs = [
        replace(c, run=replace(c.run, records=tuple(record("a", x) for x in letters)))
        for c, letters in ((before, old), (after, new))
    ]
    lines = arrange(runs).lines
    assert sorted({line.course for line in lines}) == told
    assert any(line.kind is not Kind.ALIKE for line in lines)
