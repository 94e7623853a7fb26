"""Files of kernels: what may stand in one, and what is said of the rest."""

from pathlib import Path

import pytest

from harness.cli import _parser
from harness.errors import UsageError
from harness.machines.kernel import catalogue
from harness.machines.kernelsfile import load_kernels
from harness.vming import _settle

CHECKOUT = Path(__file__).parents[3]
WHOLE = """
kernels = ["debian:bookworm", "./linux", "/usr/src/linux"]
command = ["hairpin", "run", "-k", "broadcast or unicast"]
jobs = 3
timeout = 1200
boot_timeout = 120
memory = 512
cpus = 2
"""


@pytest.fixture
def settled(tmp_path):
    """``settled(text, "--cpus 4")``: what holds after the file and the words of the line."""

    def make(text, words=""):
        path = tmp_path / "kernels.toml"
        path.write_text(text)
        arguments = _parser().parse_args(["vm", "--matrix", str(path), *words.split()])
        arguments.inside = ()
        _settle(arguments)
        return arguments

    return make


def test_what_it_says(settled, tmp_path):
    """Folders are looked for beside the file."""
    found = settled(WHOLE)
    assert found.kernels == ["debian:bookworm", str(tmp_path / "linux"), "/usr/src/linux"]
    assert found.inside == ("hairpin", "run", "-k", "broadcast or unicast")
    assert (found.jobs, found.timeout, found.boot_timeout) == (3, 1200, 120)
    assert (found.memory, found.cpus) == (512, 2)


def test_what_it_does_not_say_is_as_usual(settled):
    found = settled('kernels = ["debian:sid"]')
    assert (found.jobs, found.timeout, found.memory, found.cpus) == (None, 900, 1024, None)
    assert found.inside == ()


def test_the_command_line_goes_before(settled):
    """And its kernels come behind the file's."""
    found = settled(WHOLE, "--cpus 4 --timeout 7 debian:sid debian:bookworm")
    assert (found.cpus, found.timeout, found.memory) == (4, 7, 512)
    assert found.kernels[-1] == "debian:sid"
    assert found.kernels.count("debian:bookworm") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ":1: kernels: names none; allowed: kernels = "),
        ("kernels = []", ":1: kernels: names none"),
        ("\nkernels = 'debian:sid'", ":2: kernels: 'debian:sid' is none; allowed: a list of words"),
        ("kernels = ['']", "a list of words"),
        ("kernels = ['a']\ncpus = 0", ":2: cpus: 0 is none; allowed: a whole number, 1 and more"),
        ("kernels = ['a']\njobs = true", ":2: jobs: True is none"),
        ("kernels = ['a']\nmemory = '1G'", ":2: memory: '1G' is none"),
        ("kernels = ['a']\ncommand = 'hairpin run'", ":2: command: 'hairpin run' is none"),
        ("kernels = ['a', 'b', 'a']", "kernels: a stands there twice"),
        ("kernels = ['a']\nkernel = ['b']", ":2: kernel: no such key; allowed: kernels, command"),
        ("kernels = [", ":1: syntax: "),
    ],
)
def test_what_makes_no_sense(tmp_path, text, says):
    path = tmp_path / "k.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_kernels(path)
    assert f"{path}" in str(caught.value)
    assert says in str(caught.value)


def test_one_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"none\.toml:1: file: cannot be read: No such file"):
        load_kernels(tmp_path / "none.toml")


def test_the_one_that_comes_with_hairpin():
    """Seven kernels at least, each of another release; they are run as the suite is run."""
    file = load_kernels(CHECKOUT / "kernels.toml")
    assert len(file.kernels) >= 7
    assert {word.partition("=")[0] for word in file.kernels} <= {x.name for x in catalogue()}
    assert file.command[:2] == ("hairpin", "run")
