"""Topologies that several subjects share.

The fixtures are of session scope, so pytest runs everything on one topology before the next:
each is brought up once.
"""

from __future__ import annotations

import contextlib
import itertools

import pytest

from harness import Guest, Mode, Switch, Topology
from harness.testbed.cable import Cable

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


@pytest.fixture
def cable(backend):
    """A factory of cables: ``cable(*guests, mtu=1500)``, each the test's own to change at will.

    a [tap]--.
             lower ----- far
    b [tap]--'
    """
    with contextlib.ExitStack() as undo:
        yield lambda *guests, mtu=1500: undo.enter_context(Cable(guests, backend=backend, mtu=mtu))
