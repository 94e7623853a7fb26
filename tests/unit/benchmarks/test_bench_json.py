"""bench.json: written whole, read back the same, and anything else refused by name."""

import json
from dataclasses import fields, replace
from importlib.resources import files

import jsonschema
import pytest

from harness.bench.measurement import SCHEMA, Cost, Measurement, Run, Test
from harness.errors import UsageError
from harness.report.benchmarks import load_run, save_run


@pytest.fixture
def run(make_run):
    return make_run()


@pytest.fixture
def path(run, tmp_path):
    return save_run(run, tmp_path / "new" / "folder")


@pytest.fixture
def schema():
    text = files("harness.report").joinpath("bench.schema.json").read_text(encoding="utf-8")
    return json.loads(text)


def test_the_run_that_the_tests_use_has_every_test(run):
    assert {m.test for m in run.measurements} == set(Test)


def test_what_is_written_is_read_back_the_same(run, path):
    assert path.name == "bench.json"
    assert load_run(path) == run


def test_the_folder_does_for_the_file(run, path):
    assert load_run(path.parent) == run


def test_a_run_of_nothing_is_read_back_the_same(make_run, tmp_path):
    empty = make_run(measurements=(), missing={}, interrupted=True)
    assert load_run(save_run(empty, tmp_path)) == empty


def test_the_document_is_valid_by_its_schema(path, schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), schema)


@pytest.mark.parametrize(
    ("cls", "where"), [(Run, ()), (Measurement, ("measurement",)), (Cost, ("cost",))]
)
def test_the_schema_has_every_field_and_no_other(schema, cls, where):
    part = schema["$defs"][where[0]] if where else schema
    names = {f.name for f in fields(cls)} | (set() if where else {"schema"})
    assert set(part["properties"]) == set(part["required"]) == names


def test_the_schema_is_of_the_version_that_is_written(schema):
    assert schema["properties"]["schema"]["const"] == SCHEMA == "hairpin-bench/1"


def test_each_measurement_has_a_line_of_its_own(run, path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if '"samples"' in line]
    assert len(lines) == len(run.measurements)


def test_fields_of_later_versions_are_passed_over(run, path):
    document = json.loads(path.read_text(encoding="utf-8"))
    document["weather"] = document["measurements"][0]["weather"] = "fine"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert load_run(path) == run


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nothing\.json: cannot be read: No such file"):
        load_run(tmp_path / "nothing.json")


def test_a_folder_that_cannot_be_made_is_named(run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/x: cannot be made: Not a directory"):
        save_run(run, tmp_path / "file" / "x")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{\n  oops\n}", r"x\.json:2: not JSON: "),
        (b"\xff\xfe\x00", r"x\.json: not JSON: it is not UTF-8"),
        (b"[]", r"x\.json: not a benchmark run of hairpin: no schema 'hairpin-bench/1'"),
        (b'{"schema": "hairpin-results/1"}', r"x\.json: not a benchmark run of hairpin"),
        (b'{"schema": 1}', r"x\.json: not a benchmark run of hairpin"),
        (
            b'{"schema": "hairpin-bench/2"}',
            r"x\.json: its schema is 'hairpin-bench/2'; this hairpin reads 'hairpin-bench/1'",
        ),
        (b'{"schema": "hairpin-bench/1"}', r"x\.json: kernel is missing"),
    ],
)
def test_what_is_no_document_of_ours_is_refused(tmp_path, content, complaint):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UsageError, match=complaint):
        load_run(tmp_path / "x.json")


BROKEN = [
    (("cpus",), "two", r'cpus: "two" is not a number of CPUs'),
    (("seconds",), -1, r"seconds: -1 is not a number of seconds"),
    (("interrupted",), 0, r"interrupted: 0 is not true or false"),
    (("missing",), {"x": 1}, r"missing: .* is not an object of texts"),
    (("measurements",), {}, r"measurements: \{\} is not a list"),
    (("measurements", 0), 7, r"measurements\[0\]: 7 is not an object"),
]
BROKEN_MEASUREMENTS = [
    ("test", "weight", r'test: "weight" is not one of'),
    ("samples", [], r"samples: \[\] is not a list of numbers, one at least"),
    ("samples", [float("nan")], r"samples: \[NaN\] is not a list of numbers"),
    ("references", [1], r"references: 1 for 7 samples"),
    ("limited_by", "me", r'limited_by: "me" is not one of .*, or null'),
    ("curve", [[1]], r"curve: \[\[1\]\] is not a list of points"),
    ("cost", {"user": 1}, r"cost\.system is missing"),
]
BROKEN += [
    (("measurements", 1, name), value, rf"measurements\[1\]\.{complaint}")
    for name, value, complaint in BROKEN_MEASUREMENTS
]


@pytest.mark.parametrize(("place", "value", "complaint"), BROKEN)
def test_what_is_wrong_in_a_document_is_named_with_its_place(path, place, value, complaint):
    document = json.loads(path.read_text(encoding="utf-8"))
    part = document
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError, match=rf"bench\.json: {complaint}"):
        load_run(path)


def test_nothing_is_measured_twice(run):
    """Whoever has two figures of one key has none."""
    with pytest.raises(ValueError, match="measured twice: forwarding, "):
        replace(run, measurements=(*run.measurements, run.measurements[0]))
