"""Control frames in words."""

from dataclasses import replace

import pytest

from harness.errors import UsageError
from harness.vsi.facts import (
    Command,
    Dialect,
    DraftEvb,
    EcpFrame,
    Evb,
    EvbMode,
    FilterInfo,
    LldpFrame,
    Malformed,
    Status,
)
from harness.vsi.faults import Fault, FaultKind, parse_fault
from harness.vsi.frames import read
from harness.vsi.words import filter_words, frame_words

ADDRESS = bytes.fromhex("525400000001")
INSTANCE = "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("dialect", "status", "words"),
    [
        (Dialect.RATIFIED, 0x00, "ECP request 7  associate {} type 11/7/2 52:54:00:00:00:01"),
        (Dialect.RATIFIED, 0x10, "ECP request 7  associate (M bit) {} type"),
        (Dialect.RATIFIED, 0x40, "ECP request 7  associate granted {} type"),
        (Dialect.RATIFIED, 0x54, "ECP request 7  associate REFUSED (4 other failure, hard) {}"),
        (Dialect.RATIFIED, 0x62, "associate REFUSED (2 insufficient resources, keep) {}"),
        (Dialect.DRAFT, 0, "ECP request 7 (draft 0.2)  associate {} type 11/7/2"),
        (Dialect.DRAFT, 5, "associate REFUSED (5 VSI type version violation) {}"),
    ],
)
def test_association(station, dialect, status, words):
    one = replace(station.vsi(Command.ASSOCIATE), status=Status(status))
    frame = EcpFrame(dialect, ADDRESS, bytes(6), 7, associations=(one,))
    assert words.format(INSTANCE) in frame_words(frame)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (Malformed("cut off"), "malformed: cut off"),
        (EcpFrame(Dialect.RATIFIED, ADDRESS, bytes(6), 9, acknowledge=True), "ECP ack 9"),
        (EcpFrame(Dialect.RATIFIED, ADDRESS, bytes(6), 9, faults=("no end",)), "malformed: no end"),
        (LldpFrame(ADDRESS, bytes(6), b"", b"", 0), "LLDP 52:54:00:00:00:01 says goodbye"),
        (LldpFrame(ADDRESS, bytes(6), b"", b"", 9), "LLDP 52:54:00:00:00:01  no EVB TLV"),
        (
            LldpFrame(ADDRESS, bytes(6), b"", b"", 9, Evb(rr_capable=True, rr_control=True)),
            "EVB bridge: reflective relay enabled, R 3, RTE 0.16 s, RWD 10.5 s, RKA 10.5 s",
        ),
        (LldpFrame(ADDRESS, bytes(6), b"", b"", 9, Evb()), "reflective relay impossible, R 3"),
        (
            LldpFrame(ADDRESS, bytes(6), b"", b"", 9, Evb(mode=EvbMode.STATION, rr_request=True)),
            "EVB station: reflective relay requested",
        ),
        (
            LldpFrame(ADDRESS, bytes(6), b"", b"", 9, draft=DraftEvb(cmode=0x40)),
            "draft 0.2: reflective relay on",
        ),
    ],
)
def test_others(frame, words):
    assert words in frame_words(frame)


def test_every_captured_frame_has_words(conversation):
    _, frames = conversation
    for _, _, octets in frames:
        words = frame_words(read(octets))
        assert words.startswith(("LLDP ", "ECP "))
        assert "\n" not in words


def test_many_filters_are_counted():
    filters = tuple(FilterInfo(n, ADDRESS) for n in range(9))
    assert filter_words(filters) == "52:54:00:00:00:01, 52:54:00:00:00:01 VID 1 and 7 more"


# ---------------------------------------------------------------------- faults as words


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("no-ack", Fault(FaultKind.NO_ACK)),
        ("refuse,code=2,times=1,hard", Fault(FaultKind.REFUSE, code=2, times=1, hard=True)),
        ("late-ack,seconds=0.5,after=3", Fault(FaultKind.LATE_ACK, seconds=0.5, after=3)),
        (
            f"rewrite-vid,vid=300,instance={INSTANCE},command=associate",
            Fault(FaultKind.REWRITE_VID, Command.ASSOCIATE, (1).to_bytes(16, "big"), vid=300),
        ),
    ],
)
def test_a_fault_as_a_user_writes_it(text, fault):
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("refused", r"fault 'refused': no such kind; allowed: refuse, no-ack, .*no-evb"),
        ("refuse,cod=2", r"no 'cod'; allowed: command, instance, .*vid"),
        ("refuse,code=16", "code is 1 to 15"),
        ("refuse,code=x", "code is 1 to 15"),
        ("refuse,keep=perhaps", "keep is yes or no"),
        ("reset,times=0", "times is on how many occasions, 1 and more"),
        ("late-ack,seconds=nan", "seconds is a number of seconds"),
        ("no-ack,instance=1", "instance is a UUID"),
        ("no-ack,command=dissociate", "command is one of pre-associate, "),
        ("rewrite-vid,vid=4095", "vid is 1 to 4094"),
        ("", "fault '': no such kind"),
    ],
)
def test_a_fault_that_is_none(text, says):
    with pytest.raises(UsageError, match=says):
        parse_fault(text)
