"""virt-manager, worked as a user works it: what its NIC page shows, and what becomes of a change.

screen ── virt-manager ──► libvirtd ──► guest [macvtap]── low0 ── switch
  ▲                                                   low1 ── switch
a reader of AT-SPI, as people who do not see have one
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from harness.errors import CommandError, UnfitError
from harness.parts import Mode

pytest.importorskip("lxml")
from harness.guests import (
    DirectInterface,
    LinkState,
    VirtualPort,
    VirtualPortType,
    dump_interface,
    parse_domain,
)
from harness.guests.seen import differences
from harness.guests.tools import Screen, VirtManager
from harness.guests.tools.desktop import reader
from harness.kernel.processes import find_program
from harness.kernel.waiting import look_until

pytestmark = pytest.mark.root

MAC = "52:54:00:78:00:01"
NIC = DirectInterface(source="low0", mac=MAC, model="virtio")
QBG = VirtualPort(
    type=VirtualPortType.QBG,
    manager_id=11,
    type_id=1193047,
    type_version=2,
    instance_id=UUID("09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"),
)
QBH = VirtualPort(type=VirtualPortType.QBH, profile_id="finance")
LATER = "These changes will take effect after the next guest shutdown."


@pytest.fixture(scope="module")
def screen(desk):
    try:
        find_program("virt-manager")
        with Screen(desk.toolbox) as screen:
            yield screen
    except UnfitError as error:
        pytest.skip(str(error))


@pytest.fixture
def window(screen):
    """``window(guest)``: virt-manager with the guest's NIC page open."""
    opened = []

    def show(guest):
        opened.append(VirtManager(screen, guest.name))
        opened[-1].open_nic(MAC)
        return opened[-1]

    yield show
    for manager in opened:
        manager.close()


def defined(guest):
    """The NIC as the guest's next start has it, as facts that can be compared."""
    return parse_domain(guest.xml(inactive=True)).direct[0]


def live(guest):
    return guest.domain.direct[0]


def edited(window, **changes):
    """The NIC in the XML tab, with these changes written into it."""
    nic = parse_domain(window.xml).direct[0]
    window.write_xml(dump_interface(replace(nic, **changes)))


# ---------------------------------------------------------------------- what is shown


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU])
@pytest.mark.parametrize("link", LinkState)
def test_page_shows_the_nic(window, guest, mode, link):
    """A direct interface is a "Macvtap device…" with name, model, address and link state."""
    page = window(guest(replace(NIC, mode=mode, link=link), running=False)).nic()
    assert page.source == "Macvtap device..."
    assert (page.device, page.model, page.mac) == ("low0", "virtio", MAC)
    assert page.link is (link is LinkState.UP)


@pytest.mark.parametrize("port", [QBG, QBH], ids=lambda x: x.type)
def test_page_has_no_mode_and_no_virtual_port(window, guest, port):
    """The guide's source mode and Virtual port submenu: neither is there, by whatever name."""
    manager = window(guest(replace(NIC, virtualport=port), running=False))
    shown = " ".join((*manager.nic().labels, *manager.nic().sources, *manager.words)).lower()
    assert "device name" in shown
    for word in ("mode", "vepa", "virtual port", "virtualport", "vsi", "802.1", "profile"):
        assert word not in shown.replace("device model", ""), word


def test_page_offers_no_device_to_choose(window, guest):
    """The guide's "host device: macvtap" entries are one entry, and a name to write."""
    assert window(guest(NIC, running=False)).nic().sources == (
        "Bridge device...",
        "Macvtap device...",
    )


# ---------------------------------------------------------------------- the form


@pytest.mark.parametrize("mode", [Mode.VEPA, Mode.PRIVATE, Mode.PASSTHRU])
def test_device_name_resets_the_mode(window, guest, mode):
    """Another Device name makes bridge of whatever mode there was; the virtual port stays."""
    changed = guest(replace(NIC, mode=mode, virtualport=QBG), running=False)
    manager = window(changed)
    manager.set_device("low1")
    assert manager.apply() is None
    assert defined(changed) == replace(NIC, source="low1", mode=Mode.BRIDGE, virtualport=QBG)


def test_device_that_is_not_there_is_taken(window, guest):
    """No link of that name: the form takes it, and libvirt refuses the start."""
    changed = guest(NIC, running=False)
    manager = window(changed)
    manager.set_device("none0")
    assert manager.apply() is None
    assert defined(changed).source == "none0"


def test_form_of_a_running_guest(window, guest, desk):
    """A new Device name is for the next start; then the kernel has it, in mode bridge."""
    changed = guest(NIC)
    manager = window(changed)
    manager.set_device("low1")
    assert str(manager.apply()) == LATER
    manager.dismiss("OK")
    assert differences(desk.host, NIC) == []
    assert live(changed).mode is Mode.VEPA
    assert manager.nic().device == "low0"  # the page shows what runs
    changed.destroy()
    changed.handle.create()
    assert differences(desk.host, replace(NIC, source="low1", mode=Mode.BRIDGE)) == []


def test_link_state_of_a_running_guest(window, guest, desk):
    """The link state is changed at once, and for the next start."""
    changed = guest(NIC)
    manager = window(changed)
    manager.toggle_link()
    assert manager.apply() is None
    assert live(changed).link is LinkState.DOWN
    assert defined(changed) == replace(NIC, link=LinkState.DOWN)
    assert differences(desk.host, NIC) == []


# ---------------------------------------------------------------------- the XML tab


@pytest.mark.parametrize("mode", [Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU])
def test_mode_in_the_xml_tab(window, guest, desk, mode):
    """A mode written there arrives in the XML and, at the start, in the kernel."""
    changed = guest(NIC, running=False)
    manager = window(changed)
    edited(manager, mode=mode)
    assert manager.apply() is None
    assert defined(changed) == replace(NIC, mode=mode)
    changed.handle.create()
    assert differences(desk.host, replace(NIC, mode=mode)) == []


@pytest.mark.parametrize("port", [QBG, QBH], ids=lambda x: x.type)
def test_virtual_port_in_the_xml_tab(window, guest, port):
    """A virtual port written there arrives in the XML. (A start takes lldpad, or such a NIC.)"""
    changed = guest(NIC, running=False)
    manager = window(changed)
    edited(manager, virtualport=port)
    assert manager.apply() is None
    assert defined(changed) == replace(NIC, virtualport=port)


@pytest.mark.parametrize(
    ("wrong", "right", "says"),
    [
        pytest.param(
            'mode="vepa"', 'mode="bogus"',
            "Invalid value for attribute 'mode' in element 'source': 'bogus'", id="mode",
        ),
        pytest.param(
            'managerid="11"', 'managerid="999"', "value of managerid out of range", id="managerid"
        ),
        pytest.param(
            'dev="low0" ', "", "Missing required attribute 'dev' in element 'source'",
            id="no-device",
        ),
        pytest.param("</interface>", "", "xmlParseDoc() failed", id="not-xml"),
    ],
)  # fmt: skip
def test_refused_xml(window, guest, wrong, right, says):
    """What libvirt refuses comes as a dialog with libvirt's words; what was defined stays."""
    nic = replace(NIC, virtualport=QBG)
    changed = guest(nic, running=False)
    manager = window(changed)
    text = manager.xml
    assert wrong in text
    manager.write_xml(text.replace(wrong, right))
    assert says in " ".join(str(manager.apply()).split())
    manager.dismiss()
    manager.cancel()
    assert manager.xml == text
    assert defined(changed) == nic


def test_xml_of_a_running_guest(window, guest, desk):
    """A mode for a running guest is for its next start."""
    changed = guest(NIC)
    manager = window(changed)
    edited(manager, mode=Mode.PRIVATE)
    assert str(manager.apply()) == LATER
    manager.dismiss("OK")
    assert differences(desk.host, NIC) == []
    assert live(changed).mode is Mode.VEPA
    assert defined(changed) == replace(NIC, mode=Mode.PRIVATE)


def test_second_change_of_a_running_guest_undoes_the_first(window, guest):
    """The XML tab shows what runs, so that writing it back takes away what is waiting."""
    changed = guest(NIC)
    manager = window(changed)
    edited(manager, mode=Mode.PRIVATE)
    manager.apply()
    manager.dismiss("OK")
    edited(manager, model="e1000")
    manager.apply()
    manager.dismiss("OK")
    assert defined(changed).mode is Mode.VEPA


@pytest.mark.parametrize(
    ("button", "mode"), [("Yes", Mode.BRIDGE), ("No", Mode.VEPA)], ids=lambda x: x
)
def test_leaving_what_is_not_applied(window, guest, button, mode):
    """Going elsewhere asks whether to apply."""
    changed = guest(NIC, running=False)
    manager = window(changed)
    edited(manager, mode=Mode.BRIDGE)
    manager.leave()
    assert "unapplied changes" in str(manager.dialog())
    manager.dismiss(button)
    manager.open_nic(MAC)
    assert defined(changed).mode is mode


# ---------------------------------------------------------------------- what goes wrong


def test_no_such_guest(screen):
    """virt-manager shows an error where a guest was asked for that is not there."""
    with pytest.raises(CommandError, match="hw-list") as caught:
        VirtManager(screen, "nobody", within=5)
    assert "nobody" in str(caught.value)


def test_without_the_bindings(screen, tmp_path, monkeypatch):
    """Python without gi: which packages bring it."""
    driver = tmp_path / "driver.py"
    driver.write_text(reader._DRIVER.read_text().replace("import gi", "import no_such_gi as gi"))
    monkeypatch.setattr(reader, "_DRIVER", driver)
    with pytest.raises(UnfitError, match=r"apt install python3-gi gir1\.2-atspi-2\.0"):
        reader.Reader(screen)


def test_what_is_not_shown(window, guest):
    """What does not show up is named, after its time, and the window goes on."""
    manager = window(guest(NIC, running=False))
    with pytest.raises(CommandError, match='Source mode:"'):
        manager.reader.wait({"role": "combo box", "label": "Source mode:"}, within=0.3)
    assert manager.nic().device == "low0"


SESSION = """
from contextlib import ExitStack
from harness.guests.daemon import Libvirtd
from harness.guests.tools import Screen, Toolbox, VirtManager
from harness.kernel.links import add_veth
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family

with ExitStack() as stack:
    family, host = stack.enter_context(Family()), stack.enter_context(NetNS.create())
    switch = stack.enter_context(NetNS.create())
    peer = {"peer": "low0", "peer_index": 2000, "peer_ns": switch.fd}
    host.rtnl.transact([add_veth("low0", index=40, **peer)])
    libvirtd = stack.enter_context(Libvirtd(family, host))
    toolbox = stack.enter_context(Toolbox(family, host, libvirtd.uri))
    toolbox.do(
        "virt-install", "--name", "web", "--memory", "32", "--import", "--disk", "none",
        "--osinfo", "none", "--virt-type", "qemu", "--graphics", "none", "--noautoconsole",
        "--network", "type=direct,source=low0,mac.address=52:54:00:78:00:01",
    )
    screen = stack.enter_context(Screen(toolbox))
    manager = stack.enter_context(VirtManager(screen, "web"))
    while True:
        manager.open_nic("52:54:00:78:00:01")
        manager.xml
"""  # fmt: skip


def _machine(home):
    """What a leak would show in."""
    sockets = (x.split()[-1] for x in Path("/proc/net/unix").read_text().splitlines())
    return {
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "links": [x.split(":")[0] for x in Path("/proc/net/dev").read_text().splitlines()[2:]],
        "X servers": sorted(str(x) for x in Path("/tmp").glob(".X*-lock")),
        "X sockets": sorted(x for x in sockets if "X11" in x),
        "home": sorted(str(x) for x in home.rglob("*")),
    }


def _processes():
    """Process to its state, its parent and its PID namespace."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            found[int(folder.name)] = (state, int(parent), str((folder / "ns/pid").readlink()))
        except OSError:
            continue
    return found


def _places(pid):
    """PID namespaces of a process's descendants, but for our own."""
    processes = _processes()
    found = {pid}
    while more := {x for x, (_, parent, _) in processes.items() if parent in found} - found:
        found |= more
    return {processes[x][2] for x in found if x in processes} - {processes[os.getpid()][2]}


def _alive(places):
    """Who lives in one of these namespaces. (Whom init has not reaped yet is dead.)"""
    return [x for x, (state, _, place) in _processes().items() if place in places and state != "Z"]


@pytest.fixture
def home():
    """A user's home, where the tools would find it: their /tmp is not the machine's."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def test_killed_at_random_moments(screen, home, tmp_path):
    """SIGKILL somewhere between the first namespace and virt-manager: nothing is left."""
    before = _machine(home)
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    choose = random.Random(5)
    for attempt in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", SESSION],
            env=os.environ | {"HOME": str(home), "XDG_CACHE_HOME": cache, "TMPDIR": str(tmp_path)},
            stderr=subprocess.PIPE,
        )
        try:
            # The moment is the test's subject, not a wait for something.
            status = process.wait(timeout=choose.uniform(0.3, 4.5))
            pytest.fail(f"it has ended by itself ({status}): {process.stderr.read().decode()}")
        except subprocess.TimeoutExpired:
            places = _places(process.pid)
            process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        left = look_until(lambda places=places: _alive(places), lambda x: not x, within=10)
        assert not left, f"attempt {attempt}: processes left"
        after = look_until(lambda: _machine(home), lambda x: x == before, within=10)
        assert after == before, f"attempt {attempt}"
    assert list(tmp_path.iterdir()) == []
