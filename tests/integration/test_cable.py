"""The cable that conformance cases change at will, and the raw ends they read."""

import os

import pytest

from harness import DifferenceError, Guest, KernelError, Mode
from harness.kernel.linkstate import wait_for_link
from harness.testbed import raw
from harness.testbed.cable import Cable


@pytest.fixture
def bed(backend):
    with Cable([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)], backend=backend) as bed:
        yield bed


def test_a_marker_that_cannot_come_is_a_difference(bed, monkeypatch):
    monkeypatch.setattr(raw, "_MARKER_WITHIN", 0.02)
    bed.set("a", up=False)
    with pytest.raises(DifferenceError, match="a: the marker never arrived"):
        bed.seen("far", "a", at=["a"])


def test_a_marker_counts_only_as_it_was_sent(bed):
    mark = raw.marker(bed.mac("a"))
    end = bed.end("a")
    bed.end("far").send(mark[:12] + b"\x81\x00\x00\x07" + mark[12:])
    with pytest.raises(DifferenceError, match="a: the marker never arrived"):
        end.until(mark, seconds=0.02)


def test_what_nobody_asked_for_is_not_seen_later(bed):
    bed.end("a")
    for _ in range(3):
        bed.end("far").send(bed.frame("far", "a"))
    assert bed.seen("far", "b", at=["a", "b"]) == ["b"]


def test_copies_count_once_each(bed):
    frame = bed.frame("far", "a")
    bed.end("a"), bed.end("far").send(frame)
    arrived = bed.end("a").waiting()
    assert arrived == [frame]
    assert bed.end("a").waiting() == []


def test_a_state_that_does_not_come_is_told(bed):
    with pytest.raises(KernelError, match="ETIMEDOUT"):
        wait_for_link(bed.ns, "lower", lambda link: link.mtu == 1, within=0.01)


def test_the_cpus_are_given_back(backend):
    before = os.sched_getaffinity(0)
    with Cable(backend=backend):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
