"""Requests made from a template: byte for byte what pyroute2 encodes."""

import pytest

from harness.kernel.links import add_macvtap, add_veth, set_link
from harness.kernel.links.message import info, link_request
from harness.kernel.links.template import Template
from harness.kernel.netlink import Request
from harness.parts import Guest, Mode

MAC = "02:68:70:01:12:34"
MODE = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8, "source": 16}
UP, PROMISC, ALLMULTI = 0x1, 0x100, 0x200


def by_pyroute2(name, mode, *, data=(), mac=MAC, flags=UP):
    """The same link, asked for attribute by attribute."""
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_LINK", 41),
        info("macvtap", [("IFLA_MACVTAP_MODE", MODE[mode]), *data]),
    ]
    if mac:
        attributes.append(("IFLA_ADDRESS", mac))
    return link_request("", attributes, index=1042, set_flags=flags).data


@pytest.mark.parametrize("name", ["a", "ab", "abc", "abcd", "g999", "x" * 15, "übung"])
@pytest.mark.parametrize("mode", [m for m in Mode if m is not Mode.PASSTHRU])
def test_every_name_and_mode(name, mode):
    request = add_macvtap(Guest(name, mode, mac=MAC), index=1042, lower=41)
    assert request.data == by_pyroute2(name, mode)
    assert request.purpose == f"add macvtap {name}"


SOURCES = ("02:00:00:00:00:01", "02:00:00:00:00:02")
LISTED = {"attrs": [("IFLA_MACVLAN_MACADDR", mac) for mac in SOURCES]}


@pytest.mark.parametrize(
    ("guest", "expected"),
    [
        pytest.param(
            Guest("p", Mode.PASSTHRU, mac=MAC), by_pyroute2("p", "passthru", mac=""), id="passthru"
        ),
        pytest.param(
            Guest("p", Mode.PASSTHRU, mac=MAC, nopromisc=True),
            by_pyroute2("p", "passthru", mac="", data=[("IFLA_MACVTAP_FLAGS", 1)]),
            id="nopromisc",
        ),
        pytest.param(
            Guest("s", Mode.SOURCE, mac=MAC, sources=SOURCES, nodst=True),
            by_pyroute2(
                "s",
                "source",
                data=[
                    ("IFLA_MACVTAP_FLAGS", 2),
                    ("IFLA_MACVTAP_MACADDR_MODE", 3),
                    ("IFLA_MACVTAP_MACADDR_DATA", LISTED),
                ],
            ),
            id="source list",
        ),
        pytest.param(
            Guest("b", Mode.BRIDGE, mac=MAC, bcqueuelen=0, bc_cutoff=-1),
            by_pyroute2(
                "b",
                "bridge",
                data=[("IFLA_MACVTAP_BC_QUEUE_LEN", 0), ("IFLA_MACVTAP_BC_CUTOFF", -1)],
            ),
            id="broadcast queue",
        ),
        pytest.param(
            Guest("d", Mode.BRIDGE, mac=MAC, up=False),
            by_pyroute2("d", "bridge", flags=0),
            id="down",
        ),
        pytest.param(
            Guest("d", Mode.BRIDGE, mac=MAC, promiscuous=True, allmulticast=True),
            by_pyroute2("d", "bridge", flags=UP | PROMISC | ALLMULTI),
            id="hears everything",
        ),
    ],
)
def test_every_setting(guest, expected):
    assert add_macvtap(guest, index=1042, lower=41).data == expected


def test_guests_do_not_mix():
    """The template keeps nothing of the guest before."""
    requests = [
        add_macvtap(Guest(f"g{i}", Mode.BRIDGE, mac=f"02:00:00:00:00:0{i}"), index=i, lower=i)
        for i in (1, 2, 1)
    ]
    assert requests[0] == requests[2] != requests[1]


def test_name_must_fit():
    template = Template(Request("", by_pyroute2("abc", "bridge")))
    with pytest.raises(ValueError, match="'abcd' is not as long"):
        template.request("", name="abcd", mac=MAC, index=1, lower=1)


@pytest.mark.parametrize("mac", ["", "02:00:00:00:00", "02:00:00:00:00:00:07"])
def test_address_must_fit(mac):
    """A message shorter than its header says gets no answer, so it must not be sent."""
    with pytest.raises(
        ValueError, match=f"add macvtap g: it takes an address, and {mac!r} is none"
    ):
        add_macvtap(Guest("g", Mode.BRIDGE, mac=mac), index=2, lower=1)


@pytest.mark.parametrize(
    "request_", [set_link("a", index=2, up=True), add_veth("a", index=2, peer="b", peer_index=3)]
)
def test_no_template(request_):
    """A request that lacks what is to be written."""
    with pytest.raises(ValueError, match="no attribute"):
        Template(request_)


def test_sequence_number():
    """It alone differs in what is sent."""
    request = set_link("a", index=2, up=True)
    sent = request.encoded(0x01020304)
    assert sent[8:12] == (0x01020304).to_bytes(4, "little" if sent[8] == 4 else "big")
    assert sent[:8] + bytes(4) + sent[12:] == request.data
