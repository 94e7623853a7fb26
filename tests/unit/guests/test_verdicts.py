"""Our rules of virtual ports against libvirt's own verdict, value by value.

Where they differ the difference is named: what the standard forbids and libvirt takes.
"""

import pytest

from harness.errors import LibvirtError, UnfitError
from harness.guests import Severity, check, parse_document
from harness.guests.schema import SCHEMAS

UUID = "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"
OK, REFUSED = True, False

RESERVED = "IEEE 802.1Qbg: manager id 0 is reserved"
ONE_INSTANCE = "IEEE 802.1Qbg: one VSI for one instance id"
ONLY_VEPA = "IEEE 802.1Qbg: the switch forwards"
AT_START = "libvirt refuses it when the guest starts"


def port(kind, **parameters):
    given = " ".join(f"{k}='{v}'" for k, v in parameters.items() if v is not None)
    return f"<virtualport type='802.1{kind}'><parameters {given}/></virtualport>"


def qbg(**other):
    usual = {"managerid": "11", "typeid": "1193047", "typeidversion": "2", "instanceid": UUID}
    return port("Qbg", **usual | other)


def of(name, *values, build=qbg):
    """Cases of one parameter; a value is paired with libvirt's verdict."""
    return [
        pytest.param([build(**{name: value})], "vepa", verdict, "", id=f"{name}={value!r}")
        for value, verdict in values
    ]


def qbh(**parameters):
    return port("Qbh", **parameters)


CASES = [
    pytest.param([qbg(managerid="0")], "vepa", OK, RESERVED, id="managerid='0'"),
    *of("managerid", ("1", OK), ("255", OK), ("256", REFUSED), ("-1", REFUSED), (None, REFUSED)),
    *of("managerid", ("0xff", OK), ("0x100", REFUSED), ("010", OK), ("0400", REFUSED)),
    *of("managerid", (" 11", OK), ("+11", OK), ("11 ", REFUSED), ("1e1", REFUSED), ("", REFUSED)),
    *of("managerid", ("4294967297", REFUSED), ("99999999999", REFUSED)),
    *of("typeid", ("0", OK), ("16777215", OK), ("16777216", REFUSED), (None, REFUSED)),
    *of("typeid", ("0xffffff", OK), ("0x1000000", REFUSED), ("-1", REFUSED), ("", REFUSED)),
    *of("typeidversion", ("0", OK), ("255", OK), ("256", REFUSED), (None, REFUSED)),
    *of("instanceid", (UUID, OK), (UUID.upper(), OK), (UUID.replace("-", ""), OK), (None, OK)),
    *of("instanceid", (UUID[:-1], REFUSED), (UUID + "0", REFUSED), ("x" * 36, REFUSED)),
    *of("instanceid", ("", REFUSED), (f"{{{UUID}}}", REFUSED), (f" {UUID}", REFUSED)),
    *of("instanceid", (UUID.replace("-", "", 1), REFUSED), ("0" * 32, OK)),
    *of("profileid", ("p", OK), ("p" * 39, OK), ("p" * 40, REFUSED), build=qbh),
    *of("profileid", ("é" * 19, OK), ("é" * 20, REFUSED), ("two words", OK), build=qbh),
    *of("profileid", ("", REFUSED), (None, REFUSED), build=qbh),
    pytest.param([qbg()], "", OK, "", id="Qbg, no mode: vepa"),
    *(
        pytest.param([qbg()], mode, OK, ONLY_VEPA, id=f"Qbg, {mode}")
        for mode in ("bridge", "private", "passthrough")
    ),
    *(
        pytest.param([qbh(profileid="p")], mode, OK, "", id=f"Qbh, {mode}")
        for mode in ("vepa", "bridge", "private", "passthrough")
    ),
    pytest.param([qbg(), qbg()], "vepa", OK, ONE_INSTANCE, id="two of one instance"),
    pytest.param(
        [qbg() + "<vlan><tag id='5'/></vlan>"], "vepa", OK, AT_START, id="Qbg with <vlan>"
    ),
]


@pytest.fixture(scope="module")
def libvirt():
    """The test driver: it parses and validates as the others do, and starts nothing."""
    try:
        from harness.guests.daemon import Connection

        connection = Connection.open("test:///default")
    except (LibvirtError, UnfitError) as error:
        pytest.skip(str(error))
    if not SCHEMAS.is_dir():
        pytest.skip(f"no schemas in {SCHEMAS}")
    with connection:
        yield connection


@pytest.mark.parametrize(("ports", "mode", "libvirts", "difference"), CASES)
def test_verdict(libvirt, ports, mode, libvirts, difference):
    """Ours is libvirt's, or stricter for the reason that is named; never laxer."""
    mode = f" mode='{mode}'" if mode else ""
    interfaces = "".join(
        f"<interface type='direct'><source dev='eth0'{mode}/>{x}</interface>" for x in ports
    )
    text = (
        "<domain type='test'><name>verdict</name><memory>1024</memory>"
        f"<os><type>hvm</type></os><devices>{interfaces}</devices></domain>"
    )
    try:
        libvirt.define(text).undefine()
        accepted = OK
    except LibvirtError:
        accepted = REFUSED
    assert accepted is libvirts
    problems = check([parse_document(text, file="verdict.xml")])
    errors = [str(x) for x in problems if x.severity is Severity.ERROR]
    assert (not errors) is (libvirts and not difference), errors or f"differs: {difference}"
    # libxml2 says no more than "extra element": meaning says what is wrong by itself.
    meant = check([parse_document(text, file="verdict.xml")], schemas=None)
    assert any(x.severity is Severity.ERROR for x in meant) is bool(errors)
    assert all(x.source and x.message for x in meant)
