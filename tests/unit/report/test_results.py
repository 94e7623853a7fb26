"""results.json: written whole, read back the same, and anything else refused by name."""

import json
from dataclasses import fields, replace
from importlib.resources import files

import jsonschema
import pytest

from harness.errors import UsageError
from harness.report.record import CellOutcome, Record, Run
from harness.report.results import SCHEMA, read_json, write_json

RECORD = Record(
    case="test_flow[a]",
    section="unicast",
    row="a → b",
    column=("vepa → vepa", "hairpin on"),
    outcome=CellOutcome.DIFFERS,
    focus="b",
    predicted={"b": 1, "lower.out": 1},
    seen={"b": 0, "lower.out": 1},
    barriers={"b": "deadline", "lower.out": "sentinel"},
    promises=({"id": "S2", "text": "…", "source": "guide", "section": "2", "kept": False},),
    causes=("hairpin is off",),
    stimulus="a → b",
    topology='[[guest]]\nname = "a"\n',
    trace=("a: sends", "b: receives a copy", "a: sends"),
    maybe={"a": 1},
    evidence="evidence/test_flow-a.txt",
    findings=("sent again: the same difference again",),
)
LATER = {"trace", "maybe", "evidence", "findings"}  # came after the first documents of version 1
RUN = Run(
    records=(
        RECORD,
        Record("skip", "dummy", "a → b", (), CellOutcome.SKIPPED, reason="no dummy here"),
    ),
    started="2026-01-02T03:04:05Z",
    seconds=1.5,
    verdict_seconds=0.25,
    kernel="6.18.0",
    machine="x86_64",
    backend="tap",
    version="0.1.0",
    missing={"dummy": "no lower device without a wire"},
    exit_status=1,
)


@pytest.fixture
def schema():
    text = files("harness.report").joinpath("results.schema.json").read_text(encoding="utf-8")
    return json.loads(text)


@pytest.fixture
def path(tmp_path):
    write_json(RUN, tmp_path / "results.json")
    return tmp_path / "results.json"


def test_what_is_written_is_read_back_the_same(path):
    assert read_json(path) == RUN


def test_a_run_without_records_is_read_back_the_same(path):
    empty = replace(RUN, records=())
    write_json(empty, path)
    assert read_json(path) == empty


def test_the_document_is_valid_by_its_schema(path, schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), schema)


def test_the_schema_has_every_field_and_no_other(schema):
    record = schema["$defs"]["record"]
    assert set(record["properties"]) == {f.name for f in fields(Record)}
    assert set(schema["properties"]) == {"schema", "steps"} | {f.name for f in fields(Run)}
    assert set(schema["required"]) == set(schema["properties"]) - {"steps", "behaviours"}
    assert set(record["required"]) == set(record["properties"]) - LATER


def test_the_schema_is_of_the_version_that_is_written(schema):
    assert schema["properties"]["schema"]["const"] == SCHEMA == "hairpin-results/1"


def test_each_record_has_a_line_of_its_own(path):
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if '"case"' in line]
    assert [json.loads(line.rstrip(","))["case"] for line in lines] == ["test_flow[a]", "skip"]


def test_writing_leaves_nothing_but_the_document(path):
    write_json(replace(RUN, kernel="6.19.0"), path)
    assert read_json(path).kernel == "6.19.0"
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


def test_a_failed_write_keeps_the_old_document(path, monkeypatch):
    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(UsageError, match=r"results\.json: cannot be written: No space left"):
        write_json(replace(RUN, kernel="6.19.0"), path)
    assert read_json(path).kernel == "6.18.0"
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


@pytest.mark.parametrize("place", ["missing/results.json", "file/results.json"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=rf"{place}: cannot be written: "):
        write_json(RUN, tmp_path / place)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nothing\.json: cannot be read: No such file"):
        read_json(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{\n  oops\n}", r"x\.json:2: not JSON: "),
        (b"\xff\xfe\x00", r"x\.json: not JSON: it is not UTF-8"),
        (b"[]", r"x\.json: not a results document of hairpin: no schema 'hairpin-results/1'"),
        (b'{"records": []}', r"x\.json: not a results document"),
        (b'{"schema": "other/1"}', r"x\.json: not a results document"),
        (b'{"schema": 1}', r"x\.json: not a results document"),
        (
            b'{"schema": "hairpin-results/2"}',
            r"x\.json: its schema is 'hairpin-results/2'; this hairpin reads 'hairpin-results/1'",
        ),
        (b'{"schema": "hairpin-results/1"}', r"x\.json: started is missing"),
    ],
)
def test_what_is_no_document_of_ours_is_refused(tmp_path, content, complaint):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UsageError, match=complaint):
        read_json(tmp_path / "x.json")


BROKEN = [
    (("seconds",), "long", r'seconds: "long" is not a number of seconds'),
    (("seconds",), -1, r"seconds: -1 is not"),
    (("verdict_seconds",), True, r"verdict_seconds: true is not"),
    (("kernel",), None, r"kernel: null is not a text"),
    (("backend",), "pigeon", r'backend: "pigeon" is not one of tap, packet'),
    (("missing",), {"dummy": 1}, r"missing: .* is not an object of texts"),
    (("exit_status",), 1.5, r"exit_status: 1\.5 is not"),
    (("records",), {}, r"records: \{\} is not a list"),
    (("records", 1), "x", r'records\[1\]: "x" is not an object'),
    (("records", 0, "case"), 7, r"records\[0\]\.case: 7 is not a text"),
    (("records", 0, "column"), "hairpin", r"records\[0\]\.column: .* is not a list of texts"),
    (("records", 0, "outcome"), "fine", r'records\[0\]\.outcome: "fine" is not one of as pred'),
    (("records", 0, "seen"), {"b": -1}, r"records\[0\]\.seen: .* is not an object of counts"),
    (("records", 0, "seen"), {"b": "1"}, r"records\[0\]\.seen: "),
    (
        ("records", 0, "barriers"),
        {"b": "hope"},
        r"records\[0\]\.barriers: .* is not an object of s",
    ),
    (
        ("records", 0, "promises"),
        [{"id": "S2"}],
        r"records\[0\]\.promises: .* is not a list of pro",
    ),
    (("records", 0, "causes"), [1], r"records\[0\]\.causes: \[1\] is not a list of texts"),
    (("steps",), [1], r"steps: \[1\] is not a list of texts"),
    (("records", 0, "trace"), [-1], r"records\[0\]\.trace: \[-1\] is not a list of numbers of"),
    (("records", 0, "trace"), ["a: sends"], r"records\[0\]\.trace: "),
    (("records", 0, "maybe"), {"a": -1}, r"records\[0\]\.maybe: .* is not an object of counts"),
    (("records", 0, "evidence"), None, r"records\[0\]\.evidence: null is not a text"),
    (("records", 0, "findings"), "all", r'records\[0\]\.findings: "all" is not a list of texts'),
]


@pytest.mark.parametrize(("where", "value", "complaint"), BROKEN)
def test_a_broken_field_is_refused_by_reader_and_schema(path, schema, where, value, complaint):
    document = json.loads(path.read_text(encoding="utf-8"))
    part = document
    for step in where[:-1]:
        part = part[step]
    part[where[-1]] = value
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError, match=rf"results\.json: {complaint}"):
        read_json(path)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


@pytest.mark.parametrize("name", [f.name for f in fields(Record) if f.name not in LATER])
def test_a_record_without_a_field_is_refused_by_reader_and_schema(path, schema, name):
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["records"][1][name]
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError, match=rf"results\.json: records\[1\]\.{name} is missing"):
        read_json(path)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_a_document_from_before_traces_and_evidence_is_read(path, schema):
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["steps"]
    for record in document["records"]:
        for name in LATER:
            del record[name]
    path.write_text(json.dumps(document), encoding="utf-8")
    jsonschema.validate(document, schema)
    old = replace(RECORD, trace=(), maybe={}, evidence="", findings=())
    assert read_json(path) == replace(RUN, records=(old, RUN.records[1]))


def test_each_step_is_written_once(path):
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["steps"] == ["a: sends", "b: receives a copy"]
    assert document["records"][0]["trace"] == [0, 1, 0]


def test_a_step_that_is_not_there_is_refused(path):
    document = json.loads(path.read_text(encoding="utf-8"))
    document["records"][0]["trace"] = [2]
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError, match=r"records\[0\]\.trace: there are 2 steps"):
        read_json(path)


def test_a_long_value_is_cut_in_the_complaint(path):
    document = json.loads(path.read_text(encoding="utf-8")) | {"missing": "x" * 1000}
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageError, match="x… is not") as raised:
        read_json(path)
    assert len(str(raised.value)) < len(str(path)) + 100


def test_fields_of_a_later_hairpin_are_passed_over(path, schema):
    document = json.loads(path.read_text(encoding="utf-8"))
    document["weather"] = "fine"
    document["records"][0]["mood"] = "good"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert read_json(path) == RUN
    jsonschema.validate(document, schema)
