"""What CI systems are told to do: it keeps to their schemas, and calls what there is."""

import configparser
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.cli import _parser
from harness.report.across import State

CHECKOUT = Path(__file__).parents[2]
GITHUB = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))
GITLAB = CHECKOUT / ".gitlab-ci.yml"
PLANS = sorted((CHECKOUT / "plans").rglob("*.fmf"))
ROLE = CHECKOUT / "fleet" / "roles" / "hairpin"
# Commands whose further arguments are pytest's.
HANDED_ON = ("run", "guests")


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def texts(value):
    """Every text in a document."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else ():
        yield from texts(part)
    for part in value if isinstance(value, list) else ():
        yield from texts(part)


def calls(path):
    """The words after each `hairpin` that is called in the document."""
    for text in texts(load(path)):
        for found in re.finditer(r"(?:\./|/bin/)hairpin +([^\n'&|;]+)", text):
            yield tuple(shlex.split(found[1]))


CALLS = sorted({(path, call) for path in (*GITHUB, GITLAB) for call in calls(path)})


def test_something_is_called():
    assert {call[0] for _, call in CALLS} >= {"run", "test", "vm"}


@pytest.mark.parametrize(
    "call", [pytest.param(call, id=f"{path.name}-{call[0]}") for path, call in CALLS]
)
def test_what_is_called_exists(call):
    command, *rest = call
    if command == "test":
        tox = configparser.ConfigParser()
        tox.read(CHECKOUT / "tox.ini")
        known = re.split(r",\s*", tox["tox"]["env_list"])
        assert set(rest) <= set(known)
    else:
        _, unknown = _parser().parse_known_args(call)
        assert not unknown or command in HANDED_ON
        files = [x for x in rest if x.endswith(".toml")]
        assert all((CHECKOUT / name).exists() for name in files)


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
def test_scripts_that_are_called_exist(path):
    scripts = {x for text in texts(load(path)) for x in re.findall(r"(?<=\s)\.ci/\w+", f" {text}")}
    assert all((CHECKOUT / x).stat().st_mode & 0o100 for x in scripts)


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        pytest.param("vendor.github-workflows", GITHUB, id="GitHub"),
        pytest.param("vendor.gitlab-ci", [GITLAB], id="GitLab"),
    ],
)
def test_schema(schema, paths):
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------------- plans of tmt


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans_can_be_read(path):
    assert load(path)


def test_tests_of_the_plans_call_what_there_is():
    (test,) = (
        value for key, value in load(CHECKOUT / "plans/tests/main.fmf").items() if key == "/run"
    )
    script, command = test["test"].split()
    assert (CHECKOUT / "plans" / "tests" / script).stat().st_mode & 0o100
    assert _parser().parse_args([command, "--output", "x"]).command == command


@pytest.fixture
def hand_over(tmp_path, monkeypatch):
    """``hand_over(status, {section: outcomes})``: results as tmt has them, name to result."""

    def make(status, sections=None):
        last = tmp_path / "hairpin" / "last"
        last.mkdir(parents=True)
        (tmp_path / "summary.txt").write_text("as it was said")
        monkeypatch.setenv("TMT_TEST_DATA", str(tmp_path))
        if sections is not None:
            records = [
                {"section": name, "outcome": outcome}
                for name, outcomes in sections.items()
                for outcome in outcomes
            ]
            document = {"kernel": "6.1.0", "backend": "tap", "records": records}
            (last / "results.json").write_text(json.dumps(document))
        monkeypatch.setattr(sys, "argv", ["hand_over.py", str(status)])
        runpy.run_path(str(CHECKOUT / "plans/tests/hand_over.py"), run_name="__main__")
        found = load(tmp_path / "results.yaml")
        assert found[0].get("log", ["summary.txt"])[0] == "summary.txt"
        return {x["name"]: x["result"] for x in found}

    return make


@pytest.mark.parametrize(
    ("outcomes", "result"),
    [
        (["as predicted", "documented otherwise", "holds"], "pass"),
        (["as predicted", "skipped"], "pass"),
        (["skipped", "skipped"], "skip"),
        (["error", "as predicted"], "error"),
        (["error", "differs"], "fail"),
        (["does not hold"], "fail"),
    ],
)
def test_a_section_is_a_result(hand_over, outcomes, result):
    found = hand_over(0, {"Unicast": ["as predicted"], "Group frames": outcomes})
    assert found == {"/": "pass", "/unicast": "pass", "/group-frames": result}


@pytest.mark.parametrize(
    ("status", "result"), [(0, "pass"), (1, "fail"), (2, "error"), (3, "skip"), (130, "error")]
)
def test_without_results_the_status_speaks(hand_over, status, result):
    assert hand_over(status) == {"/": result}


# ---------------------------------------------------------------------- the role for Ansible


def test_the_role_says_how_a_run_ended_in_our_words():
    states = {str(state) for state in State}
    assert set(load(ROLE / "vars" / "main.yml")["hairpin_states"].values()) <= states
    given = re.findall(r"hairpin_state: (\w+)", (ROLE / "tasks" / "main.yml").read_text())
    assert given
    assert set(given) <= states


@pytest.mark.parametrize("path", sorted(ROLE.rglob("*.yml")), ids=lambda path: path.stem)
def test_the_role_can_be_read(path):
    assert load(path)
