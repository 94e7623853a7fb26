"""Counters: what moved, and what moved beyond the usual."""

import os

import pytest

from harness.kernel.counters import beyond, moved, softnet_counters


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        pytest.param({}, {}, {}, id="nothing"),
        pytest.param({"a": {"rx": 1}}, {"a": {"rx": 1}}, {}, id="stood still"),
        pytest.param({"a": {"rx": 1}}, {"a": {"rx": 4}}, {"a": {"rx": 3}}, id="moved"),
        pytest.param({}, {"a": {"rx": 4}}, {"a": {"rx": 4}}, id="new link"),
        pytest.param({"a": {"rx": 4}}, {"a": {"rx": 1}}, {"a": {"rx": -3}}, id="set back"),
    ],
)
def test_moved(before, after, changes):
    assert moved(before, after) == changes


@pytest.mark.parametrize(
    ("usual", "changes", "left"),
    [
        pytest.param({"a": {"rx": 2}}, {"a": {"rx": 2}}, {}, id="as usual"),
        pytest.param({"a": {"rx": 2}}, {"a": {"rx": 3}}, {"a": {"rx": 1}}, id="one more"),
        pytest.param({}, {"a": {"drop": 1}}, {"a": {"drop": 1}}, id="unusual link"),
        pytest.param({"a": {"rx": 2}}, {}, {"a": {"rx": -2}}, id="less: the link is missing"),
        pytest.param(
            {"a": {"rx": 2}}, {"a": {"drop": 2}}, {"a": {"rx": -2, "drop": 2}}, id="other counter"
        ),
    ],
)
def test_beyond(usual, changes, left):
    assert beyond(usual, changes) == left


def test_softnet_of_every_cpu_here():
    """Counters, not one of them taken for another's: there are three, and none is negative."""
    for cpu in os.sched_getaffinity(0):
        found = softnet_counters(cpu)
        assert set(found) == {"dropped", "time_squeeze", "flow_limit"}
        assert min(found.values()) >= 0


def test_softnet_of_a_cpu_that_is_not_there():
    assert softnet_counters(1 << 20) == {}
