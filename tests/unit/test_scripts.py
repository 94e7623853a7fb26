"""Scripts for the shell: what shellcheck says of them, and that they say what they lack."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FOLDERS = (".", ".ci", "harness/machines", "plans/tests", "vagrant")


def is_shell_script(path):
    if not path.is_file():
        return False
    with path.open("rb") as file:
        first = file.readline()
    return first.startswith(b"#!") and b"sh" in first.split(b"/")[-1]


SCRIPTS = sorted(
    x for folder in FOLDERS for x in (CHECKOUT / folder).iterdir() if is_shell_script(x)
)


def test_scripts_are_found():
    found = {str(path.relative_to(CHECKOUT)) for path in SCRIPTS}
    assert found >= {"hairpin", ".ci/run", "plans/tests/run.sh", "vagrant/make-box"}


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck: apt install shellcheck")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script):
    said = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert not said.stdout + said.stderr


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((), id="nothing"),
        pytest.param(("box",), id="not a .box"),
        pytest.param(("a.box", "bookworm", "more"), id="too much"),
    ],
)
def test_make_box_is_called_wrongly(tmp_path, words):
    done = make_box(tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr == "usage: vagrant/make-box FILE.box [RELEASE]\n"


def test_make_box_names_the_packages_that_are_missing(tmp_path):
    (tmp_path / "uname").write_text("#!/bin/sh\necho x86_64\n")
    (tmp_path / "uname").chmod(0o755)
    done = make_box(tmp_path, "a.box", path=str(tmp_path))
    assert done.returncode == 3
    assert "apt install --no-install-recommends" in done.stderr


def make_box(folder, *words, path="/usr/bin:/bin"):
    command = ["/bin/sh", CHECKOUT / "vagrant" / "make-box", *words]
    return subprocess.run(
        command, env={"PATH": path}, cwd=folder, capture_output=True, text=True, check=False
    )
