"""Requests for ports: as libvirt wrote them, field by field, and what must not be taken for one."""

import errno
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import PortProfileError
from harness.kernel.netlink import LinkMessage
from harness.kernel.portfacts import (
    PORT_SELF_VF,
    PortProfileRequest,
    PortRequest,
    PortResponse,
    PortState,
    VsiType,
)
from harness.kernel.portprofile import decode, encode, no_port, ports
from harness.vsi.qbh import Device, Shape, associate, disassociate, refusal, shape, tell_lldpad

DATA = Path(__file__).with_name("data") / "libvirt.requests"
CAPTURED = {
    name: bytes.fromhex(octets)
    for name, octets in (x.split() for x in DATA.read_text().splitlines() if not x.startswith("#"))
}
MAC = "52:54:00:aa:00:01"
GUEST = UUID("11223344-5566-7788-99aa-bbccddeeff00")
HOST = UUID("7691a158-813f-4131-9b20-11d14080a992")
INSTANCE = UUID("00112233-4455-6677-8899-aabbccddeeff")
TYPE = VsiType(manager=11, type_id=0x123456, version=2)
OURS = {
    "qbh-associate": associate(10_000, "finance", mac=MAC, guest=GUEST, host=HOST),
    "qbh-longest-profile": associate(10_000, "p" * 39, mac=MAC, guest=GUEST, host=HOST),
    "qbg-associate": tell_lldpad(
        10_000, "low0", PortRequest.ASSOCIATE, mac=MAC, vsi_type=TYPE, instance=INSTANCE
    ),
    "qbg-disassociate": tell_lldpad(
        10_000, "low0", PortRequest.DISASSOCIATE, mac=MAC, vsi_type=TYPE, instance=INSTANCE
    ),
}
HEADER = 16  # octets of struct nlmsghdr, the last eight of which tell messages of a socket apart


@pytest.mark.parametrize("name", CAPTURED)
def test_same_octets_as_libvirt(name):
    ours, theirs = encode(OURS[name]).data, CAPTURED[name]
    assert (ours[:8], ours[HEADER:]) == (theirs[:8], theirs[HEADER:])


def test_decoded_field_by_field():
    found = decode(CAPTURED["qbh-associate"])
    assert found == PortProfileRequest(
        index=10_000,
        request=PortRequest.ASSOCIATE,
        link="",
        mac=MAC,
        vlan=None,
        profile="finance",
        vsi_type=None,
        instance=GUEST,
        host=HOST,
        vf=PORT_SELF_VF,
        listed=False,
    )
    found = decode(CAPTURED["qbg-disassociate"])
    assert (found.request, found.listed, found.link) == (PortRequest.DISASSOCIATE, True, "low0")
    assert (found.vlan, found.vsi_type, found.instance) == (0, TYPE, INSTANCE)
    assert (found.profile, found.host) == ("", None)


def test_a_virtual_function_is_named():
    """By libvirt's source; there is none to see it of here."""
    asked = associate(7, "finance", mac=MAC, guest=GUEST, host=HOST, vf=3, migrating=True)
    assert (asked.request, asked.listed) == (PortRequest.PREASSOCIATE_RR, True)
    octets = encode(asked).data
    assert bytes.fromhex("0800 0100 03000000") in octets  # IFLA_PORT_VF
    assert decode(octets) == asked
    assert decode(encode(disassociate(7, vf=3)).data) == disassociate(7, vf=3)


def text(most):
    plain = st.characters(codec="utf-8", categories=("L", "N", "P"))
    return st.text(plain, max_size=most).filter(lambda x: len(x.encode()) <= most)


functions = st.integers(PORT_SELF_VF, 2**31 - 1)
REQUESTS = functions.flatmap(
    lambda vf: st.builds(
        PortProfileRequest,
        index=st.integers(1, 2**31 - 1),
        request=st.sampled_from(PortRequest),
        link=text(15),
        mac=st.sampled_from(["", MAC, "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"]),
        vlan=st.none() | st.integers(0, 4095),
        profile=text(39),
        vsi_type=st.none()
        | st.builds(
            VsiType,
            manager=st.integers(0, 255),
            type_id=st.integers(0, 2**24 - 1),
            version=st.integers(0, 255),
        ),
        instance=st.none() | st.uuids(),
        host=st.none() | st.uuids(),
        vf=st.just(vf),
        listed=st.booleans() if vf == PORT_SELF_VF else st.just(True),
    )
)


@given(REQUESTS)
def test_round_trip(asked):
    assert decode(encode(asked).data) == asked


def decoded(octets):
    """What comes of octets: a request that gives the same octets again, or the one error."""
    try:
        found = decode(octets)
    except PortProfileError:
        return None
    assert encode(found).data[HEADER:] == octets[HEADER:]
    return found


@given(
    st.sampled_from(sorted(CAPTURED)),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_changed_octets(name, changes):
    octets = bytearray(CAPTURED[name])
    for at, value in changes:
        octets[at % len(octets)] = value
    decoded(bytes(octets))


@given(st.sampled_from(sorted(CAPTURED)), st.integers(0, 200), st.binary(max_size=40))
def test_cut_off_and_more(name, at, more):
    octets = CAPTURED[name][:at] + more
    decoded(octets)
    decoded(len(octets).to_bytes(4, "little") + octets[4:])


@given(st.binary(max_size=300))
def test_noise(body):
    head = (HEADER + len(body)).to_bytes(4, "little") + CAPTURED["qbh-associate"][4:HEADER]
    decoded(head + body)


def test_every_octet_cut_off():
    whole = CAPTURED["qbh-associate"]
    for length in range(len(whole)):
        assert decoded(whole[:length]) is None
        assert decoded(length.to_bytes(4, "little") + whole[4:length]) is None


@pytest.mark.parametrize("name", CAPTURED)
def test_every_octet_changed(name):
    for at, value in enumerate(CAPTURED[name]):
        for other in (value ^ 1, value ^ 0x80, value - 1 & 0xFF, 0):
            decoded(CAPTURED[name][:at] + bytes([other]) + CAPTURED[name][at + 1 :])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"index": 0}, "no index"),
        ({"vf": -2}, "no virtual function"),
        ({"vf": 0}, "always listed"),
        ({"mac": "52:54:00:aa:00"}, "no MAC address"),
        ({"mac": "52:54:00:AA:00:01"}, "no MAC address"),
        ({"vlan": 4096}, "no VLAN"),
        ({"vlan": -1}, "no VLAN"),
        ({"link": "a" * 16}, "no name of a link"),
        ({"profile": "p" * 40}, "up to 39 bytes"),
        ({"profile": "é" * 20}, "up to 39 bytes"),
        ({"profile": "a\0b"}, "up to 39 bytes"),
    ],
)
def test_what_cannot_be_asked(wrong, said):
    with pytest.raises(PortProfileError, match=said):
        PortProfileRequest(**({"index": 1, "request": PortRequest.ASSOCIATE} | wrong))


@pytest.mark.parametrize(
    "wrong", [{"manager": 256}, {"type_id": 1 << 24}, {"version": 256}, {"manager": -1}]
)
def test_types_that_are_too_wide(wrong):
    with pytest.raises(PortProfileError, match="bits"):
        VsiType(**({"manager": 1, "type_id": 1, "version": 1} | wrong))


def test_no_port_is_an_empty_list():
    assert no_port(7).data[HEADER:] == bytes.fromhex(
        "00000000 07000000 00000000 00000000 0400 1880"
    )


def test_numbers_of_if_link_h():
    assert (PortResponse.VDP_OUT_OF_SYNC, PortResponse.PROFILE_ERROR) == (6, 0x105)
    assert list(PortRequest) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("asked", "looks", "kernel", "error", "function"),
    [
        (OURS["qbh-associate"], Shape.SELF_ADDRESS, (6, 18), "EINVAL", "do_setvfinfo"),
        (OURS["qbh-associate"], Shape.SELF_ADDRESS, (5, 3), "EOPNOTSUPP", "do_setvfinfo"),
        (disassociate(7), Shape.SELF, (6, 18), "EOPNOTSUPP", "do_setlink"),
        (disassociate(7, vf=0), Shape.VF, (6, 18), "EOPNOTSUPP", "do_setlink"),
        (
            associate(7, "finance", mac=MAC, guest=GUEST, host=HOST, vf=0),
            Shape.VF_ADDRESS,
            (6, 18),
            "EOPNOTSUPP",
            "do_setvfinfo",
        ),
    ],
)
def test_refusals_explained(asked, looks, kernel, error, function):
    found = refusal(asked, kernel=kernel)
    assert shape(asked) is looks
    assert (found.errno, found.function) == (getattr(errno, error), function)
    assert str(found).startswith(error)


def test_a_driver_with_ports_decides_but_for_the_address():
    """Since 5.4 libvirt's request for an adapter's own port does not reach the driver any more."""
    own = OURS["qbh-associate"]
    assert refusal(own, Device.PORTS, kernel=(5, 3)) is None
    assert refusal(own, Device.PORTS, kernel=(5, 4)).errno == errno.EINVAL
    of_vf = associate(7, "finance", mac=MAC, guest=GUEST, host=HOST, vf=0)
    assert refusal(of_vf, Device.PORTS, kernel=(6, 18)) is None


class Adapter:
    """A namespace with one link, which says this of its ports."""

    def __init__(self, *attributes):
        self.rtnl = self
        self.body = bytes(16) + b"".join(attributes)

    def link(self, name, *, ports):
        """As Rtnl's."""
        assert ports
        link = LinkMessage((HEADER + len(self.body)).to_bytes(4, "little") + bytes(12) + self.body)
        link.decode()
        return link


def attribute(kind, value):
    length = 4 + len(value)
    return length.to_bytes(2, "little") + kind.to_bytes(2, "little") + value + bytes(-length % 4)


ENIC = b"".join(  # as enic_get_vf_port puts it: the request in 16 bits, all of the name's room
    [
        attribute(6, b"\2\0"),
        attribute(7, b"\1\1"),
        attribute(2, b"finance".ljust(40, b"\0")),
        attribute(4, GUEST.bytes),
        attribute(5, HOST.bytes),
    ]
)


def test_what_an_adapter_says():
    said = {
        "profile": "finance",
        "request": PortRequest.ASSOCIATE,
        "response": PortResponse.PROFILE_INPROGRESS,
        "instance": GUEST,
        "host": HOST,
    }
    vf = attribute(1, attribute(1, b"\3\0\0\0") + ENIC)
    adapter = Adapter(attribute(25, ENIC), attribute(24, vf))
    assert ports(adapter, "eth0") == (PortState(vf=PORT_SELF_VF, **said), PortState(vf=3, **said))


def test_nothing_said():
    assert ports(Adapter(), "eth0") == ()
    assert ports(Adapter(attribute(24, b"")), "eth0") == ()


def test_a_response_without_a_name():
    (port,) = ports(Adapter(attribute(25, attribute(7, b"\x42\0"))), "eth0")
    assert (port.response, port.request, port.profile) == (0x42, None, "")
