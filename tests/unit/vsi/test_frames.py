"""The fast codec: frames as captured, round trips, and what breaks a rule."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.vsi.facts import (
    Association,
    Command,
    Dialect,
    DraftEvb,
    EcpFrame,
    Evb,
    EvbMode,
    FilterFormat,
    FilterInfo,
    LldpFrame,
    Malformed,
    Status,
    Vsi,
    manager_of,
)
from harness.vsi.frames import read, write
from harness.vsi.numbers import NEAREST_CUSTOMER_BRIDGE, seconds

FIXED = settings(derandomize=True, deadline=None, max_examples=200, database=None)
STATION = bytes.fromhex("525400000001")
INSTANCE = bytes.fromhex("09b11c538b5c4eeb8f00d84eaa0aaa4f")


def test_captured_frames(conversation):
    """Read, written and read again, each says the same."""
    dialect, frames = conversation
    for _, _, octets in frames:
        found = read(octets)
        assert isinstance(found, EcpFrame | LldpFrame)
        assert found.faults == ()
        assert read(write(found)) == found
        if isinstance(found, EcpFrame):
            assert found.dialect == dialect


def test_captured_requests(conversation):
    _, frames = conversation
    asked = [
        association
        for _, way, octets in frames
        if way == "<" and isinstance(found := read(octets), EcpFrame)
        for association in found.associations
    ]
    assert [a.command for a in asked] == [Command.ASSOCIATE, Command.DE_ASSOCIATE]
    assert {a.vsi for a in asked} == {Vsi(manager_of(11), 1193047, 2, INSTANCE)}
    assert asked[0].vsi.uuid == "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"
    assert asked[0].filters == (FilterInfo(0, bytes.fromhex("525400aa0001")),)


# ---------------------------------------------------------------------- round trips

VIDS = st.integers(0, 4095)
PCPS = st.none() | st.integers(0, 7)
MACS = st.binary(min_size=6, max_size=6)
GROUPS = st.integers(0, 2**32 - 1)
ENTRIES = {
    FilterFormat.VID: st.builds(FilterInfo, VIDS, pcp=PCPS),
    FilterFormat.MAC_VID: st.builds(FilterInfo, VIDS, MACS, pcp=PCPS),
    FilterFormat.GROUP_VID: st.builds(FilterInfo, VIDS, group=GROUPS, pcp=PCPS),
    FilterFormat.GROUP_MAC_VID: st.builds(FilterInfo, VIDS, MACS, GROUPS, PCPS),
}


@st.composite
def ecp_frames(draw):
    """Any request that a station may send, or its acknowledgement."""
    dialect = draw(st.sampled_from(list(Dialect)))
    number = draw(st.integers(0, 255))

    def association():
        form = draw(st.sampled_from(list(FilterFormat)))
        entries = tuple(draw(st.lists(ENTRIES[form], min_size=1, max_size=5)))
        type_id, version = draw(st.integers(0, 2**24 - 1)), draw(st.integers(0, 255))
        instance = draw(st.binary(min_size=16, max_size=16))
        vsi = Vsi(manager_of(number), type_id, version, instance)
        status = Status(draw(st.integers(0, 255)))
        return Association(draw(st.sampled_from(list(Command))), vsi, entries, form, status)

    acknowledge = draw(st.booleans())
    found = () if acknowledge else tuple(association() for _ in range(draw(st.integers(0, 4))))
    return EcpFrame(
        dialect, draw(MACS), draw(MACS), draw(st.integers(0, 0xFFFF)), acknowledge, found
    )


@FIXED
@given(ecp_frames())
def test_any_ecp_frame_round_trips(frame):
    assert read(write(frame)) == frame


BIT, EXPONENT = st.booleans(), st.integers(0, 31)


@FIXED
@given(
    st.builds(
        LldpFrame, MACS, MACS, st.binary(min_size=2, max_size=20),
        st.binary(min_size=2, max_size=20), st.integers(0, 0xFFFF),
        st.none() | st.builds(
            Evb, st.sampled_from(list(EvbMode)), BIT, BIT, BIT, BIT, st.integers(0, 3), BIT,
            st.integers(0, 7), EXPONENT, BIT, EXPONENT, BIT, EXPONENT,
        ),
        st.none() | st.builds(
            DraftEvb, *[st.integers(0, 255)] * 4, *[st.integers(0, 0xFFFF)] * 2, st.integers(0, 255)
        ),
    )
)  # fmt: skip
def test_any_lldp_frame_round_trips(frame):
    assert read(write(frame)) == frame


# ---------------------------------------------------------------------- what breaks a rule

MANAGER = bytes.fromhex("0a10") + manager_of(11)
FIXED_PART = bytes.fromhex("001234570205") + INSTANCE


ENTRY = bytes.fromhex("525400aa00010005")


def ratified(*tlvs, head="10010001"):
    return NEAREST_CUSTOMER_BRIDGE + STATION + b"\x89\x40" + bytes.fromhex(head) + b"".join(tlvs)


def associate(form=2, count=1, filters=ENTRY, fixed=FIXED_PART):
    value = fixed + bytes([form]) + count.to_bytes(2, "big") + filters
    return (3 << 9 | len(value)).to_bytes(2, "big") + value


@pytest.mark.parametrize(
    ("tlvs", "problem"),
    [
        pytest.param([MANAGER, associate()], "", id="good"),
        pytest.param([associate()], "before any VSI manager id", id="no-manager"),
        pytest.param([associate(), MANAGER], "before any VSI manager id", id="wrong-order"),
        pytest.param([MANAGER, MANAGER, associate()], "second VSI manager id", id="two-managers"),
        pytest.param([bytes.fromhex("0a020b00"), associate()], "not 16 octets", id="short-manager"),
        pytest.param([MANAGER, associate(form=9)], "format 9", id="filter-format"),
        pytest.param([MANAGER, associate(count=2)], "2 entries", id="too-few-entries"),
        pytest.param([MANAGER, associate(count=0)], "0 entries", id="too-many-octets"),
        pytest.param([MANAGER, associate(count=0, filters=b"")], "no filter info", id="none"),
        pytest.param(
            [MANAGER, associate(fixed=FIXED_PART[:5] + b"\x09" + INSTANCE)], "id format 9",
            id="id-format",
        ),
    ],
)  # fmt: skip
def test_problem_is_told(tlvs, problem):
    frame = read(ratified(*tlvs))
    [association] = frame.associations
    assert problem in association.problem
    assert bool(association.problem) is bool(problem)
    assert bool(association.filters) is not bool(problem)


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        pytest.param(ratified(MANAGER, associate()[:-1]), "where 32 are left", id="truncated"),
        pytest.param(ratified(MANAGER, b"\x06\x01\x00"), "too short", id="short"),
        pytest.param(ratified(MANAGER, b"\x0c\x00"), "TLV 6 is not known", id="unknown"),
    ],
)
def test_fault_is_told(octets, fault):
    frame = read(octets)
    assert frame.associations == ()
    assert any(fault in text for text in frame.faults)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        pytest.param(ratified()[:16], "cut off", id="cut-off"),
        pytest.param(ratified(head="20010001"), "version 2", id="version"),
        pytest.param(ratified(head="18010001"), "operation 2", id="operation"),
        pytest.param(ratified()[:12] + b"\x88\xcc" + bytes(46), "does not begin", id="no-lldpdu"),
        pytest.param(ratified()[:12] + b"\x88\xb7\0\x1b\x3f\0\0", "cut off", id="draft"),
    ],
)
def test_malformed_is_told(octets, reason):
    found = read(octets)
    assert isinstance(found, Malformed)
    assert reason in found.reason


def test_others_frames_are_no_control_frames():
    assert read(bytes(12) + b"\x08\x00" + bytes(46)) is None
    assert read(bytes(12) + b"\x88\xb7\0\x80\xc2" + bytes(43)) is None  # another owner's OUI
    assert read(b"") is None


@FIXED
@given(st.sampled_from([b"\x89\x40", b"\x88\xb7", b"\x88\xcc"]), st.binary(max_size=200))
def test_reading_never_raises(ethertype, body):
    read(bytes(12) + ethertype + body)


@pytest.mark.parametrize(
    "association",
    [
        Association(Command.ASSOCIATE, Vsi(manager_of(1), 1 << 24, 0, INSTANCE), ()),
        Association(Command.ASSOCIATE, Vsi(manager_of(1), 0, 0, INSTANCE), (FilterInfo(4096),), 1),
        Association(
            Command.ASSOCIATE, Vsi(manager_of(1), 0, 0, INSTANCE), (FilterInfo(1, bytes(6)),) * 70
        ),
    ],
    ids=["type-id", "vid", "too-long"],
)
def test_writing_what_does_not_fit(association):
    with pytest.raises(ValueError):
        write(EcpFrame(Dialect.RATIFIED, STATION, STATION, 1, False, (association,)))


def test_exponents_are_tens_of_microseconds():
    assert seconds(0) == pytest.approx(1e-5)
    assert seconds(20) == pytest.approx(10.48576)  # lldpad's keepalive
