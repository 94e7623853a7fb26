"""Whole domains: their interfaces found and changed, the rest untouched."""

from dataclasses import replace
from uuid import UUID

import pytest
from lxml import etree

from harness.errors import DomainError
from harness.guests import (
    DirectInterface,
    Expected,
    LinkState,
    NetworkInterface,
    expected,
    load_domain,
    map_devices,
    parse_domain,
)
from harness.parts import Mode

DOMAIN = """\
<!-- made by hand -->
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web</name>
  <uuid>c7a5fdbd-cdaf-9455-926a-d65c16db1809</uuid>
  <memory unit='MiB'>96</memory>
  <metadata><mine:note xmlns:mine='urn:mine'>do <![CDATA[<not>]]> touch</mine:note></metadata>
  <devices>
    <disk type='file'><target dev='vda'/></disk>
    <interface type='direct'>
      <source dev='eth0' mode='vepa'/>
      <!-- the office -->
      <model type='virtio'/>
    </interface>
    <interface type='bridge'>
      <source bridge='br0'/>
    </interface>
    <interface type='network'>
      <source network='outside'/>
    </interface>
    <interface type='direct'>
      <source   mode="passthrough" dev="eth1"/>
    </interface>
  </devices>
  <qemu:commandline><qemu:arg value='-S'/></qemu:commandline>
</domain>
"""


def test_facts():
    domain = parse_domain(DOMAIN)
    assert domain.name == "web"
    assert domain.uuid == UUID("c7a5fdbd-cdaf-9455-926a-d65c16db1809")
    assert domain.interfaces == (
        DirectInterface(source="eth0", mode=Mode.VEPA, model="virtio"),
        NetworkInterface(network="outside"),
        DirectInterface(source="eth1", mode=Mode.PASSTHRU),
    )
    assert [x.line for x in domain.interfaces] == [9, 17, 20]
    assert [x.source for x in domain.direct] == ["eth0", "eth1"]


def test_unchanged_is_the_same(tmp_path):
    (tmp_path / "web.xml").write_text(DOMAIN)
    domain = load_domain(tmp_path / "web.xml")
    assert domain.document.file == str(tmp_path / "web.xml")
    again = domain.with_interfaces(domain.interfaces)
    assert again == domain
    assert etree.canonicalize(again.text, with_comments=True) == etree.canonicalize(
        DOMAIN, with_comments=True
    )


def test_devices_are_mapped():
    """Those named, and nothing else: one word of the file differs."""
    domain = parse_domain(DOMAIN)
    mapped = map_devices(domain, {"eth0": "low0", "eth7": "low7"})
    assert [x.source for x in mapped.direct] == ["low0", "eth1"]
    assert mapped.text == domain.text.replace('dev="eth0"', 'dev="low0"')
    assert [x.source for x in domain.direct] == ["eth0", "eth1"]


def test_swapped_devices():
    mapped = map_devices(parse_domain(DOMAIN), {"eth0": "eth1", "eth1": "eth0"})
    assert [x.source for x in mapped.direct] == ["eth1", "eth0"]


def test_mode_is_changed():
    domain = parse_domain(DOMAIN)
    wanted = [replace(x, mode=Mode.BRIDGE) if x in domain.direct else x for x in domain.interfaces]
    changed = domain.with_interfaces(wanted)
    assert [x.mode for x in changed.direct] == [Mode.BRIDGE, Mode.BRIDGE]
    assert changed.text == domain.text.replace('"vepa"', '"bridge"').replace(
        '"passthrough"', '"bridge"'
    )


def test_interface_is_added():
    domain = parse_domain(DOMAIN)
    more = DirectInterface(source="eth2", mac="52:54:00:00:00:02")
    changed = domain.with_interfaces([*domain.interfaces, more])
    assert changed.interfaces == (*domain.interfaces, more)
    assert '\n    <interface type="direct">\n' in changed.text


@pytest.mark.parametrize("root", ["devices", "domain"])
def test_interface_is_added_to_none(root):
    text = "<devices/>" if root == "devices" else "<domain><devices/></domain>"
    more = DirectInterface(source="eth2", model="virtio")
    assert parse_domain(text).with_interfaces([more]).interfaces == (more,)


@pytest.mark.parametrize(
    ("text", "interfaces", "problem"),
    [
        (DOMAIN, [], "3 interfaces cannot become 0"),
        ("<domain/>", [DirectInterface(source="a")], "nothing to add an interface to"),
        (
            "<devices><interface type='direct'><source dev='a'/></interface></devices>",
            [NetworkInterface(network="n")],
            "type of an interface cannot change",
        ),
    ],
)
def test_impossible_changes(text, interfaces, problem):
    with pytest.raises(DomainError, match=problem):
        parse_domain(text).with_interfaces(interfaces)


def test_bad_uuid():
    with pytest.raises(DomainError, match="domain/uuid: 'x' is not a UUID") as caught:
        parse_domain("<domain>\n<uuid>x</uuid></domain>")
    assert caught.value.line == 2


# ---------------------------------------------------------------------- what the kernel must show

MAC = "52:54:00:00:00:01"


@pytest.mark.parametrize(
    ("interface", "seen"),
    [
        (DirectInterface(source="low0"), Expected(lower="low0", mode=Mode.VEPA)),
        (
            DirectInterface(source="low0", mode=Mode.BRIDGE, mac=MAC, mtu=1400, target="tap-a"),
            Expected(lower="low0", mode=Mode.BRIDGE, mac=MAC, mtu=1400, name="tap-a"),
        ),
        (
            DirectInterface(source="low0", mode=Mode.PASSTHRU, mac=MAC, target="macvtap3"),
            Expected(lower="low0", mode=Mode.PASSTHRU, mac=MAC, lower_mac=MAC, promiscuity=1),
        ),
        (
            DirectInterface(source="low0", mode=Mode.PRIVATE, link=LinkState.DOWN),
            Expected(lower="low0", mode=Mode.PRIVATE, up=True, carrier=False),
        ),
        (
            DirectInterface(source="low0", model="virtio", queues=4),
            Expected(lower="low0", mode=Mode.VEPA, queues=4),
        ),
        (
            DirectInterface(source="low0", model="e1000", queues=4),
            Expected(lower="low0", mode=Mode.VEPA, queues=1),
        ),
    ],
    ids=["plain", "named", "passthrough", "link down", "queues", "queues ignored"],
)
def test_expected(interface, seen):
    assert expected(interface) == seen
