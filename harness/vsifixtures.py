"""Fixtures for tests with real stations (marker `vsi`): libvirt and lldpad at our EVB switch.

`station` is a factory: ``station(dialect)`` is a host with libvirtd and lldpad that speaks it,
and the switch. It is shared: each test has a NIC of its own there, and leaves no guest.
`own_station` makes one for a test that breaks something.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import UnfitError
from harness.plugin import failed_key, fit

if TYPE_CHECKING:
    from harness.vsi.facts import Dialect
    from harness.vsi.station import StationBed
    from harness.vsi.station.pair import StationPair

__all__ = ["own_station", "station", "station_pair"]

_CPUS = os.sched_getaffinity(0)  # a testbed may pin us, and with us what we start, to one CPU
_stations = pytest.StashKey[dict["Dialect", "StationBed"]]()


def _new(**what: Any) -> StationBed:
    try:
        from harness.guests.accelerator import working_accelerator
        from harness.guests.tiny.image import image
        from harness.vsi.station import StationBed

        ours = image()
        return StationBed(ours, cpus=_CPUS, accelerator=working_accelerator(ours), **what)
    except UnfitError as error:
        pytest.skip(str(error))


def _new_pair(dialect: Dialect) -> StationPair:
    try:
        from harness.guests.tiny.image import image
        from harness.vsi.station.pair import StationPair

        return StationPair(image(), dialect=dialect)
    except UnfitError as error:
        pytest.skip(str(error))


@pytest.fixture
def station(request: pytest.FixtureRequest) -> Iterator[Callable[[Dialect], StationBed]]:
    """A factory: ``station(dialect)`` is a bed shared with other tests.

    Skips, with the remedy, where libvirt, QEMU, lldpad or what a guest is made of is missing.
    """
    fit(request.config)
    beds = request.config.stash.setdefault(_stations, {})
    used: list[Dialect] = []

    def get(dialect: Dialect) -> StationBed:
        used.append(dialect)
        if dialect not in beds:
            beds[dialect] = _new(dialect=dialect, ports=("low1", "low2"))
        return beds[dialect]

    yield get
    for dialect in used:
        if request.node.stash.get(failed_key, False):
            if dialect in beds:
                beds.pop(dialect).close()
        else:
            beds[dialect].clear()


@pytest.fixture
def own_station(request: pytest.FixtureRequest) -> Iterator[Callable[..., StationBed]]:
    """A factory: ``own_station(dialect=…, ports=…)`` is a bed of the test's own: see StationBed.

    Skips as `station` does.
    """
    fit(request.config)
    with ExitStack() as undo:
        yield lambda **what: undo.enter_context(_new(**what))


@pytest.fixture
def station_pair(request: pytest.FixtureRequest) -> Iterator[Callable[[Dialect], StationPair]]:
    """A factory: ``station_pair(dialect)`` is two hosts at one switch, for guests that move.

    Skips as `station` does.
    """
    fit(request.config)
    with ExitStack() as undo:
        yield lambda dialect: undo.enter_context(_new_pair(dialect))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Pull every plug."""
    for bed in config.stash.get(_stations, {}).values():
        bed.close()
