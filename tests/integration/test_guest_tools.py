"""virt-install and virt-xml: what they are told arrives in the kernel, or is refused.

virt-install … --network type=direct,source=low0,source.mode=bridge
      │
      ▼
libvirtd ──► guest [macvtap, bridge]── low0 ── switch
"""

from dataclasses import replace
from uuid import UUID

import pytest

from harness.parts import Mode

pytest.importorskip("lxml")
from harness.guests import (
    DirectInterface,
    Filter,
    LinkState,
    VirtualPort,
    VirtualPortType,
    parse_domain,
)
from harness.guests.seen import by_mac, differences
from harness.guests.tools import network_option
from harness.kernel.linkstate import link_state
from harness.kernel.waiting import look_until

pytestmark = pytest.mark.root

MAC = "52:54:00:68:70:01"
SECOND = "52:54:00:68:70:02"
INSTANCE = "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"
QBG = VirtualPort(
    type=VirtualPortType.QBG,
    manager_id=11,
    type_id=1193047,
    type_version=2,
    instance_id=UUID(INSTANCE),
)
QBH = VirtualPort(type=VirtualPortType.QBH, profile_id="finance")
MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)
NIC = DirectInterface(source="low0", mac=MAC, model="virtio")
ON_LOW0 = "type=direct,source=low0,"

# No more than a guest needs that runs nothing.
BARE = (
    *("--memory", "32", "--import", "--disk", "none", "--osinfo", "none", "--virt-type", "qemu"),
    *("--controller", "usb,model=none", "--memballoon", "none", "--sound", "none"),
    *("--rng", "none", "--tpm", "none", "--video", "none", "--graphics", "none"),
    "--noautoconsole",
)


def virt_install(name, network, *more):
    return ["virt-install", "--name", name, *BARE, "--network", network, *more]


def printed(desk, network):
    """The direct interface in the XML that virt-install prints."""
    text = desk.toolbox.do(*virt_install("printed", network, "--print-xml"))
    return parse_domain(text).direct[0]


def live(guest, mac=MAC):
    """What the running guest's XML says of the NIC with this address; None without one."""
    return next((x for x in guest.domain.direct if x.mac == mac), None)


def defined(guest, mac=MAC):
    """What the XML of the next start says of it."""
    found = parse_domain(guest.xml(inactive=True)).direct
    return next((x for x in found if x.mac == mac), None)


# ---------------------------------------------------------------------- virt-install --print-xml


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "port",
    [pytest.param(None, id="plain"), pytest.param(QBG, id="Qbg"), pytest.param(QBH, id="Qbh")],
)
def test_facts_as_virt_install_spells_them(desk, mode, port):
    """Facts to --network, to XML, to facts: the same."""
    nic = replace(NIC, mode=mode, virtualport=port)
    assert printed(desk, network_option(nic)) == nic


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        pytest.param("source.mode=bridge", {"mode": Mode.BRIDGE}, id="mode"),
        pytest.param("source_mode=private", {"mode": Mode.PRIVATE}, id="mode-old-spelling"),
        pytest.param("", {"mode": Mode.VEPA}, id="no-mode-is-vepa"),
        pytest.param("", {"model": "e1000"}, id="model-made-up"),
        pytest.param("model=rtl8139", {"model": "rtl8139"}, id="model-short"),
        pytest.param("target.dev=web0", {"target": "web0"}, id="target"),
        pytest.param("mtu.size=1400", {"mtu": 1400}, id="mtu"),
        pytest.param(
            "model=virtio,driver.name=vhost,driver.queues=4",
            {"driver": "vhost", "queues": 4},
            id="queues",
        ),
        pytest.param("link.state=down", {"link": LinkState.DOWN}, id="link-down"),
        pytest.param("trustGuestRxFilters=yes", {"trust_guest_rx_filters": True}, id="trust"),
        pytest.param("boot.order=1", {"boot": 1}, id="boot-order"),
        pytest.param(
            "filterref.filter=clean-traffic", {"filter": Filter("clean-traffic")}, id="filter"
        ),
        pytest.param(
            "virtualport.type=802.1Qbg,virtualport.parameters.managerid=11,"
            "virtualport.parameters.typeid=1193047,virtualport.parameters.typeidversion=2,"
            f"virtualport.parameters.instanceid={INSTANCE}",
            {"virtualport": QBG},
            id="Qbg",
        ),
        pytest.param(
            "virtualport_type=802.1Qbg,virtualport_managerid=11,virtualport_typeid=1193047,"
            f"virtualport_typeidversion=2,virtualport_instanceid={INSTANCE}",
            {"virtualport": QBG},
            id="Qbg-old-spelling",
        ),
        pytest.param(
            "virtualport.type=802.1Qbh,virtualport.parameters.profileid=finance",
            {"virtualport": QBH},
            id="Qbh",
        ),
    ],
)  # fmt: skip
def test_spellings(desk, network, expected):
    """What people write after --network is what the XML says."""
    nic = printed(desk, ON_LOW0 + network)
    assert nic.source == "low0"
    assert {x: getattr(nic, x) for x in expected} == expected


@pytest.mark.parametrize(
    ("network", "says", "helps"),
    [
        pytest.param(
            ON_LOW0 + "mode=vepa", "Unknown --network options: ['mode']", "source.mode=MODE",
            id="bare-mode",
        ),
        pytest.param(
            "type=direct,source.dev=low0", "Unknown --network options: ['source.dev']",
            "source=NAME", id="source.dev",
        ),
        pytest.param(
            ON_LOW0 + "virtualport.managerid=11",
            "Unknown --network options: ['virtualport.managerid']", "", id="parameter-misplaced",
        ),
    ],
)  # fmt: skip
def test_spellings_refused(desk, network, says, helps):
    """A refusal names the word, and what to write instead where that is known."""
    said = desk.refused(*virt_install("refused", network, "--print-xml"))
    assert says in said
    assert helps in said


@pytest.mark.parametrize(
    ("network", "prints", "says"),
    [
        pytest.param(
            "source.mode=bogus", 'mode="bogus"', "allowed: vepa, bridge, private, passthrough",
            id="mode",
        ),
        pytest.param("mac=52:54:00", 'address="52:54:00"', "52:54:00", id="half-a-mac"),
        pytest.param(
            "virtualport.type=802.1Qbg,virtualport.parameters.managerid=999",
            'managerid="999"', "managerid and typeidversion go to 255", id="managerid",
        ),
    ],
)  # fmt: skip
def test_printed_but_refused_by_libvirt(desk, network, prints, says):
    """--print-xml takes any word for a value; libvirt does not."""
    command = virt_install("misspelt", ON_LOW0 + network)
    assert prints in desk.toolbox.do(*command, "--print-xml")
    assert says in desk.refused(*command)


# ---------------------------------------------------------------------- a guest by virt-install


@pytest.fixture
def installed(desk):
    """``installed(nic)``: a running guest that virt-install has made."""
    made = []

    def make(nic):
        name = f"installed{len(made)}"
        desk.toolbox.do(*virt_install(name, network_option(nic)))
        made.append(desk.libvirt.find(name))
        return made[-1]

    yield make
    for guest in made:
        guest.destroy()
        guest.handle.undefine()


@pytest.mark.parametrize(
    "nic",
    [
        *(pytest.param(replace(NIC, mode=mode), id=mode) for mode in MODES),
        pytest.param(replace(NIC, target="web0"), id="named"),
        pytest.param(replace(NIC, model="e1000"), id="e1000"),
        pytest.param(replace(NIC, link=LinkState.DOWN), id="link-down"),
    ],
)
def test_installed_guest(desk, installed, nic):
    """The macvtap of a guest that virt-install has started is as asked, and goes with it."""
    address = link_state(desk.host, "low0").mac
    guest = installed(nic)
    assert differences(desk.host, nic) == []
    guest.destroy()
    assert MAC not in by_mac(desk.host)
    assert link_state(desk.host, "low0").mac == address


@pytest.mark.parametrize(
    ("otherwise", "says"),
    [
        pytest.param({"mode": Mode.BRIDGE}, "mode: bridge was asked for, vepa is there", id="mode"),
        pytest.param(
            {"source": "low1"}, "lower device: low1 was asked for, low0 is there", id="lower"
        ),
        pytest.param({"mtu": 1400}, "MTU: 1400 was asked for, 1500 is there", id="mtu"),
        pytest.param({"target": "web0"}, "name: web0 was asked for", id="name"),
        pytest.param({"mac": SECOND}, f"no macvtap has the address {SECOND}", id="mac"),
    ],
)
def test_differences_are_told(desk, guest, otherwise, says):
    """What the kernel shows is not what was not asked for."""
    guest(NIC)
    (said,) = differences(desk.host, replace(NIC, **otherwise))
    assert says in said


@pytest.mark.parametrize(
    ("nic", "says"),
    [
        pytest.param(
            replace(NIC, source="none0"), "source is no link of this host", id="no-such-link"
        ),
        pytest.param(replace(NIC, virtualport=QBH), "a NIC with port profiles", id="Qbh-on-a-veth"),
    ],
)
def test_install_refused(desk, nic, says):
    """What the host cannot do comes back with a remedy, and leaves no guest."""
    said = desk.refused(*virt_install("refused", network_option(nic)))
    assert says in said
    assert "refused" not in desk.toolbox.do("virsh", "list", "--all", "--name")
    assert by_mac(desk.host) == {}


# ---------------------------------------------------------------------- virt-xml


@pytest.mark.parametrize("mode", MODES[1:])
def test_edit_takes_effect_at_the_next_start(desk, guest, mode):
    """virt-xml --edit rewrites what is defined; the running guest keeps its macvtap."""
    changed = guest(NIC)
    desk.toolbox.do("virt-xml", changed.name, "--edit", "--network", f"source.mode={mode}"
                    if mode is not Mode.PASSTHRU else "source.mode=passthrough")  # fmt: skip
    assert defined(changed).mode is mode
    assert live(changed).mode is Mode.VEPA
    assert differences(desk.host, NIC) == []
    changed.destroy()
    changed.handle.create()
    assert differences(desk.host, replace(NIC, mode=mode)) == []


def test_edit_of_one_nic_among_several(desk, guest):
    """A selector says which; without one the first is meant."""
    changed = guest(NIC, replace(NIC, mac=SECOND, source="low1"), running=False)
    which = ["--edit", f"mac={SECOND}"]
    desk.toolbox.do("virt-xml", changed.name, *which, "--network", "source.mode=private")
    assert [x.mode for x in (defined(changed), defined(changed, SECOND))] == [
        Mode.VEPA,
        Mode.PRIVATE,
    ]


@pytest.mark.parametrize(
    ("network", "port"),
    [
        pytest.param(
            "virtualport.type=802.1Qbg,virtualport.parameters.managerid=11,"
            "virtualport.parameters.typeid=1193047,virtualport.parameters.typeidversion=2,"
            f"virtualport.parameters.instanceid={INSTANCE}",
            QBG,
            id="Qbg",
        ),
        pytest.param(
            "virtualport.type=802.1Qbh,virtualport.parameters.profileid=finance", QBH, id="Qbh"
        ),
    ],
)
def test_edit_of_the_virtual_port(desk, guest, network, port):
    """The parameters of a virtual port can be written by virt-xml."""
    changed = guest(NIC, running=False)
    desk.toolbox.do("virt-xml", changed.name, "--edit", "--network", network)
    assert defined(changed).virtualport == port


def test_print_diff_changes_nothing(desk, guest):
    """--print-diff shows the line that would change, and leaves it."""
    changed = guest(NIC, running=False)
    options = ["--edit", "--network", "source.mode=bridge", "--print-diff"]
    shown = desk.toolbox.do("virt-xml", changed.name, *options)
    assert '+      <source dev="low0" mode="bridge"/>' in shown.splitlines()
    assert defined(changed).mode is Mode.VEPA


def test_edit_live_is_refused(desk, guest):
    """The mode of a running guest's macvtap is not libvirt's to change."""
    changed = guest(NIC)
    options = ["--edit", "--update", "--network", "source.mode=bridge"]
    said = desk.refused("virt-xml", changed.name, *options)
    assert "unable to change config on 'direct' network type" in said
    assert "detach the interface and attach it anew" in said
    assert differences(desk.host, NIC) == []
    # It has been refused by now, but virt-xml had defined it before it asked, or had not.
    assert defined(changed).mode is Mode.VEPA


def test_add_device_to_a_running_guest(desk, guest):
    """virt-xml --add-device --update plugs a NIC in now and for later."""
    changed = guest(NIC)
    second = replace(NIC, mac=SECOND, source="low1", mode=Mode.PRIVATE)
    options = ["--add-device", "--update", "--network", network_option(second)]
    desk.toolbox.do("virt-xml", changed.name, *options)
    assert differences(desk.host, second) == []
    assert defined(changed, SECOND).mode is Mode.PRIVATE


def test_remove_device_that_the_guest_keeps(desk, guest):
    """virt-xml says that it has unplugged a NIC which the guest has not let go.

    Nobody in this guest hears of ACPI. The NIC goes at its reset.
    """
    changed = guest(NIC, replace(NIC, mac=SECOND))
    options = ["--remove-device", "--update", "--network", f"mac={SECOND}"]
    assert "hotunplug successful" in desk.toolbox.do("virt-xml", changed.name, *options)
    assert defined(changed, SECOND) is None
    assert SECOND in by_mac(desk.host)
    changed.handle.reset(0)
    gone = look_until(lambda: SECOND not in by_mac(desk.host), bool, within=10)
    assert gone
    assert live(changed, SECOND) is None
