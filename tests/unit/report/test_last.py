"""Finding a run again, and `hairpin last` and `hairpin compare` on what is found."""

from dataclasses import replace

import pytest

from harness.cli import main
from harness.report.folder import EvidenceFolder
from harness.report.record import CellOutcome, Record, Run
from harness.report.results import write_json

RUN = Run(
    records=(),
    started="2026-01-02T03:04:05Z",
    seconds=1.0,
    verdict_seconds=0.5,
    kernel="6.18.0-test",
    machine="x86_64",
    backend="tap",
    version="0.1.0",
    missing={},
    exit_status=1,
)
FINE = Record(
    "test_fine",
    "unicast",
    "b → a",
    ("vepa → vepa", "hairpin on"),
    CellOutcome.AS_PREDICTED,
    "a",
    {"a": 1},
    {"a": 1},
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ran(here, verdict, record):
    """``ran(name, …)``: a run of that name with a fine cell and, if it `differs`, another."""

    def make(name, *, differs=True, results=True):
        folder = here / ".hairpin" / name
        folder.mkdir(parents=True)
        records = [FINE]
        if differs:
            given = verdict(b=[], lower_in=[])
            into = EvidenceFolder(
                folder / "evidence", run="this run", options="", system="", application=""
            )
            records.append(into.keep(record(given), given))
        if results:
            write_json(replace(RUN, records=tuple(records)), folder / "results.json")
        (here / ".hairpin" / "last").unlink(missing_ok=True)
        (here / ".hairpin" / "last").symlink_to(name)
        return folder

    return make


def test_last_prints_summary_cause_and_path(ran, capsys):
    ran("first", differs=False)
    ran("second")
    assert main(["last"]) == 0
    out = capsys.readouterr().out
    assert "likely cause: switch port lower has hairpin off" in out
    assert ".hairpin/second/evidence/test_unicast-test_flow-vepa-vepa.txt" in out
    assert "kernel    6.18.0-test, x86_64" in out
    assert "1 as predicted" in out
    assert "│" not in out


def test_last_with_matrix(ran, capsys):
    ran("one")
    assert main(["last", "--matrix"]) == 0
    assert "│" in capsys.readouterr().out


@pytest.mark.parametrize("case", ["test_flow", "flow[vepa-vepa]", "a → b", "vepa → vepa"])
def test_last_with_a_case_prints_its_evidence(ran, capsys, case):
    folder = ran("one")
    assert main(["last", case]) == 0
    (written,) = (folder / "evidence").glob("*.txt")
    assert capsys.readouterr().out == written.read_text(encoding="utf-8")


def test_last_of_a_case_of_which_no_evidence_was_kept(ran, here, capsys):
    folder = ran("one", differs=False)
    bare = replace(
        FINE, case="test_bare", outcome=CellOutcome.DIFFERS, seen={"a": 0}, causes=("rule",)
    )
    write_json(replace(RUN, records=(bare,)), folder / "results.json")
    assert main(["last", "bare"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "b → a in vepa → vepa, hairpin on",
        "test_bare",
        "a: 1 predicted, 0 seen",
        "likely cause: rule",
        "No evidence was kept of this one.",
    ]


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        pytest.param(None, [], "no run under .hairpin yet: start one with hairpin run", id="none"),
        pytest.param(
            {"results": False}, [], ".hairpin/one has no results.json: the run", id="cut short"
        ),
        pytest.param(
            {},
            ["nosuch"],
            "no differing case has 'nosuch' in its name; these differ: test_unica",
            id="no such case",
        ),
        pytest.param(
            {"differs": False}, ["x"], "no case of the last run differs (.hairpin/one)", id="fine"
        ),
        pytest.param({}, ["--what"], "unknown argument --what; see hairpin last", id="unknown"),
    ],
)
def test_last_where_there_is_nothing_to_print(ran, here, capsys, make, arguments, message):
    """Exit status 2 and one line that helps."""
    if make is not None:
        ran("one", **make)
    assert main(["last", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"hairpin: {message}")
    assert err.count("\n") == 1


def test_last_of_evidence_that_was_deleted(ran, capsys):
    folder = ran("one")
    for path in (folder / "evidence").iterdir():
        path.unlink()
    assert main(["last", "test_flow"]) == 2
    assert "cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("as_file", [False, True], ids=["folders", "files"])
def test_compare_runs_that_differ(ran, capsys, as_file):
    a, b = (
        folder / "results.json" if as_file else folder
        for folder in (ran("a", differs=False), ran("b"))
    )
    assert main(["compare", str(a), str(b)]) == 1
    assert capsys.readouterr().out.endswith("1 cell only in B; 1 cell alike.\n")


def test_compare_a_run_with_itself(ran, capsys):
    folder = str(ran("a"))
    assert main(["compare", folder, folder]) == 0
    assert capsys.readouterr().out.endswith("No difference: 2 cells alike.\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read: No such file or directory", id="missing"),
        pytest.param("{", ":1: not JSON: ", id="no JSON"),
        pytest.param("{}", "not a results document of hairpin", id="something else"),
        pytest.param('{"schema": "hairpin-results/9"}', "its schema is", id="another version"),
    ],
)
def test_compare_with_what_cannot_be_read(ran, here, capsys, content, message):
    folder = str(ran("a"))
    if content is not None:
        (here / "b").write_text(content)
    assert main(["compare", folder, "b"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hairpin: b")
    assert message in err
    assert err.count("\n") == 1
