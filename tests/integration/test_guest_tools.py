"""virt-install, virt-xml and virsh: what they are told arrives in the kernel, or is refused.

virt-install … --network type=direct,source=low0,source.mode=bridge
      │
      ▼
libvirtd ──► guest [macvtap, bridge]── low0 ── switch
"""

from dataclasses import replace
from uuid import UUID

import pytest

from harness.errors import CommandError
from harness.parts import Mode

pytest.importorskip("lxml")
from harness.guests import (
    Bandwidth,
    DirectInterface,
    Filter,
    LinkState,
    Rate,
    Tag,
    VirtualPort,
    VirtualPortType,
    Vlan,
    dump_interface,
    parse_domain,
)
from harness.guests.tools import differences, macvtaps, network_option
from harness.kernel.links import set_mac
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


def refused(desk, *command):
    with pytest.raises(CommandError) as caught:
        desk.toolbox.do(*command)
    return str(caught.value)


def attach(desk, guest, nic, *flags):
    file = desk.toolbox.write("attached.xml", dump_interface(nic))
    return ["virsh", "attach-device", guest.name, file, *flags]


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
    said = refused(desk, *virt_install("refused", network, "--print-xml"))
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
    assert says in refused(desk, *command)


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
    assert MAC not in macvtaps(desk.host)
    assert link_state(desk.host, "low0").mac == address


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
    said = refused(desk, *virt_install("refused", network_option(nic)))
    assert says in said
    assert "refused" not in desk.toolbox.do("virsh", "list", "--all", "--name")
    assert macvtaps(desk.host) == {}


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
    said = refused(desk, "virt-xml", changed.name, *options)
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
    assert SECOND in macvtaps(desk.host)
    changed.handle.reset(0)
    gone = look_until(lambda: SECOND not in macvtaps(desk.host), bool, within=10)
    assert gone
    assert live(changed, SECOND) is None


# ---------------------------------------------------------------------- virsh: plugging


def test_attach_interface_is_always_vepa(desk, guest):
    """attach-interface direct has no way to say a mode: the macvtap is vepa."""
    changed = guest()
    command = ["virsh", "attach-interface", changed.name, "direct", "low0", "--mac", MAC]
    desk.toolbox.do(*command, "--model", "virtio", "--live")
    assert differences(desk.host, NIC) == []


def test_attach_interface_takes_no_mode(desk, guest):
    """--source-mode is for vhost-user sockets: server and client."""
    changed = guest()
    command = ["virsh", "attach-interface", changed.name, "direct", "low0", "--live"]
    said = refused(desk, *command, "--source-mode", "bridge")
    assert "Invalid source mode: bridge" in said
    assert "take attach-device" in said
    assert macvtaps(desk.host) == {}


@pytest.mark.parametrize("mode", MODES)
def test_attach_device(desk, guest, mode):
    """attach-device makes a macvtap of the mode in the XML."""
    changed = guest()
    nic = replace(NIC, mode=mode)
    desk.toolbox.do(*attach(desk, changed, nic, "--live"))
    assert differences(desk.host, nic) == []


def test_attach_passthrough_beside_another(desk, guest):
    """Refused, for the link has a macvtap; yet the link is left with the guest's address."""
    before = link_state(desk.host, "low0").mac
    changed = guest(NIC)
    said = refused(desk, *attach(desk, changed, replace(NIC, mode=Mode.PASSTHRU, mac=SECOND)))
    assert "error creating macvtap interface" in said
    assert "passthrough takes a link that nobody else uses" in said
    after = link_state(desk.host, "low0")
    assert set(macvtaps(desk.host)) == {MAC}
    desk.host.rtnl.transact([set_mac("low0", before, index=after.index)])
    assert after.mac == SECOND


def test_mode_changed_by_unplugging(desk, guest):
    """Where update-device may not, detach-device and attach-device change the mode.

    Nobody in this guest hears of ACPI, so the NIC goes at its reset.
    """
    changed = guest(NIC)
    file = desk.toolbox.write("nic.xml", dump_interface(live(changed)))
    desk.toolbox.do("virsh", "detach-device", changed.name, file, "--live")
    changed.handle.reset(0)
    assert look_until(lambda: macvtaps(desk.host), lambda x: not x, within=10) == {}
    plugged = replace(NIC, mode=Mode.BRIDGE)
    desk.toolbox.do(*attach(desk, changed, plugged, "--live"))
    assert differences(desk.host, plugged) == []


# ---------------------------------------------------------------------- virsh: live changes


def update(desk, guest, nic, *flags):
    file = desk.toolbox.write("updated.xml", dump_interface(nic))
    return ["virsh", "update-device", guest.name, file, *flags]


UNCHANGEABLE = "unable to change config on 'direct' network type"
CHANGES = {
    "mode": {"mode": Mode.BRIDGE},
    "source": {"source": "low1"},
    "virtualport": {"virtualport": QBH},
    "mtu": {"mtu": 1400},
    "vlan": {"vlan": Vlan((Tag(42),))},
    "model": {"model": "e1000"},
    "bandwidth": {"bandwidth": Bandwidth(inbound=Rate(average=1000))},
    "link": {"link": LinkState.DOWN},
    "filter": {"filter": Filter("clean-traffic")},
    "trust": {"trust_guest_rx_filters": True},
    "target": {"target": "web0"},
    "queues": {"driver": "vhost", "queues": 4},
    "boot": {"boot": 1},
}


@pytest.mark.parametrize(
    ("what", "says"),
    [
        pytest.param("mode", UNCHANGEABLE, id="mode"),
        pytest.param("source", UNCHANGEABLE, id="source"),
        pytest.param("virtualport", UNCHANGEABLE, id="virtualport"),
        pytest.param("mtu", "setting MTU on interface type direct is not supported yet", id="mtu"),
        pytest.param("vlan", "vlan tag not supported for this connection type", id="vlan"),
        pytest.param(
            "model", "cannot modify network device model from virtio to e1000", id="model"
        ),
        pytest.param("target", "cannot modify network device tap name", id="target"),
        pytest.param(
            "queues", "cannot modify virtio network device driver attributes", id="queues"
        ),
        pytest.param(
            "boot",
            "per-device boot elements cannot be used together with os/boot elements",
            id="boot",
        ),
    ],
)
def test_update_live_refused(desk, guest, what, says):
    """What a running guest's NIC cannot take: refused in words, and nothing has changed."""
    changed = guest(NIC)
    before = live(changed)
    said = refused(desk, *update(desk, changed, replace(before, **CHANGES[what]), "--live"))
    assert says in said
    assert live(changed) == before
    assert differences(desk.host, NIC) == []


def test_update_live_link(desk, guest):
    """The link state is what update-device does change: in QEMU, not on the macvtap."""
    changed = guest(NIC)
    wanted = replace(live(changed), link=LinkState.DOWN)
    desk.toolbox.do(*update(desk, changed, wanted, "--live"))
    assert live(changed) == wanted
    assert defined(changed) == NIC
    assert differences(desk.host, NIC) == []


def test_update_live_bandwidth(desk, guest):
    """Bandwidth is the kernel's to refuse: the traffic control that it takes may be missing."""
    changed = guest(NIC)
    before = live(changed)
    wanted = replace(before, **CHANGES["bandwidth"])
    done = desk.toolbox.run(*update(desk, changed, wanted, "--live"))
    if done.ok:
        assert live(changed) == wanted
    else:
        assert "tc" in done.stderr
        assert live(changed) == before
    assert differences(desk.host, NIC) == []


@pytest.mark.parametrize("what", ["filter", "trust"])
def test_update_live_forgotten(desk, guest, what):
    """Taken without a word, and not in the live XML afterwards."""
    changed = guest(NIC)
    before = live(changed)
    desk.toolbox.do(*update(desk, changed, replace(before, **CHANGES[what]), "--live"))
    assert live(changed) == before
    assert differences(desk.host, NIC) == []


@pytest.mark.parametrize("what", [x for x in CHANGES if x not in ("mtu", "filter", "boot")])
def test_update_of_the_next_start(desk, guest, what):
    """--config takes nearly all of them, sensible or not, and changes nothing now."""
    changed = guest(NIC)
    wanted = replace(defined(changed), **CHANGES[what])
    desk.toolbox.do(*update(desk, changed, wanted, "--config"))
    assert defined(changed) == wanted
    assert differences(desk.host, NIC) == []


@pytest.mark.parametrize(
    ("what", "says"),
    [
        pytest.param("mtu", "setting MTU on interface type direct is not supported", id="mtu"),
        pytest.param("boot", "cannot be used together with os/boot elements", id="boot"),
    ],
)
def test_update_of_the_next_start_refused(desk, guest, what, says):
    """What --config refuses stays as it was."""
    changed = guest(NIC)
    wanted = replace(defined(changed), **CHANGES[what])
    assert says in refused(desk, *update(desk, changed, wanted, "--config"))
    assert defined(changed) == NIC


def test_filter_is_dropped(desk, guest):
    """A filterref on a direct interface is gone from the XML: the guest runs without it."""
    made = guest(replace(NIC, filter=Filter("clean-traffic")))
    assert defined(made).filter is None
    assert live(made).filter is None


@pytest.mark.parametrize("state", LinkState)
def test_domif_setlink(desk, guest, state):
    """The guest's carrier goes in QEMU; the macvtap stays up, and the XML says so."""
    changed = guest(replace(NIC, link=LinkState.DOWN if state is LinkState.UP else LinkState.UP))
    desk.toolbox.do("virsh", "domif-setlink", changed.name, MAC, state)
    assert state in desk.toolbox.do("virsh", "domif-getlink", changed.name, MAC)
    assert live(changed).link is state
    assert differences(desk.host, NIC) == []
