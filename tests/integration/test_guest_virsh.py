"""virsh on a running guest: plugging, unplugging, changing.

virsh attach-device GUEST nic.xml
      │
      ▼
libvirtd ──► guest [macvtap]── low0 ── switch
                               low1 ── switch
"""

from dataclasses import replace

import pytest

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
from harness.guests.seen import by_mac, differences
from harness.kernel.links import set_mac
from harness.kernel.linkstate import link_state
from harness.kernel.waiting import look_until

pytestmark = pytest.mark.root

MAC = "52:54:00:68:70:01"
SECOND = "52:54:00:68:70:02"
QBH = VirtualPort(type=VirtualPortType.QBH, profile_id="finance")
MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)
NIC = DirectInterface(source="low0", mac=MAC, model="virtio")


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


# ---------------------------------------------------------------------- plugging


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
    said = desk.refused(*command, "--source-mode", "bridge")
    assert "Invalid source mode: bridge" in said
    assert "take attach-device" in said
    assert by_mac(desk.host) == {}


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
    said = desk.refused(*attach(desk, changed, replace(NIC, mode=Mode.PASSTHRU, mac=SECOND)))
    assert "error creating macvtap interface" in said
    assert "passthrough takes a link that nobody else uses" in said
    after = link_state(desk.host, "low0")
    assert set(by_mac(desk.host)) == {MAC}
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
    assert look_until(lambda: by_mac(desk.host), lambda x: not x, within=10) == {}
    plugged = replace(NIC, mode=Mode.BRIDGE)
    desk.toolbox.do(*attach(desk, changed, plugged, "--live"))
    assert differences(desk.host, plugged) == []


# ---------------------------------------------------------------------- live changes


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
    said = desk.refused(*update(desk, changed, replace(before, **CHANGES[what]), "--live"))
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
    assert says in desk.refused(*update(desk, changed, wanted, "--config"))
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
