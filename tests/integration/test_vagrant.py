"""The Vagrantfile: Vagrant finds it in order, and it says what is set wrongly.

That machines come up and run the suite takes minutes: vagrant/prove.py proves it.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

VAGRANT = Path(__file__).parents[2] / "vagrant"

pytestmark = pytest.mark.skipif(
    not shutil.which("vagrant"), reason="no vagrant here: apt install vagrant vagrant-libvirt"
)


@pytest.fixture
def vagrant(tmp_path):
    """``vagrant(*words, **variables)``: with a home of its own, to its end."""

    def run(*words, **variables):
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("HAIRPIN_")
        }
        environment |= {
            "VAGRANT_HOME": str(tmp_path / "home"),
            "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
        }
        return subprocess.run(
            ["vagrant", *words],
            cwd=VAGRANT,
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.mark.parametrize("accelerator", ["kvm", "tcg"])
def test_it_is_valid(vagrant, tmp_path, accelerator):
    """With every variable set, so that all of it is read."""
    (tmp_path / "my.box").touch()
    (tmp_path / "some-1-py3-none-any.whl").touch()
    done = vagrant(
        "validate",
        HAIRPIN_ACCELERATOR=accelerator,
        HAIRPIN_BOX=str(tmp_path / "my.box"),
        HAIRPIN_WHEELS=str(tmp_path),
        HAIRPIN_ARGUMENTS="-k broadcast",
    )
    if "No usable default provider" in done.stderr:
        pytest.skip("Vagrant has no provider here: apt install vagrant-libvirt")
    assert done.returncode == 0, done.stderr
    assert "validated successfully" in done.stdout


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"HAIRPIN_ACCELERATOR": "xen"}, "HAIRPIN_ACCELERATOR is xen: it can be kvm or tcg"),
        ({"HAIRPIN_BOX": "/none/my.box"}, "there is no /none/my.box; vagrant/make-box makes one"),
        ({"HAIRPIN_WHEELS": "/none"}, "there are no wheels in /none; docs/vagrant.md says which"),
    ],
    ids=["accelerator", "box", "wheels"],
)
def test_what_is_set_wrongly_is_said(vagrant, variables, said):
    done = vagrant("validate", **variables)
    assert done.returncode != 0
    assert said in done.stderr
    assert ".rb:" not in done.stderr, "no trace"
