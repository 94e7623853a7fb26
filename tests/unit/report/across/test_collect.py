"""Runs found in folders: with results, without, and what is no run."""

import pytest

from harness.errors import UsageError
from harness.report.across import Ending, State, collect, read_ending, write_ending
from harness.report.results import write_json


@pytest.fixture
def tree(tmp_path, column):
    """``tree("a/results.json", "b/", …)``: files and empty folders; results are those of a run."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                continue
            if path.name == "results.json":
                write_json(column("6.1.0", "1").run, path)
            elif path.name == "outcome.json":
                write_ending(Ending(State.DIED, "bookworm", "6.1.0", 125, "panic"), path.parent)
            elif path.name == "last":
                path.symlink_to(next(x for x in path.parent.iterdir() if x.is_dir()).name)
            else:
                path.touch()
        return tmp_path

    return make


RUN = "20260102T030405-1"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param(["results.json"], {".": "finished"}, id="the folder of a run"),
        pytest.param(
            ["b/results.json", "a/results.json", "notes.txt", "logs/x.log"],
            {"a": "finished", "b": "finished"},
            id="a folder of such",
        ),
        pytest.param(
            ["a/results.json", "b/outcome.json"], {"a": "finished", "b": "died"}, id="one died"
        ),
        pytest.param(["a/results.json", "b/"], {"a": "finished", "b": "missing"}, id="one missing"),
        pytest.param(
            [f"a/{RUN}/results.json", "a/last", f"b/{RUN}/results.json", "b/last"],
            {"a": "finished", "b": "finished"},
            id="a folder of .hairpin folders",
        ),
        pytest.param(
            [
                f"{RUN}/results.json",
                f"{RUN}2/results.json",
                f"{RUN}3/evidence/",
                "cache/v/",
                "last",
            ],
            {RUN: "finished", f"{RUN}2": "finished", f"{RUN}3": "missing"},
            id=".hairpin itself",
        ),
    ],
)
def test_found(tree, files, found):
    folder = tree(*files)
    columns = collect([folder])
    names = {"." if c.path == folder else c.name: c.ending.state.value for c in columns}
    assert names == {("bookworm" if v == "died" else k): v for k, v in found.items()}


def test_several_paths_in_their_order(tree):
    folder = tree("b/results.json", "a/results.json", "c/")
    paths = [folder / "b" / "results.json", folder / "c", folder / "a"]
    with pytest.raises(UsageError, match="c holds no run"):
        collect(paths)
    assert [c.name for c in collect([paths[0], paths[2]])] == ["b", "a"]


@pytest.mark.parametrize(
    ("files", "path", "complaint"),
    [
        (["a/results.json"], "b", "there is no such file or folder"),
        (["a/notes.txt"], ".", "holds no run"),
        (["a/outcome.json", "b/"], ".", "no results in"),
        (["results.json/"], ".", "cannot be read"),
    ],
)
def test_what_cannot_be_read(tree, files, path, complaint):
    with pytest.raises(UsageError, match=complaint):
        collect([tree(*files) / path])


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("results.json", '{"schema": "hairpin-res', "not JSON"),
        ("results.json", '{"schema": "hairpin-results/9"}', "its schema is"),
        ("outcome.json", "[]", "not how a run ended"),
    ],
)
def test_one_that_makes_no_sense_keeps_no_other_from_being_read(tree, file, text, reason):
    """Unless it was named itself."""
    folder = tree("a/results.json", f"b/{file}")
    (folder / "b" / file).write_text(text)
    good, bad = collect([folder])
    assert (good.ending.state, bad.ending.state) == (State.FINISHED, State.FAILED)
    assert reason in bad.ending.reason
    with pytest.raises(UsageError, match=reason):
        collect([folder / "a", folder / "b"])


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (0, State.FINISHED),
        (1, State.FINISHED),
        (2, State.INTERRUPTED),  # as pytest calls it, in documents from before
        (130, State.INTERRUPTED),
        (3, State.UNFIT),
    ],
)
def test_results_say_themselves_how_they_ended(tmp_path, column, status, state):
    run = column("6.1.0", "1", exit_status=status).run
    assert read_ending(tmp_path, run) == Ending(state, status=status)


def test_an_ending_comes_back_as_it_was_written(tmp_path):
    ending = Ending(State.TIMED_OUT, "debian:sid", "7.3.4", None, "no word for 60 s")
    write_ending(ending, tmp_path)
    assert read_ending(tmp_path, None) == ending


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "no schema"),
        ('{"schema": "hairpin-outcome/1"}', "state is missing"),
        ('{"schema": "hairpin-outcome/1", "state": "asleep"}', 'state: "asleep" is not one of'),
        ('{"schema": "hairpin-outcome/1", "state": "died", "status": -1}', "status: -1"),
    ],
)
def test_an_ending_that_makes_no_sense(tmp_path, text, complaint):
    (tmp_path / "outcome.json").write_text(text)
    with pytest.raises(UsageError, match=complaint):
        read_ending(tmp_path, None)
