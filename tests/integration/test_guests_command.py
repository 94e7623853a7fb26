"""`hairpin guests` as a user has it: a domain of his own, a libvirtd that is there, mistakes.

guests a, b ── a libvirtd that is there ── link ── a switch that is not ours
"""

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from harness import Guest, Lower, Mode, Switch, Topology
from harness.errors import UnfitError
from harness.kernel import links
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family, find_program
from harness.kernel.sandbox import Sandbox
from harness.suite import suite_folder
from harness.testbed.wiring import Wiring

EXAMPLES = suite_folder() / "guests" / "examples"
VEPA = (EXAMPLES / "vepa.xml").read_text()
QBG = (EXAMPLES / "802.1Qbg.xml").read_text()
COMMAND = [sys.executable, "-m", "harness", "guests"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="real guests take root")


def hairpin_guests(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


@pytest.fixture(autouse=True, scope="module")
def able():
    """What every case here takes: without, the command says so and nothing else."""
    try:
        for program in ("libvirtd", "qemu-system-x86_64"):
            find_program(program)
        import harness.guests.daemon  # noqa: F401
    except UnfitError as error:
        pytest.skip(str(error))


# ---------------------------------------------------------------------- wrong domains


WRONG = {
    "mode misspelt": (VEPA.replace("vepa", "vepaa"), "3: interface/source/@mode: 'vepaa'"),
    "no source": (VEPA.replace("<source dev='eth0' mode='vepa'/>", ""), "2: interface"),
    "multicast MAC": (
        VEPA.replace("<source", "<mac address='01:00:00:00:00:01'/><source"),
        "3: interface/mac/@address: 01:00:00:00:00:01 is a multicast address",
    ),
    "reserved manager id": (QBG.replace('"11"', '"0"'), "@managerid: 0 is reserved"),
    "same MAC twice": (
        VEPA.replace("<source", "<mac address='02:00:00:00:00:01'/><source").replace(
            "</devices>",
            "<interface type='direct'><mac address='02:00:00:00:00:01'/>"
            "<source dev='eth0' mode='vepa'/></interface></devices>",
        ),
        "02:00:00:00:00:01",
    ),
    "entities": ('<!DOCTYPE d [<!ENTITY a "b">]><domain>&a;</domain>', "document type"),
    "no XML": ("interface: direct", "this is not XML"),
    "too large": (VEPA + " " * 2_000_000, "too large"),
    "nothing to try": ("<domain type='qemu'><devices/></domain>", "none of type 'direct'"),
}


@as_root
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_domain(tmp_path, wrong):
    """File, line and element, exit status 2, and no guest is started."""
    text, said = WRONG[wrong]
    file = tmp_path / "guest.xml"
    file.write_text(text)
    finished = hairpin_guests("--domain", file, cwd=tmp_path)
    assert finished.returncode == 2
    assert f"hairpin: {file}" in finished.stderr
    assert said in finished.stderr
    assert not (tmp_path / ".hairpin").exists()


@as_root
def test_one_instance_in_two_domains(tmp_path):
    """Domains that are tried together are checked together."""
    files = [tmp_path / name for name in ("first.xml", "second.xml")]
    for file in files:
        file.write_text(QBG)
    finished = hairpin_guests("--domain", files[0], "--domain", files[1], cwd=tmp_path)
    assert finished.returncode == 2
    assert f"hairpin: {files[1]}" in finished.stderr
    assert f"this is the instance of {files[0]}" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--map", "eth0"], 2, "it takes DEV=LINK"),
        (["--domain", "no-such-file.xml"], 2, "there is no such file"),
        (["--connect", "qemu:///system"], 2, "--connect and --link go together"),
        (["--connect", "qemu+ssh://far/system", "--link", "lo"], 2, "is elsewhere"),
        (["--connect", "qemu+unix:///system?socket=/none", "--link", "lo"], 3, "No such file"),
    ],
    ids=["map", "no file", "connect alone", "elsewhere", "unreachable"],
)
@as_root
def test_wrong_words(tmp_path, arguments, status, said):
    finished = hairpin_guests(*arguments, cwd=tmp_path)
    assert (finished.returncode, said in finished.stderr) == (status, True), finished.stderr


@as_root
def test_without_qemu(tmp_path):
    """All that is missing at once, with the packages."""
    finished = hairpin_guests(cwd=tmp_path, env={"PATH": str(tmp_path), "HOME": str(tmp_path)})
    # libvirtd is found in /usr/sbin, where administrators' programs are.
    assert finished.returncode == 3
    assert "there is no qemu-system-x86_64 here" in finished.stderr
    assert "apt install --no-install-recommends qemu-system-x86" in finished.stderr


@as_root
def test_no_room_for_the_image(tmp_path):
    """A cache folder without room: what is the matter and what to do."""
    with (
        Family() as family,
        NetNS.current() as here,
        Sandbox(here, hostname="small", folders=("/mnt",)) as sandbox,
    ):
        small = ["mount", "-t", "tmpfs", "-o", "size=100k", "small", "/mnt"]
        family.run(here, small, sandbox=sandbox).checked()
        finished = family.run(
            here,
            COMMAND,
            environment=os.environ | {"XDG_CACHE_HOME": "/mnt"},
            sandbox=sandbox,
            timeout=120,
        )
    assert finished.status == 3, finished
    assert "No space left on device" in finished.stderr
    assert "XDG_CACHE_HOME" in finished.stderr


# ---------------------------------------------------------------------- a libvirtd that is there


@contextmanager
def somebody(topology):
    """A machine with a libvirtd; what runs there as a user would run it, and its namespace."""
    from harness.guests.daemon import Libvirtd

    with ExitStack() as undo:
        wiring = undo.enter_context(Wiring(topology))
        wiring.build()
        family = undo.enter_context(Family())
        libvirtd = undo.enter_context(Libvirtd(family, wiring.host))

        def trial(link):
            arguments = ["--connect", "qemu:///system", "--link", link]
            return family.run(
                wiring.host, [*COMMAND, *arguments], sandbox=libvirtd.sandbox, timeout=90
            )

        yield trial, wiring


@as_root
@pytest.mark.parametrize(
    ("hairpin", "said", "vepa"),
    [(True, "sends frames back", "✓      ✓          ✓"), (False, "sends nothing back", "–      –")],
    ids=["hairpin", "no hairpin"],
)
def test_what_a_switch_does(hairpin, said, vepa):
    """The switch is found out by guests in vepa mode; the link is as it was."""
    with somebody(Topology(switch=Switch(hairpin=hairpin))) as (trial, wiring):
        before = links_of(wiring)
        finished = trial("lower")
        assert finished.status == 0, finished
        assert said in finished.stdout
        assert f"vepa     {vepa}" in finished.stdout
        assert links_of(wiring) == before


def links_of(wiring):
    from harness.kernel.linkstate import link_state

    names = [link.get_attr("IFLA_IFNAME") for link in wiring.host.rtnl.links()]
    return {name: link_state(wiring.host, name) for name in names}


def down(wiring):
    request = links.set_link("lower", index=wiring.index["lower"], up=False)
    wiring.host.rtnl.transact([request])


def port(wiring):
    enslave = links.set_attributes(
        "lower", index=wiring.index["lower"], attributes=[("IFLA_MASTER", 99)]
    )
    wiring.host.rtnl.transact([links.add_bridge("br0", index=99), enslave])


def taken(wiring):
    guest = Guest("theirs", Mode.PASSTHRU, mac=wiring.topology.lower("lower").mac)
    wiring.index["theirs"] = 98
    request = links.add_macvtap(guest, index=98, lower=wiring.index["lower"])
    wiring.host.rtnl.transact([request])


@as_root
@pytest.mark.parametrize(
    ("spoil", "link", "said"),
    [
        (None, "eth7", "there is no link eth7 here; there are: lower"),
        (down, "lower", "lower is down; ip link set lower up"),
        (port, "lower", "lower is a port of br0, and a port cannot carry macvtaps"),
        (taken, "lower", "theirs, in passthru mode, has lower for itself"),
    ],
    ids=["missing", "down", "bridge port", "in passthru"],
)
def test_link_that_cannot(spoil, link, said):
    """Told before any guest is started, and left as it is."""
    with somebody(Topology(lowers=[Lower()])) as (trial, wiring):
        if spoil:
            spoil(wiring)
        before = links_of(wiring)
        finished = trial(link)
        assert (finished.status, said in finished.stderr) == (3, True), finished
        assert links_of(wiring) == before
