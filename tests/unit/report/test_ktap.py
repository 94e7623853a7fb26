"""KTAP: the exact text of a small run, and what any parser may count on."""

import re

import pytest

from harness.report.ktap import to_ktap
from harness.report.record import CellOutcome, Record, Run

# How the kernel's own parser (tools/testing/kunit/kunit_parser.py) sees a result line.
RESULT = re.compile(r"(?P<result>ok|not ok) (?P<number>[0-9]+) (?P<name>[^#]*?)( # (?P<tail>.*))?")


def record(case, outcome=CellOutcome.AS_PREDICTED, *, section="unicast", **more):
    return Record(case, section, "a → b", ("vepa → vepa", "hairpin on"), outcome, **more)


def run(*records, missing=None):
    return Run(
        records=records,
        started="2026-01-02T03:04:05Z",
        seconds=1.0,
        verdict_seconds=0.5,
        kernel="6.18.0",
        machine="x86_64",
        backend="tap",
        version="0.1.0",
        missing=missing or {},
        exit_status=0,
    )


OTHERWISE = record(
    "t[private]",
    CellOutcome.DOCUMENTED_OTHERWISE,
    promises=(
        {"id": "S4", "text": "Router only.", "source": "guide", "section": "4", "kept": False},
        {"id": "S2", "text": "All out.", "source": "guide", "section": "2", "kept": True},
    ),
)
DIFFERING = record(
    "tests/test_u.py::t[vepa]",
    CellOutcome.DIFFERS,
    focus="b",
    predicted={"a": 0, "b": 1},
    seen={"a": 0, "b": 0},
    causes=("hairpin of the port of lower\nis off",),
)

WHOLE = """\
KTAP version 1
1..3
# hairpin 0.1.0, started 2026-01-02T03:04:05Z
# Linux 6.18.0 on x86_64, backend tap
# missing: dummy: no lower device without a wire
  KTAP version 1
  1..4
  ok 1 t[bridge]
  # documented otherwise: Router only. (guide; 4)
  ok 2 t[private]
  # b: 1 predicted, 0 seen
  # likely cause: hairpin of the port of lower is off
  # again: hairpin run -k 't[vepa]'
  not ok 3 tests/test_u.py::t[vepa]
  ok 4 t[vlan %231] # SKIP no vlan here
not ok 1 unicast
  KTAP version 1
  1..1
  # again: hairpin run -k t_error
  not ok 1 t_error # ERROR EBUSY
not ok 2 source
  KTAP version 1
  1..2
  ok 1 d1 # SKIP no dummy
  ok 2 d2 # SKIP no dummy
ok 3 dummy lower # SKIP no dummy
"""


def test_the_whole_text():
    assert (
        to_ktap(
            run(
                record("t[bridge]"),
                OTHERWISE,
                DIFFERING,
                record("t[vlan #1]", CellOutcome.SKIPPED, reason="no vlan here"),
                record("t_error", CellOutcome.ERROR, section="source", reason="EBUSY"),
                record("d1", CellOutcome.SKIPPED, section="dummy lower", reason="no dummy"),
                record("d2", CellOutcome.SKIPPED, section="dummy lower", reason="no dummy"),
                missing={"dummy": "no lower device without a wire"},
            )
        )
        == WHOLE
    )


def parse(text):
    """(name, result, tail, subtests) for each test; checks every plan and every number."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("# ")]
    tests = _level(lines, "")
    assert not lines
    return tests


def _level(lines, indent):
    """Take one set of results from the front of `lines`."""
    assert lines.pop(0) == f"{indent}KTAP version 1"
    plan = lines.pop(0)
    tests = []
    while lines and lines[0].startswith(indent):
        inner = _level(lines, f"{indent}  ") if lines[0].startswith(f"{indent}  ") else []
        found = RESULT.fullmatch(lines.pop(0).removeprefix(indent))
        assert found
        assert int(found["number"]) == len(tests) + 1
        tests.append((found["name"], found["result"], found["tail"], inner))
    assert plan == f"{indent}1..{len(tests)}"
    return tests


def test_sections_nest_their_records_and_every_plan_counts():
    records = [record(f"c{i}", section=f"s{i % 3}") for i in range(10)]
    tests = parse(to_ktap(run(*records)))
    assert [(name, len(inner)) for name, _, _, inner in tests] == [("s0", 4), ("s1", 3), ("s2", 3)]
    assert {case for _, _, _, inner in tests for case, *_ in inner} == {f"c{i}" for i in range(10)}


@pytest.mark.parametrize(
    ("outcome", "result", "tail"),
    [
        (CellOutcome.AS_PREDICTED, "ok", None),
        (CellOutcome.DOCUMENTED_OTHERWISE, "ok", None),
        (CellOutcome.DIFFERS, "not ok", None),
        (CellOutcome.SKIPPED, "ok", "SKIP why"),
        (CellOutcome.ERROR, "not ok", "ERROR why"),
    ],
)
def test_a_section_fails_with_any_of_its_records(outcome, result, tail):
    ((_, section, directive, inner),) = parse(
        to_ktap(run(record("good"), record("other", outcome, reason="why"), record("good too")))
    )
    assert inner[1] == ("other", result, tail, [])
    assert section == result
    assert directive is None


def test_records_of_one_case_are_told_apart_by_their_places():
    """Parsers go by names: of two results of one name, one would be lost."""
    several = [
        Record("t", "s", row, column, CellOutcome.AS_PREDICTED)
        for row in ("a → b", "b → a")
        for column in (("vepa", "hairpin on"), ("", ""))
    ]
    ((*_, inner),) = parse(to_ktap(run(*several, record("u", section="s"))))
    assert [name for name, *_ in inner] == [
        "t: a → b, vepa, hairpin on",
        "t: a → b",
        "t: b → a, vepa, hairpin on",
        "t: b → a",
        "u",
    ]


def test_no_case_breaks_out_of_its_line():
    (section,) = parse(to_ktap(run(record("x\nnot ok 2 y # SKIP", section="s # TODO\n1..9"))))
    assert section[:3] == ("s %23 TODO 1..9", "ok", None)
    assert section[3] == [("x not ok 2 y %23 SKIP", "ok", None, [])]


def test_a_skip_without_a_reason_ends_at_its_directive():
    text = to_ktap(run(record("x", CellOutcome.SKIPPED)))
    assert "  ok 1 x # SKIP\n" in text
    assert text.endswith("\nok 1 unicast # SKIP\n")


def test_a_run_without_records_plans_none():
    assert parse(to_ktap(run())) == []
    assert "\n1..0\n" in to_ktap(run())
