"""Every rule, broken once: what is said, of what, on which line, and by whom."""

import pytest

from harness.guests import Severity, check, parse_document

UUID = "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"
GOOD = f"managerid='11' typeid='1193047' typeidversion='2' instanceid='{UUID}'"


def direct(inside, mode="vepa", source="eth0"):
    """An interface, whose `inside` is on line 3."""
    return (
        f"<interface type='direct'>\n<source dev='{source}' mode='{mode}'/>\n{inside}\n</interface>"
    )


def qbg(parameters, kind="802.1Qbg"):
    return direct(f"<virtualport type='{kind}'>\n<parameters {parameters}/>\n</virtualport>")


PARAMETERS = "virtualport/parameters/@"
ALONE = [
    # the link below
    (direct("", source="a" * 16), 2, "source/@dev", "cannot be the name", "dev_valid_name"),
    (direct("", source="et/0"), 2, "source/@dev", "cannot be the name", "dev_valid_name"),
    (direct("", source="et:0"), 2, "source/@dev", "cannot be the name", "dev_valid_name"),
    (direct("", source="et 0"), 2, "source/@dev", "cannot be the name", "dev_valid_name"),
    (direct("", source=".."), 2, "source/@dev", "cannot be the name", "dev_valid_name"),
    (direct("", source="é" * 8), 2, "source/@dev", "cannot be the name", "dev_valid_name"),
    # address
    (direct("<mac address='01:00:5e:00:00:01'/>"), 3, "mac/@address", "multicast", "IEEE 802"),
    (direct("<mac address='ff:ff:ff:ff:ff:ff'/>"), 3, "mac/@address", "multicast", "IEEE 802"),
    (direct("<mac address='00:00:00:00:00:00'/>"), 3, "mac/@address", "nobody's", "is_valid_ether"),
    # link
    (direct("<mtu size='1500'/>"), 3, "mtu/@size", "cannot be set", "qemuDomainNetSupportsMTU"),
    (
        direct("<model type='virtio'/><driver queues='0'/>"),
        3,
        "driver/@queues",
        "cannot have 0 queues",
        "MAX_TAP_QUEUES",
    ),
    (
        direct("<model type='virtio'/><driver queues='257'/>"),
        3,
        "driver/@queues",
        "cannot have 257 queues",
        "MAX_TAP_QUEUES",
    ),
    (direct("<boot order='0'/>"), 3, "boot/@order", "begins with 1", "virDomainDeviceBootParse"),
    (direct(f"<target dev='{'a' * 16}'/>"), 3, "target/@dev", "cannot be the name", "IFNAMSIZ"),
    # vlan
    (direct("<vlan><tag id='4096'/></vlan>", "passthrough"), 3, "vlan/tag/@id", "no VLAN", "Vlan"),
    (
        direct(
            "<vlan><tag id='1' nativeMode='tagged'/><tag id='2' nativeMode='tagged'/></vlan>",
            "passthrough",
        ),
        3,
        "vlan/tag/@nativeMode",
        "two native",
        "virNetDevVlanParse",
    ),
    (
        direct("<vlan trunk='no'><tag id='1'/><tag id='2'/></vlan>", "passthrough"),
        3,
        "vlan/@trunk",
        "make a trunk",
        "virNetDevVlanParse",
    ),
    (direct("<vlan><tag id='2'/></vlan>"), 3, "vlan", "mode vepa cannot tag", "ActualNetDef"),
    # bandwidth
    (
        direct("<bandwidth>\n<inbound peak='1'/></bandwidth>"),
        4,
        "bandwidth/inbound",
        "average is missing",
        "virNetDevBandwidthParseRate",
    ),
    (
        direct("<bandwidth>\n<inbound average='0'/></bandwidth>"),
        4,
        "bandwidth/inbound/@average",
        "0 is no limit",
        "networkcommon.rng",
    ),
    (
        direct("<bandwidth>\n<outbound average='1' floor='1'/></bandwidth>"),
        4,
        "bandwidth/outbound/@floor",
        "only incoming",
        "virNetDevBandwidthParse",
    ),
    (
        direct("<bandwidth>\n<inbound average='1' floor='1'/></bandwidth>"),
        4,
        "bandwidth/inbound/@floor",
        "has no floor",
        "virNetDevBandwidthSupportsFloor",
    ),
    (
        direct("<filterref filter='clean-traffic'/>"),
        3,
        "filterref",
        "pass no filter",
        "qemuDomainValidateActualNetDef",
    ),
    # 802.1Qbg
    (qbg(GOOD.replace("'11'", "'0'")), 4, PARAMETERS + "managerid", "0 is reserved", "Manager ID"),
    (qbg(GOOD.replace("'11'", "'256'")), 4, PARAMETERS + "managerid", "than 8 bits", "VPort"),
    (
        qbg(GOOD.replace("1193047", "16777216")),
        4,
        PARAMETERS + "typeid",
        "more than 24 bits",
        "virNetDevVPortProfileParse",
    ),
    (
        qbg(GOOD.replace("'2'", "'256'")),
        4,
        PARAMETERS + "typeidversion",
        "more than 8 bits",
        "virNetDevVPortProfileParse",
    ),
    *(
        (qbg(GOOD.replace(f"{name}=", "x=")), 4, PARAMETERS + name, "takes this", "CheckComplete")
        for name in ("managerid", "typeid", "typeidversion")
    ),
    (qbg(GOOD + " profileid='x'"), 4, PARAMETERS + "profileid", "not for 802.1Qbg", "NoExtras"),
    *(
        (
            direct(f"<virtualport type='802.1Qbg'><parameters {GOOD}/></virtualport>", mode),
            2,
            "source/@mode",
            "leaves forwarding to the switch",
            "IEEE 802.1Qbg",
        )
        for mode in ("bridge", "private", "passthrough")
    ),
    # 802.1Qbh
    (qbg("", "802.1Qbh"), 4, PARAMETERS + "profileid", "takes a profile", "CheckComplete"),
    (qbg("profileid=''", "802.1Qbh"), 4, PARAMETERS + "profileid", "takes a", "CheckComplete"),
    (
        qbg(f"profileid='{'a' * 40}'", "802.1Qbh"),
        4,
        PARAMETERS + "profileid",
        "40 bytes long",
        "PORT_PROFILE_MAX",
    ),
    (
        qbg("profileid='x' managerid='1'", "802.1Qbh"),
        4,
        PARAMETERS + "managerid",
        "not for 802.1Qbh",
        "CheckNoExtras",
    ),
    (
        direct("<virtualport><parameters profileid='x'/></virtualport>"),
        3,
        "virtualport/@type",
        "missing",
        "virNetDevVPortProfileParse",
    ),
]


def shown(case):
    return f"{case[2]}: {case[3]}"


@pytest.mark.parametrize("case", ALONE, ids=shown)
def test_error(meaning, case):
    text, line, element, message, source = case
    (problem,) = meaning(text)
    assert problem.severity is Severity.ERROR
    assert (problem.file, problem.line) == ("1.xml", line)
    assert problem.element == f"interface/{element}"
    assert message in problem.message
    assert source in problem.source


@pytest.mark.parametrize(
    ("text", "element", "message"),
    [
        (qbg(GOOD.replace("'11'", "'-1'")), "managerid", "'-1' is less than 0"),
        (qbg(GOOD.replace("'11'", "''")), "managerid", "'' is not a number"),
        (qbg(GOOD.replace("'2'", "'2 '")), "typeidversion", "'2 ' is not a number"),
        (qbg(GOOD.replace(UUID, UUID[:-1])), "instanceid", "is not a UUID"),
    ],
)
def test_unreadable_is_not_missing(meaning, text, element, message):
    """One thing is wrong, and told once."""
    (problem,) = meaning(text)
    assert problem.severity is Severity.ERROR
    assert problem.element.endswith(f"virtualport/parameters/@{element}")
    assert message in problem.message


WARNINGS = [
    (direct("<target dev='macvtap7'/>"), "target/@dev", "libvirt ignores", "NetDefParseXML"),
    (direct("<target dev='vnet0'/>"), "target/@dev", "libvirt ignores", "NetDefParseXML"),
    (direct("<driver queues='2'/>"), "driver/@queues", "are ignored", "NetDefParseXML"),
    (
        direct("<vlan><tag id='0'/></vlan>", "passthrough"),
        "vlan/tag/@id",
        "reserved",
        "IEEE 802.1Q",
    ),
    (
        direct("<virtualport type='openvswitch'/>"),
        "virtualport/@type",
        "means nothing to a macvtap",
        "virNetDevVPortProfileAssociate",
    ),
]


@pytest.mark.parametrize("case", WARNINGS, ids=lambda case: f"{case[1]}: {case[2]}")
def test_warning(meaning, case):
    text, element, message, source = case
    (problem,) = meaning(text)
    assert problem.severity is Severity.WARNING
    assert (problem.line, problem.element) == (3, f"interface/{element}")
    assert message in problem.message
    assert source in problem.source


def test_nil_instance(meaning):
    (problem,) = meaning(qbg(GOOD.replace(UUID, "0" * 32)))
    assert (problem.severity, problem.line) == (Severity.WARNING, 4)
    assert "nil UUID" in problem.message
    assert "RFC 9562" in problem.source


@pytest.mark.parametrize(
    ("vlans", "source", "kind", "told"),
    [
        ({"eth0": 0, "eth0.5": 5}, "eth0", "802.1Qbg", True),
        ({"eth0": 0, "eth0.5": 5}, "eth0.5", "802.1Qbg", False),
        ({}, "eth0", "802.1Qbg", False),  # another host's link
        ({"eth0": 0}, "eth0", "802.1Qbh", False),
    ],
)
def test_vlan_of_802_1qbg(vlans, source, kind, told):
    """It comes from the device that the source is, which the host knows."""
    parameters = GOOD if kind == "802.1Qbg" else "profileid='x'"
    text = direct(
        f"<virtualport type='{kind}'><parameters {parameters}/></virtualport>", source=source
    )
    problems = check([parse_document(text, file="1.xml")], schemas=None, vlans=vlans)
    assert [(x.severity, x.line, x.element) for x in problems] == (
        [(Severity.WARNING, 2, "interface/source/@dev")] if told else []
    )
    assert all("asks for VLAN 0" in x.message and "null VID" in x.source for x in problems)


@pytest.mark.parametrize(
    "text",
    [
        direct("", source="a" * 15),
        direct("<model type='virtio'/><driver queues='256'/>"),
        direct("<vlan trunk='yes'><tag id='1'/><tag id='4094'/></vlan>", "passthrough"),
        qbg(GOOD),
        qbg(GOOD.replace("'11'", "'255'").replace("1193047", "0xffffff").replace("'2'", "'0'")),
        qbg(GOOD.replace("'11'", "' +0x0b'")),  # as strtoul(3) reads it
        qbg(GOOD.replace(f" instanceid='{UUID}'", "")),  # libvirt makes one up
        qbg(f"profileid='{'a' * 39}'", "802.1Qbh"),
        "<interface type='user'/>",
        "<interface/>",
    ],
)
def test_allowed(meaning, text):
    assert meaning(text) == ()


# ---------------------------------------------------------------------- several


def test_same_address(meaning):
    """In two domains, on two links, in two spellings, and of another type of interface."""
    one = direct("<mac address='52:54:00:00:00:0a'/>")
    two = direct("<mac address='52:54:00:00:00:0A'/>", source="eth1")
    three = "<interface type='user'>\n<mac address='52:54:00:00:00:0a'/></interface>"
    assert [(x.file, x.line, x.element) for x in meaning(one, two, three)] == [
        ("2.xml", 3, "interface/mac/@address"),
        ("3.xml", 2, "interface/mac/@address"),
    ]
    (problem,) = meaning(one, two)
    assert problem.message == "52:54:00:00:00:0a is the address of 1.xml:3 too"


def test_same_instance(meaning):
    other = qbg(GOOD.replace(UUID, UUID.upper().replace("-", "")))
    (problem,) = meaning(qbg(GOOD), other)
    assert (problem.file, problem.line) == ("2.xml", 4)
    assert "the instance of 1.xml:4 too" in problem.message


def test_same_target(meaning):
    one = direct("<target dev='tap-a'/>")
    (problem,) = meaning(one, one)
    assert (problem.file, problem.line) == ("2.xml", 3)
    assert "'tap-a' is the name of 1.xml:3 too" in problem.message


@pytest.mark.parametrize(
    ("modes", "wrong"),
    [
        (["passthrough", "passthrough"], ["2.xml"]),
        (["passthrough", "vepa"], ["2.xml"]),
        (["vepa", "passthrough"], ["2.xml"]),
        (["vepa", "bridge", "passthrough", "private"], ["3.xml", "4.xml"]),
        (["vepa", "bridge"], []),
        (["passthrough"], []),
    ],
    ids=lambda x: "-".join(x),
)
def test_passed_through_to_two(meaning, modes, wrong):
    """In either order, as the kernel refuses it (macvlan_common_newlink)."""
    problems = meaning(*(direct("", mode) for mode in modes))
    assert [x.file for x in problems] == wrong
    assert all(x.line == 2 and "passed through to one guest" in x.message for x in problems)


def test_two_links_passed_through(meaning):
    assert meaning(direct("", "passthrough"), direct("", "passthrough", source="eth1")) == ()


def domain(devices, os=""):
    return f"<domain type='qemu'><name>g</name><os>{os}</os><devices>{devices}</devices></domain>"


def test_boot_order(meaning):
    """One place for each device, of whatever kind; the next domain counts anew."""
    text = domain("\n<disk><boot order='1'/></disk>\n" + direct("<boot order='1'/>"))
    (problem,) = meaning(text)
    assert (problem.line, problem.element) == (5, "interface/boot/@order")
    assert "1 is the place of 1.xml:2 too" in problem.message
    single = domain(direct("<boot order='1'/>"))
    assert meaning(single, single) == ()


def test_boot_order_beside_boot_devices(meaning):
    (problem,) = meaning(domain(direct("<boot order='1'/>"), os="<boot dev='hd'/>"))
    assert "exclude each other" in problem.message


def test_all_at_once_in_order(meaning):
    """All problems of all files, by line, as one prints them."""
    text = direct("<mtu size='1'/>\n<mac address='01:00:00:00:00:00'/>", mode="vepaa")
    assert [str(x) for x in meaning(text)] == [
        (
            "1.xml:2: error: interface/source/@mode: 'vepaa': there is no such mode; "
            "allowed: vepa, private, bridge, passthrough "
            "[libvirt virDomainNetDefParseXML (virNetDevMacVLanMode)]"
        ),
        (
            "1.xml:3: error: interface/mtu/@size: the MTU of a macvtap cannot be set; "
            "allowed: none: it is that of its source "
            "[libvirt qemuDomainNetSupportsMTU]"
        ),
        (
            "1.xml:4: error: interface/mac/@address: 01:00:00:00:00:00 is a multicast address; "
            "allowed: one whose first byte is even "
            "[libvirt virDomainNetDefParseXML; IEEE 802, 8.2]"
        ),
    ]
