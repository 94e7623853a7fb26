"""The playbook over an inventory: hosts with sshd, and one matrix of what they did.

             .-- alpha    fit
 controller -+-- bravo    fit
             |-- charlie  its Python fails
             '   delta    nobody is there

Hosts are network namespaces with files of their own; no packet leaves them, and neither they nor
the controller have a way to a network: wheels come from a folder that is filled beforehand.
"""

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.kernel import links
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family
from harness.kernel.procnet import listening
from harness.kernel.sandbox import Sandbox

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        find_spec("ansible") is None, reason="no ansible-core here: pip install 'hairpin[fleet]'"
    ),
]

CHECKOUT = Path(__file__).parents[2]
PYTHON = "/usr/bin/python3"  # of the hosts
# One file of the suite: collecting all of it takes longer than this runs.
ARGUMENTS = [str(CHECKOUT / "tests" / "conformance" / "test_unicast.py"), "-k", "guest_to_guest"]
HOSTS = ("alpha", "bravo", "charlie")
NOBODY = "10.99.9.2"
SPECIAL = {"charlie": {"hairpin_python": "false", "hairpin_packages": ["no-such-package"]}}
PRIVATE = ("/root", "/srv", "/var/log")
SSHD = """\
HostKey {folder}/key
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PidFile none
PasswordAuthentication no
Subsystem sftp internal-sftp
"""
# /proc of the machine would show others' processes under our numbers.
START = "mkdir /run/sshd && mount -t proc proc /proc && exec {sshd} -De -f {config}"


def needs(*programs):
    for name in programs:
        if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
            pytest.skip(f"no {name} here")
    usable = "import sys, venv; sys.exit(sys.version_info < (3, 11))"
    if subprocess.run([PYTHON, "-Ic", usable], check=False, capture_output=True).returncode:
        pytest.skip(f"{PYTHON} is none, or older than 3.11")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """All that a host installs, as the playbook would build it."""
    folder = tmp_path_factory.mktemp("wheels")
    made = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "-w", str(folder), str(CHECKOUT), "pip"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"pip makes no wheels here: {made.stderr.strip()[-200:]}")
    return folder


@pytest.fixture
def fleet(tmp_path):
    """``fleet(variables)`` runs the playbook, and gives how it ended and the folder of results."""
    needs("sshd", "ssh", "ssh-keygen", "tar")
    with ExitStack() as undo:
        family = undo.enter_context(Family())
        controller = undo.enter_context(NetNS.create())
        keys = ["ssh-keygen", "-qted25519", "-N", "", "-f", str(tmp_path / "key")]
        family.run(controller, keys).checked()
        config = tmp_path / "sshd_config"
        config.write_text(SSHD.format(folder=tmp_path))
        start = START.format(sshd=shutil.which("sshd", path="/usr/sbin:/sbin"), config=config)
        hosts = {"delta": {"ansible_host": NOBODY}}
        waits = []
        for number, name in enumerate(HOSTS, 2):
            ns = undo.enter_context(NetNS.create())
            hosts[name] = {"ansible_host": plug(controller, ns, number)} | SPECIAL.get(name, {})
            sandbox = undo.enter_context(Sandbox(ns, hostname=name, folders=PRIVATE))
            sshd = family.spawn(ns, ["sh", "-c", start], sandbox=sandbox)
            waits.append(partial(sshd.wait_until, listening(ns, 22)))
        for wait in waits:
            wait()
        yield partial(play, family, controller, tmp_path, hosts)


def plug(controller, ns, number):
    """A link between the controller and a host; the host's address."""
    wire = links.add_veth(f"host{number}", index=number, peer="eth0", peer_index=2, peer_ns=ns.fd)
    controller.rtnl.transact([wire, links.add_address(f"10.99.{number}.1", 24, index=number)])
    ns.rtnl.transact(
        [
            links.set_link("lo", index=1, up=True),
            links.set_link("eth0", index=2, up=True),
            links.add_address(f"10.99.{number}.2", 24, index=2),
        ]
    )
    return f"10.99.{number}.2"


def play(family, controller, folder, hosts, wheels, **settings):
    results = folder / "results"
    variables = {
        "hairpin_wheels": str(wheels),
        "hairpin_build": str(folder / "build"),
        "hairpin_results": str(results),
        "hairpin_command": [sys.executable, "-m", "harness"],
        "hairpin_folder": "/srv/hairpin",
        "hairpin_python": PYTHON,
        "ansible_python_interpreter": PYTHON,  # else it is looked for, host by host
        "ansible_user": "root",
        "ansible_remote_tmp": "/run/ansible",
        "ansible_ssh_private_key_file": str(folder / "key"),
        "ansible_ssh_common_args": "-F none -o StrictHostKeyChecking=no "
        "-o UserKnownHostsFile=/dev/null -o ConnectTimeout=5",
        **settings,
    }
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"all": {"vars": variables, "hosts": hosts}}))
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(CHECKOUT / "fleet" / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "ansible" / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder.parent / "cp"),  # a socket has a short path
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    command = [
        *(sys.executable, "-m", "ansible", "playbook", "-i", str(inventory)),
        str(CHECKOUT / "fleet" / "hairpin.yml"),
    ]
    done = family.spawn(controller, command, environment=environment).wait(240)
    return done, results


def test_every_host_is_a_column_whatever_became_of_it(fleet, wheels):
    """Two ran the suite; one failed on the way, one was not there."""
    done, results = fleet(wheels, hairpin_arguments=ARGUMENTS)
    said = done.stdout + done.stderr
    assert done.status != 0, said
    document = json.loads((results / "matrix.json").read_text())
    runs = {run["label"]: run for run in document["runs"]}
    assert {name: run["state"] for name, run in runs.items()} == {
        "alpha": "finished",
        "bravo": "finished",
        "charlie": "failed",
        "delta": "failed",
    }, said
    assert "Install a Python" in runs["charlie"]["reason"]
    assert "could not be reached" in runs["delta"]["reason"]
    assert document["counts"] == {"alike": 18, "differs": 0, "not everywhere": 0}, said
    assert (results / "alpha" / "junit.xml").exists()
    assert "No difference, 18 alike in 4 runs. 2 runs of 4 not whole." in said
