"""Interfaces: what is read is what stands there, and what is written back is what was read."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from harness.errors import DomainError
from harness.guests import (
    Bandwidth,
    DirectInterface,
    Filter,
    LinkState,
    NativeVlan,
    NetworkInterface,
    Rate,
    Tag,
    VirtualPort,
    VirtualPortType,
    Vlan,
    dump_interface,
    parse_domain,
    parse_interface,
)
from harness.parts import Mode
from harness.suite import suite_folder


def canonical(text):
    return etree.canonicalize(text)


def canonical_words(text):
    """Without the white space between elements."""
    return etree.canonicalize(text, strip_text=True)


# ---------------------------------------------------------------------- the documentation's

EXAMPLE_FOLDER = suite_folder() / "guests" / "examples"
VEPA = (EXAMPLE_FOLDER / "vepa.xml").read_text()
QBG = (EXAMPLE_FOLDER / "802.1Qbg.xml").read_text()
QBH = (EXAMPLE_FOLDER / "802.1Qbh.xml").read_text()
EXAMPLES = [
    pytest.param(VEPA, DirectInterface(source="eth0", mode=Mode.VEPA), id="vepa"),
    pytest.param(
        QBG,
        DirectInterface(
            source="eth0.2",
            mode=Mode.VEPA,
            virtualport=VirtualPort(
                type=VirtualPortType.QBG,
                manager_id=11,
                type_id=1193047,
                type_version=2,
                instance_id=UUID("09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"),
            ),
        ),
        id="802.1Qbg",
    ),
    pytest.param(
        QBH,
        DirectInterface(
            source="eth0",
            mode=Mode.PRIVATE,
            virtualport=VirtualPort(type=VirtualPortType.QBH, profile_id="finance"),
        ),
        id="802.1Qbh",
    ),
]


@pytest.mark.parametrize(("text", "interface"), EXAMPLES)
def test_example_is_read(text, interface):
    assert parse_domain(text).direct == (interface,)


@pytest.mark.parametrize(("text", "interface"), EXAMPLES)
def test_example_is_written_as_it_was(text, interface):
    domain = parse_domain(text)
    assert canonical(domain.with_interfaces(domain.interfaces).text) == canonical(text)
    assert canonical(domain.with_interfaces([interface]).text) == canonical(text)


@pytest.mark.parametrize(("text", "interface"), EXAMPLES)
def test_example_is_written_from_facts_alone(text, interface):
    element = etree.tostring(etree.fromstring(text)[0], encoding="unicode", with_tail=False)
    assert canonical_words(dump_interface(interface)) == canonical_words(element)


@pytest.mark.parametrize(("text", "interface"), EXAMPLES)
def test_example_is_without_a_fault(meaning, text, interface):
    assert meaning(text) == ()


def test_without_a_mode_it_is_vepa():
    """And the attribute does not appear by itself (libvirt virDomainNetDefParseXML)."""
    text = "<interface type='direct'><source dev='eth0'/></interface>"
    assert parse_interface(text) == DirectInterface(source="eth0", mode=Mode.VEPA)
    assert canonical(dump_interface(parse_interface(text))) == canonical(text)


# ---------------------------------------------------------------------- every field

SOURCE = "<source dev='eth0' mode='bridge'/>"
FIELDS = [
    ("<mac address='52:54:00:AB:cd:01'/>", {"mac": "52:54:00:ab:cd:01"}),
    ("<model type='virtio'/>", {"model": "virtio"}),
    ("<mtu size='9000'/>", {"mtu": 9000}),
    ("<driver name='vhost' queues='4' txmode='iothread'/>", {"driver": "vhost", "queues": 4}),
    ("<link state='down'/>", {"link": LinkState.DOWN}),
    ("<target dev='tap-a'/>", {"target": "tap-a"}),
    ("<boot order='2'/>", {"boot": 2}),
    ("<vlan><tag id='42'/></vlan>", {"vlan": Vlan((Tag(42),))}),
    (
        "<vlan trunk='yes'><tag id='42'/><tag id='47' nativeMode='untagged'/></vlan>",
        {"vlan": Vlan((Tag(42), Tag(47, NativeVlan.UNTAGGED)), trunk=True)},
    ),
    (
        (
            "<bandwidth><inbound average='1000' peak='5000' burst='1024'/><outbound average='128'/>"
            "</bandwidth>"
        ),
        {
            "bandwidth": Bandwidth(
                inbound=Rate(average=1000, peak=5000, burst=1024), outbound=Rate(average=128)
            )
        },
    ),
    (
        "<filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.1'/></filterref>",
        {"filter": Filter("clean-traffic", (("IP", "10.0.0.1"),))},
    ),
    (
        "<virtualport type='802.1Qbg'><parameters managerid='0x0B' typeid='010'/></virtualport>",
        {"virtualport": VirtualPort(type=VirtualPortType.QBG, manager_id=11, type_id=8)},
    ),
    (
        (
            "<virtualport type='openvswitch'>"
            "<parameters interfaceid='09B11C538B5C4EEB8F00D84EAA0AAA4F'/></virtualport>"
        ),
        {
            "virtualport": VirtualPort(
                type=VirtualPortType.OPENVSWITCH,
                interface_id=UUID("09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"),
            )
        },
    ),
]


@pytest.mark.parametrize(("inside", "facts"), FIELDS, ids=[next(iter(f)) for _, f in FIELDS])
def test_field(inside, facts):
    """Read, left as it is when nothing changes, and taken away when it is to be no more."""
    bare = DirectInterface(source="eth0", mode=Mode.BRIDGE)
    text = f"<interface type='direct'>{SOURCE}{inside}</interface>"
    read = parse_interface(text)
    assert read == replace(bare, **facts)
    assert canonical(dump_interface(read)) == canonical(text)
    default = {name: getattr(bare, name) for name in facts}
    assert parse_interface(dump_interface(replace(read, **default))) == bare


def test_trust_is_an_attribute():
    text = f"<interface type='direct' trustGuestRxFilters='yes'>{SOURCE}</interface>"
    assert parse_interface(text).trust_guest_rx_filters is True


def test_interface_of_a_network():
    text = "<interface type='network'><source network='n' portgroup='p'/></interface>"
    assert parse_interface(text) == NetworkInterface(network="n", portgroup="p")


def test_other_types_cannot_be_macvtaps():
    with pytest.raises(DomainError, match="'user' is not a type that can be a macvtap"):
        parse_interface("<interface type='user'/>")


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"mode": Mode.SOURCE}, "the kernel has this mode, libvirt has not"),
        ({"source": "eth\0"}, "All strings must be XML compatible"),
        ({"target": "\x01"}, "All strings must be XML compatible"),
    ],
)
def test_what_cannot_be_written(facts, problem):
    """Into a new element, and into one that is there."""
    wanted = replace(DirectInterface(source="eth0"), **facts)
    with pytest.raises(DomainError, match=problem):
        dump_interface(wanted)
    with pytest.raises(DomainError, match=problem):
        parse_domain(VEPA).with_interfaces([wanted])


UNREADABLE = [
    ("<source dev='eth0' mode='vepaa'/>", "source/@mode", "no such mode"),
    ("<source dev='eth0' mode='passthru'/>", "source/@mode", "spells it passthrough"),
    ("<source mode='vepa'/>", "source/@dev", "missing"),
    (f"{SOURCE}<mac address='52-54-00-00-00-01'/>", "mac/@address", "not a MAC address"),
    (f"{SOURCE}<mtu size='1_500'/>", "mtu/@size", "not a number"),
    (f"{SOURCE}<mtu size='-1'/>", "mtu/@size", "not a number"),
    (f"{SOURCE}<mtu size='٣'/>", "mtu/@size", "not a number"),
    (f"{SOURCE}<link state='on'/>", "link/@state", "no link state"),
    (f"{SOURCE}<virtualport type='802.1Qbx'/>", "virtualport/@type", "no type of virtual port"),
    (f"{SOURCE}<vlan/>", "vlan/tag", "there is no tag"),
    (f"{SOURCE}<vlan><tag id='1' nativeMode='x'/></vlan>", "vlan/tag/@nativeMode", "native mode"),
    (f"{SOURCE}<vlan trunk='maybe'><tag id='1'/></vlan>", "vlan/@trunk", "neither yes nor no"),
    (
        f"{SOURCE}<virtualport type='802.1Qbg'><parameters managerid='08'/></virtualport>",
        "virtualport/parameters/@managerid",
        "not a number",
    ),
    (
        f"{SOURCE}<virtualport type='802.1Qbg'><parameters instanceid='1'/></virtualport>",
        "virtualport/parameters/@instanceid",
        "not a UUID",
    ),
]


@pytest.mark.parametrize(("inside", "element", "problem"), UNREADABLE)
def test_unreadable(meaning, inside, element, problem):
    """An exception for whoever wants the facts, a problem for whoever wants them all."""
    text = f"<interface type='direct'>\n{inside}</interface>"
    with pytest.raises(DomainError, match=problem) as caught:
        parse_interface(text, file="x.xml")
    assert (caught.value.file, caught.value.line) == ("x.xml", 2)
    assert caught.value.element == f"interface/{element}"
    told = [x for x in meaning(text) if problem in x.message]
    assert [(x.element, x.line) for x in told] == [(f"interface/{element}", 2)]


# ---------------------------------------------------------------------- any interface

NAMES = st.from_regex(r"[a-z][a-z0-9.-]{0,14}", fullmatch=True)
BYTE = st.integers(0, 255)
MACS = st.tuples(st.just(0x52), BYTE, BYTE, BYTE, BYTE, BYTE).map(
    lambda octets: ":".join(f"{x:02x}" for x in octets)
)
RATES = st.builds(Rate, average=st.integers(1, 10**6), peak=st.none() | st.integers(1, 10**6))
TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF), min_size=1, max_size=20)
PORTS = st.builds(
    VirtualPort,
    type=st.just(VirtualPortType.QBG),
    manager_id=st.integers(0, 255),
    type_id=st.integers(0, 2**24 - 1),
    type_version=st.integers(0, 255),
    instance_id=st.none() | st.uuids(),
) | st.builds(VirtualPort, type=st.just(VirtualPortType.QBH), profile_id=TEXT)
INTERFACES = st.builds(
    DirectInterface,
    source=NAMES,
    mode=st.sampled_from([Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU]),
    mac=st.just("") | MACS,
    model=st.sampled_from(["", "virtio", "e1000"]),
    mtu=st.none() | st.integers(0, 70000),
    driver=st.sampled_from(["", "vhost", "qemu"]),
    queues=st.none() | st.integers(0, 300),
    link=st.none() | st.sampled_from(LinkState),
    target=st.just("") | NAMES,
    boot=st.none() | st.integers(0, 9),
    trust_guest_rx_filters=st.none() | st.booleans(),
    vlan=st.none()
    | st.builds(
        Vlan,
        st.lists(
            st.builds(Tag, st.integers(0, 5000), st.none() | st.sampled_from(NativeVlan)),
            min_size=1,
            max_size=3,
        ).map(tuple),
        trunk=st.none() | st.booleans(),
    ),
    bandwidth=st.none() | st.builds(Bandwidth, inbound=RATES, outbound=st.none() | RATES),
    filter=st.none()
    | st.builds(Filter, NAMES, st.lists(st.tuples(NAMES, TEXT), max_size=2).map(tuple)),
    virtualport=st.none() | PORTS,
)


@given(INTERFACES)
@settings(max_examples=60, deadline=None)
def test_any_interface_round_trips(interface):
    assert parse_interface(dump_interface(interface)) == interface


STRANGE = """\
<interface type='direct' later='1'>
  <!-- mine -->
  <source dev='eth9' mode='private' extra='2'/>
  <mystery deep='3'><inner>text</inner></mystery>
  <mac address='52:54:00:00:00:09' check='no'/>
  <driver name='qemu' iommu='on'><host csum='off'/></driver>
  <virtualport type='802.1Qbg' new='4'><parameters managerid='1' other='5'/><more/></virtualport>
  <vlan odd='6'><tag id='9'/></vlan>
  <address type='pci' slot='0x03'/>
</interface>"""


@given(INTERFACES)
@settings(max_examples=60, deadline=None)
def test_whatever_changes_the_unknown_stays(interface):
    """Beside what is replaced, inside of it where that remains, and in the same order."""
    changed = replace(interface, origin=parse_interface(STRANGE).origin)
    text = dump_interface(changed)
    assert parse_interface(text) == interface
    root = etree.fromstring(text)
    assert root.get("later") == "1"
    assert root.find("source").get("extra") == "2"
    assert root.findtext("mystery/inner") == "text"
    assert root.find("driver").get("iommu") == "on"
    assert root.find("driver/host").get("csum") == "off"
    assert root.find("address").get("slot") == "0x03"
    assert " mine " in text
    if interface.virtualport:
        assert root.find("virtualport/parameters").get("other") == "5"
        assert root.find("virtualport/more") is not None
    there = [x.tag for x in root.iterchildren("source", "mystery", "driver", "address")]
    assert there == ["source", "mystery", "driver", "address"]


@given(INTERFACES, INTERFACES)
@settings(max_examples=40, deadline=None)
def test_any_interface_becomes_any_other(one, other):
    text = dump_interface(one)
    there = replace(other, origin=parse_interface(text).origin)
    assert parse_interface(dump_interface(there)) == other
