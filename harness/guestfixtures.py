"""Fixtures for tests with real guests (marker `guests`): QEMU under libvirt, behind our switch.

`guest_bed` is a factory like `testbed`: it takes a Topology and returns it live, with the same
verdicts. Guests stay up between tests, and change their mode on the way. `client` holds what a
client in one of them gets through against the model, and puts that into the matrix. `cables` is
where nothing is predicted: guests on lower devices of their own, changed live and read back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import DifferenceError, UnfitError
from harness.livefixtures import lend
from harness.model.clients import reaches
from harness.parts import Mode
from harness.plugin import case_of, failed_key, fit, section_of, told_key
from harness.report import CellOutcome, Record
from harness.report.labels import column_of
from harness.topofile import dump_topology
from harness.topology import Topology

if TYPE_CHECKING:
    from harness.guests.bed import Answer, GuestBed
    from harness.guests.cable import GuestCables

__all__ = ["cables", "client", "guest_bed", "own_cables"]

# Where guests may run: testbeds pin us, and with us whatever we start, to one CPU.
_CPUS = os.sched_getaffinity(0)
_beds = pytest.StashKey[dict[Topology, "GuestBed"]]()
REAL = "real guests"


def _wires(topology: Topology) -> Topology:
    """What all topologies share that one testbed can become without a guest being restarted.

    A guest that is in passthru is bound to that from its start, and the others to what they are.
    """
    return topology.without_hairpin.with_parts(
        guests=[
            g if g.mode is Mode.PASSTHRU else type(g)(g.name, Mode.VEPA, g.lower, g.mac)
            for g in topology.guests
        ]
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hairpin")
    group.addoption(
        "--hairpin-domain",
        action="append",
        default=[],
        type=Path,
        metavar="XML",
        help="try the macvtap interfaces of this domain instead of the documentation's",
    )
    group.addoption(
        "--hairpin-map",
        action="append",
        default=[],
        metavar="DEV=LINK",
        help="what the domain calls DEV is called LINK in the test",
    )


@pytest.fixture
def guest_bed(request: pytest.FixtureRequest) -> Iterator[Callable[[Topology], GuestBed]]:
    """A factory: ``guest_bed(topology)`` is that topology live, with real guests.

    Skips, with the remedy, where libvirt, QEMU or what a guest is made of is missing.
    """
    fit(request.config)
    beds = request.config.stash.setdefault(_beds, {})
    used: list[Topology] = []

    def make(topology: Topology) -> GuestBed:
        wires = _wires(topology)
        try:
            if wires not in beds:
                for other in list(beds):  # guests cost memory and time: one bed at a time
                    beds.pop(other).close()
                beds[wires] = _new(topology)
        except UnfitError as error:
            pytest.skip(str(error))
        bed = beds[wires]
        bed.become(topology)
        lend(request.node, bed, between=REAL)
        used.append(wires)
        return bed

    yield make
    if request.node.stash.get(failed_key, False):
        for wires in used:
            if wires in beds:
                beds.pop(wires).close()


def _new(topology: Topology) -> GuestBed:
    from harness.guests.accelerator import working_accelerator
    from harness.guests.bed import GuestBed
    from harness.guests.tiny.image import image

    ours = image()
    return GuestBed(topology, ours, cpus=_CPUS, accelerator=working_accelerator(ours))


def _new_cables(request: pytest.FixtureRequest) -> GuestCables:
    fit(request.config)
    try:
        from harness.guests.accelerator import working_accelerator
        from harness.guests.cable import GuestCables
        from harness.guests.tiny.image import image

        ours = image()
        return GuestCables(ours, cpus=_CPUS, accelerator=working_accelerator(ours))
    except UnfitError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cables(request: pytest.FixtureRequest) -> Iterator[GuestCables]:
    """A libvirtd and cables for all tests: each makes lower devices and guests of its own.

    Skips, with the remedy, where libvirt, QEMU or what a guest is made of is missing.
    """
    with _new_cables(request) as found:
        yield found


@pytest.fixture
def own_cables(request: pytest.FixtureRequest) -> Iterator[GuestCables]:
    """The same for one test alone, which may stop its libvirtd."""
    with _new_cables(request) as found:
        yield found


@pytest.fixture
def client(
    request: pytest.FixtureRequest,
) -> Callable[[str, GuestBed, str, str, Callable[[], Answer]], None]:
    """Holds what a client gets against the model: ``client("ping", bed, "a", "b", asking)``.

    `asking` asks. Raises DifferenceError when the answer is not as predicted.
    """
    told = request.node.stash.setdefault(told_key, [])

    def check(
        name: str, bed: GuestBed, station: str, other: str, asking: Callable[[], Answer]
    ) -> None:
        predicted = reaches(bed.topology, station, other)
        found = asking()
        agrees = predicted.ok is found.ok
        told.append(
            Record(
                case=case_of(request.node),
                section=section_of(request.node),
                row=f"{name} {station} → {other}, {REAL}",
                column=column_of(bed.topology),
                outcome=CellOutcome.AS_PREDICTED if agrees else CellOutcome.DIFFERS,
                focus=other,
                predicted={other: int(predicted.ok)},
                seen={other: int(found.ok)},
                reason=predicted.why if agrees else "",
                causes=() if agrees or not found.why else (f"the client said: {found.why}",),
                topology=dump_topology(bed.topology),
            )
        )
        if not agrees:
            raise DifferenceError(
                f"{name} {station} → {other}: predicted {predicted}, the client got {found}"
            )

    return check


def pytest_unconfigure(config: pytest.Config) -> None:
    """Pull every plug."""
    for bed in config.stash.get(_beds, {}).values():
        bed.close()
