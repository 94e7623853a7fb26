"""Whether we are the command of a machine: told by the port that only a machine of ours has."""

import pytest

from harness.machines.inside import in_machine
from harness.machines.qemu import Ports


@pytest.fixture
def ports(tmp_path):
    """``ports(*names)``: a folder as /sys/class/virtio-ports."""

    def make(*names):
        for number, name in enumerate(names):
            port = tmp_path / f"vport0p{number}"
            port.mkdir()
            (port / "name").write_text(f"{name}\n")
        return tmp_path

    return make


@pytest.mark.parametrize(
    "names", [[], ["org.qemu.guest_agent.0"]], ids=["no ports", "somebody else's"]
)
def test_other_machines(ports, names):
    assert not in_machine(ports(*names))


def test_ours(ports):
    """The port is called as QEMU is told to call it."""
    with Ports() as made:
        told = ",".join(made.arguments).split(",")
    named = [word.removeprefix("name=") for word in told if word.startswith("name=")]
    assert in_machine(ports(*named))


def test_without_such_devices(tmp_path):
    assert not in_machine(tmp_path / "none")
