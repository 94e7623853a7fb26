"""Topologies that several subjects share.

The fixtures are of session scope, so pytest runs everything on one topology before the next:
each is brought up once.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
from typing import NamedTuple

import pytest

from harness import Behaviour, Guest, KernelError, Mode, Switch, Testbed, Topology
from harness.kernel.features import Backend, missing_for, probe
from harness.kernel.netns import on_thread
from harness.testbed.cable import Cable
from harness.testbed.raw import RawEnds

GROUP = "03:68:70:00:00:01"
MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE)
SWITCHES = (Switch(hairpin=False), Switch(hairpin=True))


def _label(topology: Topology) -> str:
    modes = "-".join(guest.mode for guest in topology.guests)
    return f"{modes}-hairpin" if topology.switch.hairpin else modes


PAIRS = [
    Topology([Guest("a", first), Guest("b", second, groups=(GROUP,))], switch=switch)
    for first, second in itertools.product(MODES, MODES)
    for switch in SWITCHES
]

# The sender's mode, and every mix of two others.
TRIPLES = [
    Topology(
        [Guest("a", first), Guest("b", second), Guest("c", third, groups=(GROUP,))], switch=switch
    )
    for first in MODES
    for second, third in itertools.combinations_with_replacement(MODES, 2)
    for switch in SWITCHES
]


@pytest.fixture(params=PAIRS, ids=_label, scope="session")
def pair(request: pytest.FixtureRequest) -> Topology:
    """Two guests on one lower device: every ordered pair of modes, hairpin off and on.

    a [tap]--.
             lower ----- switch ----- external
    b [tap]--'                    b has joined GROUP
    """
    return request.param


@pytest.fixture(params=TRIPLES, ids=_label, scope="session")
def triple(request: pytest.FixtureRequest) -> Topology:
    """Three guests on one lower device; c has joined GROUP."""
    return request.param


@pytest.fixture(scope="session")
def closing():
    """What is being closed on threads: closing sockets and taps waits for RCU grace periods."""
    under_way = []
    yield under_way
    for future in under_way:
        future.result()


@pytest.fixture
def cable(backend, closing):
    """A factory of cables: ``cable(*guests, mtu=1500)``, each the test's own to change at will.

    a [tap]--.
             lower ----- far
    b [tap]--'
    """
    beds = []

    def cable(*guests, mtu=1500):
        if reason := missing_for(Topology(guests), probe()):
            pytest.skip(reason)
        beds.append(Cable(guests, backend=backend, mtu=mtu))
        return beds[-1]

    yield cable
    closing += [on_thread(bed.close) for bed in beds]


@pytest.fixture
def raw(closing):
    """A factory: the raw ends of a live testbed's stations, for frames of any kind."""
    opened = []

    def raw(bed):
        opened.append(RawEnds(bed))
        return opened[-1]

    yield raw
    closing += [on_thread(ends.close) for ends in opened]


@pytest.fixture
def own_testbed(backend, closing):
    """A factory of testbeds that no other test shares: for changes that are not put back."""
    beds = []

    def own_testbed(topology):
        beds.append(Testbed(topology, backend=backend))
        return beds[-1]

    yield own_testbed
    closing += [on_thread(bed.close) for bed in beds]


@pytest.fixture
def refuses():
    """``with refuses("EINVAL", where):`` the kernel refuses what is asked inside, as `where` says.

    `where` is the kernel function and its file, shown when the kernel does otherwise.
    """

    @contextlib.contextmanager
    def refuses(error, where):
        found = 0
        try:
            yield
        except KernelError as refusal:
            found = refusal.errno
        told = f"refused with {errno.errorcode.get(found, found)}" if found else "not refused"
        assert found == getattr(errno, error), f"{told}, {error} was to come ({where})"

    return refuses


@pytest.fixture
def taps(testbed, own_testbed, backend):
    """`testbed` for what is about the taps themselves; skips where there are none.

    ``taps(topology, own=True)`` is shared with nobody: the test may leave it broken.
    """
    if backend is Backend.PACKET:
        reason = probe().backend_reason
        pytest.skip(f"packet sockets stand for the taps: {reason or 'as asked for'}")

    def make(topology, *, own=False):
        return own_testbed(topology) if own else testbed(topology)

    return make


@pytest.fixture
def into_the_void(backend):
    """The counters that move when a, which is down or has no carrier, is given one frame."""
    counts = Behaviour.NOOP_COUNTS in probe().behaviours
    return {"a": {"tx_dropped": 1}} if counts else {}


class Clients(NamedTuple):
    """Stations with network stacks, and which of them reach which.

    `found` are those that ARP finds and that are not reached all the same.
    """

    topology: Topology
    reached: frozenset[tuple[str, str]]
    found: frozenset[tuple[str, str]]

    @property
    def flows(self) -> list[tuple[str, str]]:
        """Every ordered pair of stations."""
        return list(itertools.permutations(self.topology.macs, 2))


# Everybody reaches the external host, and it everybody.
_OUTSIDE = "a external, external a, b external, external b, lower external, external lower"
_GUESTS = "a b, b a"
_HOST = "a lower, b lower, lower a, lower b"
_CLIENTS = [
    (Mode.VEPA, False, _OUTSIDE),
    (Mode.VEPA, True, f"{_OUTSIDE}, {_GUESTS}, {_HOST}"),
    (Mode.BRIDGE, False, f"{_OUTSIDE}, {_GUESTS}"),
    (Mode.BRIDGE, True, f"{_OUTSIDE}, {_GUESTS}, {_HOST}"),
    # A private guest's ARP requests come back to itself; the host's find it.
    (Mode.PRIVATE, False, _OUTSIDE),
    (Mode.PRIVATE, True, f"{_OUTSIDE}, lower a, lower b"),
    # The guest has all of the host's unicast. The host still hears, and answers, broadcasts.
    (Mode.PASSTHRU, False, "a external, external a"),
    (Mode.PASSTHRU, True, "a external, external a"),
]


def _clients(mode: Mode, hairpin: bool, reached: str) -> Clients:
    passthru = mode is Mode.PASSTHRU
    guests = [Guest(name, mode) for name in ("a" if passthru else "ab")]
    topology = Topology(guests, switch=Switch(hairpin=hairpin))
    found = {("external", "lower")} if passthru else set()
    flows = (flow.split() for flow in reached.split(", "))
    return Clients(topology, frozenset((a, b) for a, b in flows), frozenset(found))


@pytest.fixture(
    params=[_clients(*row) for row in _CLIENTS],
    ids=[f"{mode}{'-hairpin' if hairpin else ''}" for mode, hairpin, _ in _CLIENTS],
    scope="session",
)
def clients(request: pytest.FixtureRequest) -> Clients:
    """Guests with a network stack, in each mode, hairpin off and on; passthru has one guest.

    a [stack]--.
               lower [stack] ----- switch ----- external [stack]
    b [stack]--'
    """
    return request.param
