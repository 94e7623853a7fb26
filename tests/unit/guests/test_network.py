"""Networks of macvtaps: which link an interface gets, and with which settings.

interface type='network' ── portgroup ── network ──.-- eth0
'-- eth1
"""

import pytest

from harness.errors import DomainError
from harness.guests import (
    DirectInterface,
    NetworkInterface,
    Portgroup,
    Tag,
    VirtualPort,
    VirtualPortType,
    Vlan,
    check,
    map_pool,
    parse_document,
    parse_network,
    resolve,
)
from harness.parts import Mode

OUTSIDE = """\
<network trustGuestRxFilters='yes'>
  <name>outside</name>
  <forward mode='{mode}'>
    <interface dev='eth0'/>
    <interface dev='eth1'/>
  </forward>
</network>
"""


def outside(mode="vepa", more=""):
    text = OUTSIDE.format(mode=mode).replace("</network>", f"{more}</network>")
    return parse_network(text, file="n.xml")


def ask(**said):
    return NetworkInterface(network="outside", **said)


def test_facts():
    network = outside()
    assert (network.name, network.mode, network.devices) == (
        "outside",
        Mode.VEPA,
        ("eth0", "eth1"),
    )
    assert network.trust_guest_rx_filters is True


@pytest.mark.parametrize(
    ("forward", "mode", "devices"),
    [
        ("<forward mode='bridge' dev='eth0'/>", Mode.BRIDGE, ("eth0",)),
        ("<forward mode='private' dev='eth0'/>", Mode.PRIVATE, ("eth0",)),
        ("<forward mode='passthrough' dev='eth0'/>", Mode.PASSTHRU, ("eth0",)),
        (
            "<forward mode='vepa' dev='a'><interface dev='a'/><interface dev='b'/></forward>",
            Mode.VEPA,
            ("a", "b"),
        ),
        ("<forward mode='bridge'/><bridge name='br0'/>", None, ()),
        ("<forward mode='nat'/>", None, ()),
        ("<forward/>", None, ()),
        ("<forward mode='hostdev'/>", None, ()),
        ("", None, ()),
    ],
)
def test_forward(forward, mode, devices):
    """A network with a bridge is one of taps; nat is what libvirt takes when nothing is said."""
    network = parse_network(f"<network><name>n</name>{forward}</network>")
    assert (network.mode, network.devices) == (mode, devices)


def test_unknown_forward():
    with pytest.raises(DomainError, match=r"n\.xml:3: network/forward/@mode: 'vepaa': there is no"):
        outside("vepaa")


@pytest.mark.parametrize("mode", ["vepa", "bridge", "private"])
def test_the_link_with_the_fewest_users(mode):
    """networkAllocatePort; interfaces of type direct are not counted."""
    given = [ask(), DirectInterface(source="eth1"), ask(), ask(mac="52:54:00:00:00:03")]
    made = resolve(given, [outside(mode)])
    assert [x.source for x in made] == ["eth0", "eth1", "eth1", "eth0"]
    assert made[3].mac == "52:54:00:00:00:03"
    assert made[0].mode == Mode(mode)
    assert made[0].trust_guest_rx_filters is True


def test_passthrough_has_one_user_each():
    network = outside("passthrough")
    assert [x.source for x in resolve([ask(), ask()], [network])] == ["eth0", "eth1"]
    with pytest.raises(DomainError, match="all links of outside are in use; allowed: 2 interfaces"):
        resolve([ask(), ask(), ask()], [network])


def test_private_with_a_profile_has_one_user_each():
    more = "<virtualport type='802.1Qbh'><parameters profileid='finance'/></virtualport>"
    with pytest.raises(DomainError, match="all links of outside are in use"):
        resolve([ask()] * 3, [outside("private", more)])
    assert len(resolve([ask()] * 3, [outside("vepa", more)])) == 3


GROUPS = """
<virtualport type='802.1Qbg'><parameters managerid='11'/></virtualport>
<portgroup name='plain' default='yes'><vlan><tag id='5'/></vlan></portgroup>
<portgroup name='web' trustGuestRxFilters='no'>
  <virtualport><parameters typeid='7' typeidversion='1'/></virtualport>
</portgroup>
"""


def test_portgroup():
    network = outside("passthrough", GROUPS)
    assert network.portgroups[0] == Portgroup(name="plain", default=True, vlan=Vlan((Tag(5),)))
    (plain,) = resolve([ask()], [network])
    assert plain.vlan == Vlan((Tag(5),))
    (own,) = resolve([ask(vlan=Vlan((Tag(6),)))], [network])
    assert own.vlan == Vlan((Tag(6),))
    (web,) = resolve([ask(portgroup="web")], [network])
    assert web.trust_guest_rx_filters is False
    assert web.virtualport == VirtualPort(
        type=VirtualPortType.QBG, manager_id=11, type_id=7, type_version=1
    )


@pytest.mark.parametrize(
    ("nic", "problem"),
    [
        (ask(portgroup="mail"), "outside has no portgroup 'mail'; allowed: plain, web"),
        (NetworkInterface(network="inside"), "no network 'inside'; allowed: outside"),
        (
            ask(virtualport=VirtualPort(manager_id=12)),
            "manager_id is 12 here and 11 in",
        ),
    ],
)
def test_contradictions(nic, problem):
    with pytest.raises(DomainError, match=problem):
        resolve([nic], [outside("passthrough", GROUPS)])


@pytest.mark.parametrize(
    ("forward", "problem"),
    [
        ("<forward mode='vepa'/>", "has no pool of links"),
        ("<forward mode='passthrough'><pf dev='eth0'/></forward>", "virtual functions of eth0"),
    ],
)
def test_no_pool(forward, problem):
    network = parse_network(f"<network><name>outside</name>{forward}</network>")
    with pytest.raises(DomainError, match=problem):
        resolve([ask()], [network])


def test_network_of_taps_makes_no_macvtap():
    network = parse_network("<network><name>outside</name><forward mode='nat'/></network>")
    assert resolve([ask()], [network]) == ()


def test_pool_is_mapped():
    network = outside()
    mapped = map_pool(network, {"eth0": "low0"})
    assert mapped.devices == ("low0", "eth1")
    assert mapped.text == network.text.replace('"eth0"', '"low0"')


# ---------------------------------------------------------------------- checked


def checked(network, *interfaces):
    domain = "<devices>" + "".join(f"\n{x}" for x in interfaces) + "</devices>"
    documents = [network.document, parse_document(domain, file="d.xml")]
    return [(x.file, x.line, x.element, x.message) for x in check(documents, schemas=None)]


ASKING = "<interface type='network'><source network='outside'/></interface>"


def test_nothing_wrong():
    assert checked(outside(), ASKING, ASKING, ASKING) == []


def test_pool_used_up():
    assert checked(outside("passthrough"), ASKING, ASKING, ASKING) == [
        ("d.xml", 4, "interface/source/@network", "all links of outside are in use")
    ]


def test_no_such_network():
    asking = ASKING.replace("outside", "inside")
    assert checked(outside(), asking) == [
        ("d.xml", 2, "interface/source/@network", "there is no network 'inside'")
    ]


@pytest.mark.parametrize(
    ("more", "line", "element", "message"),
    [
        ("<vlan><tag id='5'/></vlan>", 7, "network/vlan", "macvtaps in mode vepa cannot tag"),
        (
            (
                "<portgroup name='x'><virtualport type='802.1Qbg'>\n<parameters managerid='0'/>"
                "</virtualport></portgroup>"
            ),
            8,
            "network/portgroup/virtualport/parameters/@managerid",
            "0 is reserved",
        ),
    ],
)
def test_network_rules(more, line, element, message):
    assert checked(outside("vepa", more)) == [("n.xml", line, element, message)]


def test_pool_rules():
    network = parse_network(
        "<network><name>n</name><forward mode='vepa'>\n<interface dev='a/b'/></forward></network>",
        file="n.xml",
    )
    assert checked(network) == [
        ("n.xml", 2, "interface/@dev", "'a/b' cannot be the name of a link")
    ]
    network = parse_network("<network><name>n</name>\n<forward mode='vepa'/></network>", file="n")
    assert checked(network) == [("n", 2, "network/forward", "there is no link to put macvtaps on")]
