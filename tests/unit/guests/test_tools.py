"""How interfaces are spelled for the tools, and what their refusals and findings say."""

import socket
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from harness.errors import UnfitError
from harness.guests import DirectInterface, LinkState, VirtualPort, VirtualPortType
from harness.guests.tools import FINDINGS, network_option, remedy
from harness.guests.tools.desktop import reader
from harness.guests.tools.desktop.reader import Widget
from harness.guests.tools.desktop.virtmanager import _page
from harness.kernel.processes import find_program
from harness.parts import Mode

INSTANCE = UUID("09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f")
REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("nic", "option"),
    [
        pytest.param(
            DirectInterface(source="eth0"), "type=direct,source=eth0,source.mode=vepa", id="least"
        ),
        pytest.param(
            DirectInterface(source="eth0", mode=Mode.PASSTHRU),
            "type=direct,source=eth0,source.mode=passthrough",
            id="libvirts-word",
        ),
        pytest.param(
            DirectInterface(source="a,b", link=LinkState.DOWN),
            "type=direct,source=a,,b,source.mode=vepa,link.state=down",
            id="comma",
        ),
        pytest.param(
            DirectInterface(
                source="eth0.2",
                virtualport=VirtualPort(
                    type=VirtualPortType.QBG,
                    manager_id=0,
                    type_id=1193047,
                    type_version=2,
                    instance_id=INSTANCE,
                ),
            ),
            "type=direct,source=eth0.2,source.mode=vepa,virtualport.type=802.1Qbg,"
            "virtualport.parameters.managerid=0,virtualport.parameters.typeid=1193047,"
            "virtualport.parameters.typeidversion=2,"
            f"virtualport.parameters.instanceid={INSTANCE}",
            id="Qbg-nought-is-said",
        ),
        pytest.param(
            DirectInterface(
                source="eth0",
                mode=Mode.PRIVATE,
                virtualport=VirtualPort(type=VirtualPortType.QBH, profile_id="finance"),
            ),
            "type=direct,source=eth0,source.mode=private,virtualport.type=802.1Qbh,"
            "virtualport.parameters.profileid=finance",
            id="Qbh",
        ),
    ],
)
def test_network_option(nic, option):
    """Facts as virt-install takes them."""
    assert network_option(nic) == option


@pytest.mark.parametrize(
    ("said", "helps"),
    [
        ("ERROR    Unknown --network options: ['mode']", "source.mode=MODE"),
        ("error: Invalid source mode: bridge", "attach-device"),
        ("unable to change config on 'direct' network type", "detach"),
        ("Unable to get index for interface eth9: No such device", "no link of this host"),
        ("error creating macvtap interface macvtap1@eth0: Invalid argument", "passthrough"),
        ("Domain not found: no domain with matching name", ""),
    ],
)
def test_remedy(said, helps):
    """A known refusal has its remedy, an unknown one none."""
    assert helps in remedy(said)
    assert bool(remedy(said)) is bool(helps)


@pytest.mark.parametrize(
    ("program", "package"),
    [
        ("virt-install", "virtinst"),
        ("virt-xml", "virtinst"),
        ("virsh", "libvirt-clients"),
        ("virt-manager", "virt-manager"),
        ("Xvfb", "xvfb"),
        ("openbox", "openbox"),
        ("dbus-daemon", "dbus-daemon"),
        ("import", "imagemagick"),
    ],
)
def test_missing_program(program, package, monkeypatch, tmp_path):
    """What is not installed is asked for by its package's name."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnfitError, match=f"there is no {program} here; apt install {package}$"):
        find_program(program)


def test_driver_without_bindings():
    """The driver says what it lacks rather than ending with a traceback."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        # Without site packages: no Python has gi then.
        command = [sys.executable, "-I", "-S", str(reader._DRIVER), str(theirs.fileno())]
        subprocess.run(command, pass_fds=[theirs.fileno()], check=True, timeout=20)
        theirs.close()
        assert ours.makefile().read() == '{"unfit": "No module named \'gi\'"}\n'


def widget(role, text="", **more):
    facts = {"name": text, "label": "", "chosen": "", "checked": False, "enabled": True}
    return Widget(**{"depth": 0, "role": role, "text": text, **facts, **more})


def test_page_from_its_widgets():
    """The form's values are found by their labels."""
    page = _page(
        [
            widget("label", "Device name:"),
            widget("text", "low0", label="Device name:"),
            widget("combo box", name="net-source", chosen="Macvtap device..."),
            widget("combo box", name="virtio", label="Device model:"),
            widget("label", "52:54:00:00:00:01"),
            widget("check box", "active", checked=True),
        ],
        ["Macvtap device..."],
    )
    assert (page.source, page.device, page.model) == ("Macvtap device...", "low0", "virtio")
    assert (page.mac, page.link) == ("52:54:00:00:00:01", True)


def test_page_of_something_else():
    """A page without a macvtap's fields has empty ones."""
    page = _page([widget("label", "Virtual Network Interface")], [])
    assert (page.source, page.device, page.model, page.mac, page.link) == ("", "", "", "", False)


def test_every_finding_has_its_test():
    """A finding names a case that shows it, and the documents tell of it."""
    tests = REPOSITORY / "tests" / "integration"
    cases = "".join(
        (tests / f"test_{name}.py").read_text()
        for name in ("guest_tools", "guest_virsh", "virt_manager")
    )
    assert len({x.key for x in FINDINGS}) == len(FINDINGS)
    for finding in FINDINGS:
        assert f"def {finding.test}(" in cases, finding.key
