"""The matrix on a terminal: nothing wider than it, the runs that are not whole said so."""

import io
import json
import time
from dataclasses import replace
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from harness.cli import main
from harness.report.across import State, arrange, print_across, save_across, write_ending
from harness.report.results import write_json

KERNELS = ("5.4.0-216-generic", "6.1.0-56-amd64", "6.8.0-151-generic", "7.3.4-amd64")


@pytest.fixture
def matrix(column):
    """Case a differs since 6.8, b is skipped up to 5.4, c is alike; 7.3 has died."""
    return arrange(
        [
            *(column(k, x) for k, x in zip(KERNELS, ("1s1", "111", "x11"), strict=False)),
            column(KERNELS[3], None, name="debian:sid", state=State.DIED),
        ]
    )


def printed(matrix, *, width=80, whole=False, ascii_only=False):
    file = io.BytesIO()
    text = io.TextIOWrapper(file, encoding="ascii" if ascii_only else "utf-8")
    console = Console(file=text, width=width)
    print_across(matrix, console, whole=whole)
    text.flush()
    return file.getvalue().decode().splitlines()


def test_as_it_is_read(matrix):
    assert printed(matrix) == [
        "run  kernel             name               judged  failed  skipped",
        "───  ─────────────────  ─────────────────  ──────  ──────  ───────  ────",
        "5.4  5.4.0-216-generic  5.4.0-216-generic       2       0        1",
        "6.1  6.1.0-56-amd64     6.1.0-56-amd64          3       0        0",
        "6.8  6.8.0-151-generic  6.8.0-151-generic       3       1        0",
        "7.3  7.3.4-amd64        debian:sid                                  died",
        "",
        "7.3 died: so it is",
        "",
        "✓1 as predicted: one copy arrived, ✓0 none   ✗1≠0 one copy, none predicted",
        "",
        "1 case: as predicted up to 6.1, differs since 6.8",
        "",
        "case                              5.4  6.1  6.8   7.3",
        "────────────────────────────────  ───  ───  ────  ────",
        "a → a in vepa → vepa, hairpin on  ✓1   ✓1   ✗0≠1  died",
        "  more: hairpin compare 6.1.0-56-amd64 6.8.0-151-generic",
        "",
        "Not judged in every run",
        "     1  skipped in 5.4: no dummy in this kernel",
        "",
        "1 case not the same, 1 not judged in every run, 1 alike in 4 runs. 1 run of 4",
        "not whole.",
    ]


@pytest.fixture
def many(column):
    """Twelve kernels of which the fourth case differs since the seventh."""
    kernels = [f"{n}.0-{n}56-cloud-amd64" for n in range(1, 12)]
    runs = [column(k, "111x1" if i > 5 else "11111") for i, k in enumerate(kernels)]
    return arrange([*runs, column("12.0-1-amd64", None, state=State.TIMED_OUT)])


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_twelve_runs_fit(many, width, ascii_only):
    """Columns that do not fit go into a second table; paths to be copied stay whole."""
    lines = printed(many, width=width, ascii_only=ascii_only)
    assert max(len(x) for x in lines if "hairpin compare" not in x) <= width
    assert all(f" {label}" in "\n".join(lines) for label in many.labels)
    assert all(x.isascii() for x in lines) is ascii_only


@pytest.mark.parametrize(("whole", "rows"), [(False, 20), (True, 50)])
def test_many_cases_of_one_course_are_counted(column, record, whole, rows):
    runs = [
        replace(c, run=replace(c.run, records=tuple(record(f"n{i}", x) for i in range(50))))
        for c, x in ((column("6.1.0", ""), "1"), (column("6.8.0", ""), "x"))
    ]
    lines = printed(arrange(runs), whole=whole)
    assert sum(line.startswith("a → n") for line in lines) == rows
    assert ("  … and 30 more; --all names them" in lines) is not whole


def test_what_may_be_the_reason_besides(column):
    runs = [column("6.1.0", "1"), column("6.8.0", "1", backend="packet", version="0.2")]
    told = [x for x in printed(arrange(runs)) if x.startswith("Mind")]
    assert told == [
        "Mind: backends are not the same: tap in 6.1; packet in 6.8.",
        "Mind: versions of hairpin are not the same: 0.1.0 in 6.1; 0.2 in 6.8.",
    ]


# ---------------------------------------------------------------------- the document


def test_the_document_keeps_to_its_schema(matrix, tmp_path):
    file = tmp_path / "matrix.json"
    save_across(matrix, file)
    document = json.loads(file.read_text())
    schema = json.loads((files("harness.report.across") / "matrix.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(document)
    assert [(x["label"], x["state"]) for x in document["runs"]] == [
        ("5.4", "finished"),
        ("6.1", "finished"),
        ("6.8", "finished"),
        ("7.3", "died"),
    ]
    assert [(x["row"], x["kind"], x["cells"]) for x in document["cases"]] == [
        ("a → a", "differs", [0, 0, 1, None]),
        ("a → b", "not everywhere", [0, 1, 1, None]),
        ("a → c", "alike", [0, 0, 0, None]),
    ]


# ---------------------------------------------------------------------- the command


@pytest.fixture
def folder(tmp_path, column):
    """``folder("11", "1x", None)``: a folder with a run of each kernel; None died."""

    def make(*runs):
        for kernel, letters in zip(KERNELS, runs, strict=False):
            place = tmp_path / kernel
            place.mkdir()
            made = column(kernel, letters, state=State.FINISHED if letters else State.DIED)
            write_ending(made.ending, place)
            if made.run:
                write_json(made.run, place / "results.json")
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("runs", "status"),
    [
        pytest.param(("11", "11"), 0, id="alike"),
        pytest.param(("1s", "11"), 0, id="skipped"),
        pytest.param(("11", "1x"), 1, id="differs"),
        pytest.param(("xx", "xx"), 0, id="bad alike"),
        pytest.param(("11", None), 1, id="died"),
    ],
)
def test_exit_status(folder, runs, status, capsys):
    where = folder(*runs)
    assert main(["matrix", str(where)]) == status
    assert capsys.readouterr().out.endswith(f"The whole of it: {where / 'matrix.json'}\n")
    assert main(["matrix", str(where), "--by", "host"]) == status  # its own document is no run


def test_the_document_goes_where_it_is_told(folder, tmp_path):
    where, file = folder("11", "11"), tmp_path / "other.json"
    paths = [str(x) for x in where.iterdir()]
    assert main(["matrix", *paths]) == 0
    assert not file.exists()
    assert main(["matrix", *paths, "--json", str(file)]) == 0
    assert len(json.loads(file.read_text())["runs"]) == 2


def test_wrong_usage(tmp_path, capsys):
    assert main(["matrix", str(tmp_path / "none")]) == 2
    assert "there is no such file or folder" in capsys.readouterr().err
    assert main(["matrix", str(tmp_path), "--wrong"]) == 2


# ---------------------------------------------------------------------- speed


def test_twelve_runs_of_four_thousand_records(column, record):
    """Half a second of work; the bound leaves room for slow machines."""
    records = tuple(record(f"n{i}", "1x0dhbs"[i % 7]) for i in range(4000))
    runs = [column(f"6.{n}.0", "") for n in range(12)]
    runs = [replace(c, run=replace(c.run, records=records)) for c in runs]
    began = time.process_time()
    matrix = arrange(runs)
    printed(matrix)
    assert time.process_time() - began < 2
    assert matrix.alike == 4000


def test_behaviours_that_are_not_the_same(column):
    """Since when, by whose doing, and what it is; one that all have is not told."""
    runs = [
        column(k, "1", behaviours={"shared-source": k > "7", "noop-counts": True, "later": True})
        for k in KERNELS
    ]
    told = " ".join(line.strip() for line in printed(arrange(runs), width=300))
    assert "shared-source: no up to 6.8, yes since 7.3: a group frame off the wire" in told
    assert "too  [macvlan_multicast_rx, drivers/net/macvlan.c; b52363f706e5]" in told
    assert "noop-counts" not in told
