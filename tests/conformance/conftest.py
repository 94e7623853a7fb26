"""Topologies that several subjects share.

The fixtures are of session scope, so pytest runs everything on one topology before the next:
each is brought up once.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack

import pytest

from harness import Guest, Mode, Switch, Testbed, Topology
from harness.kernel.features import Backend, probe
from harness.kernel.netns import on_thread

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
def _taken_down():
    """``_taken_down(bed)``: on a thread, since that waits for the kernel; all are by the end."""
    closing = []
    yield lambda bed: closing.append(on_thread(bed.close))
    for future in closing:
        future.result()


@pytest.fixture
def taps(testbed, request, _taken_down):
    """`testbed` for what is about the taps themselves; skips where there are none.

    ``taps(topology, own=True)`` is shared with nobody: the test may leave it broken.
    """
    if request.config.getoption("hairpin_backend") == Backend.PACKET:
        pytest.skip("packet sockets stand for the taps (--hairpin-backend)")
    if probe().backend is not Backend.TAP:
        pytest.skip(f"no taps: {probe().backend_reason}")
    with ExitStack() as undo:

        def make(topology: Topology, *, own: bool = False) -> Testbed:
            if not own:
                return testbed(topology)
            bed = Testbed(topology)
            undo.callback(_taken_down, bed)
            return bed

        yield make
