"""Fixtures for tests with real stations (marker `vsi`): libvirt and lldpad at our EVB switch.

`station` is a factory: ``station(dialect)`` is a host with libvirtd and lldpad that speaks it,
and the switch. It is shared: each test has a NIC of its own there, and leaves no guest.
`own_station` makes one for a test that breaks something. What was said in each test is kept with
the reports, as a sequence chart; `exchanges` keeps more, and shows it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import UnfitError
from harness.plugin import failed_key, fit
from harness.report import make_console
from harness.report.exchange import Exchange, print_exchanges, write_exchange

if TYPE_CHECKING:
    from harness.vsi.facts import Dialect
    from harness.vsi.station import Attempt, StationBed
    from harness.vsi.station.pair import StationPair

__all__ = ["Exchanges", "exchanges", "own_station", "station", "station_pair"]

_CPUS = os.sched_getaffinity(0)  # a testbed may pin us, and with us what we start, to one CPU
_exchanges = pytest.StashKey["Exchanges"]()
_stations = pytest.StashKey[dict["Dialect", "StationBed"]]()


class Exchanges:
    """What stations and switch said, in all tests of a run.

    It is written at once where there is a `folder`.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.kept: list[Exchange] = []
        self._chosen = 0  # how many of them a test has asked for

    def keep(self, exchange: Exchange) -> None:
        """Keep one more; its chart may be empty, and then it is none."""
        if exchange.chart:
            self.kept.append(exchange)
            if self.folder is not None:
                write_exchange(exchange, self.folder)

    def show(self, title: str, chart: str) -> None:
        """Keep one whose chart goes to the terminal at the end of the run."""
        self._chosen += 1
        self.keep(Exchange(title, chart, shown=True))

    def tried(self, title: str, chart: str, attempt: Attempt) -> None:
        """Keep the start of a guest, and what the user is told of it."""
        self._chosen += 1
        told = attempt.error.message if attempt.error else ""
        logs = (("libvirt's log", attempt.logged), ("lldpad's log", attempt.lldpad))
        self.keep(Exchange(title, chart, told=told, seconds=attempt.seconds, logs=logs))

    def watch(self, bed: StationBed, title: str) -> Callable[[], None]:
        """What keeps all that is said of VSIs at `bed` between this call and its own.

        It does not where the test itself has kept something meanwhile, which says it better.
        """
        begun, before = bed.last, self._chosen

        def keep() -> None:
            if self._chosen > before:
                return
            for port in bed.ports:
                where = f" {port}" if len(bed.ports) > 1 else ""
                chart = bed.chart(port, after=begun)
                if "ECP" in chart:  # LLDP goes on all the time
                    self.keep(Exchange(f"{title}{where}", chart))

        return keep


@pytest.fixture
def exchanges(request: pytest.FixtureRequest) -> Exchanges:
    """Where charts are kept: ``exchanges.show(title, bed.chart())``."""
    return request.config.stash[_exchanges]


def pytest_configure(config: pytest.Config) -> None:
    evidence: Path | None = config.getoption("hairpin_evidence", None)
    config.stash[_exchanges] = Exchanges(evidence and evidence.parent / "exchanges")


@pytest.hookimpl(tryfirst=True)  # before the summary
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    found = config.stash[_exchanges]
    if found.kept and config.getoption("hairpin_matrix"):
        terminalreporter.ensure_newline()
        with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print_exchanges(found.kept, make_console(), found.folder)


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
def station(
    request: pytest.FixtureRequest, exchanges: Exchanges
) -> Iterator[Callable[[Dialect], StationBed]]:
    """A factory: ``station(dialect)`` is a bed shared with other tests.

    Skips, with the remedy, where libvirt, QEMU, lldpad or what a guest is made of is missing.
    """
    fit(request.config)
    beds = request.config.stash.setdefault(_stations, {})
    used: dict[Dialect, Callable[[], None]] = {}

    def get(dialect: Dialect) -> StationBed:
        if dialect not in beds:
            beds[dialect] = _new(dialect=dialect, ports=("low1", "low2"))
        if dialect not in used:
            used[dialect] = exchanges.watch(beds[dialect], request.node.name)
        return beds[dialect]

    yield get
    for dialect, keep in used.items():
        keep()
        if request.node.stash.get(failed_key, False):
            if dialect in beds:
                beds.pop(dialect).close()
        else:
            beds[dialect].clear()


@pytest.fixture
def own_station(
    request: pytest.FixtureRequest, exchanges: Exchanges
) -> Iterator[Callable[..., StationBed]]:
    """A factory: ``own_station(dialect=…, ports=…)`` is a bed of the test's own: see StationBed.

    Skips as `station` does.
    """
    fit(request.config)
    with ExitStack() as undo:

        def make(**what: Any) -> StationBed:
            bed = undo.enter_context(_new(**what))
            undo.callback(exchanges.watch(bed, request.node.name))
            return bed

        yield make


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
