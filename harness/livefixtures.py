"""Live testbeds for tests, and what of them is shared.

Fixtures: `testbed`, a factory that takes a Topology and returns it live; `stacks`, the same
with network stacks that real programs run on. Both are shared between tests that ask for an
equal topology; one whose test has failed is not used again.
`backend` says what stands for a guest's end, for tests that bring up something of their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from harness.caseitem import CaseFile, CaseItem
from harness.cases import Case, everything_plain
from harness.errors import DifferenceError, UnfitError
from harness.kernel.features import Backend, missing_for
from harness.kernel.processes import find_program
from harness.kernel.syscalls import current_cpu
from harness.operations import Send
from harness.plugin import (
    Heard,
    backend_of,
    evidence_folder,
    failed_key,
    fit,
    heard_key,
    worker_key,
)
from harness.testbed import Testbed
from harness.testbed.pool import Pool
from harness.testbed.stacks import Stacks
from harness.topology import Topology

__all__ = ["close_testbeds", "lend"]

_pool = pytest.StashKey[Pool]()
_lent = pytest.StashKey[list[Testbed]]()
_stacks = pytest.StashKey[dict[tuple[Topology, bool], Stacks]]()


def _live_pool(config: pytest.Config) -> Pool:
    if _pool not in config.stash:
        config.stash[_pool] = Pool(backend_of(config))
        # One CPU for the session: another one for each worker, and otherwise the one that the
        # scheduler has chosen, so that several runs at once spread.
        cpus = sorted(os.sched_getaffinity(0))
        xdist = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
        worker = int(xdist) if xdist else config.stash.get(worker_key, None)
        os.sched_setaffinity(0, {current_cpu() if worker is None else cpus[worker % len(cpus)]})
    return config.stash[_pool]


def close_testbeds(config: pytest.Config) -> None:
    """Take down all that tests were given; idempotent."""
    for net in config.stash.get(_stacks, {}).values():
        net.close()
    if _pool in config.stash:
        config.stash[_pool].close()


def lend(item: pytest.Item, bed: Testbed, *, between: str = "") -> None:
    """Let the test `item` have `bed`: its verdicts are the test's, evidence kept where asked for.

    When it gets it first, nothing is on its way there: the test before may not have waited for all
    that it sent. Raises StrayFrameError when a copy of a stimulus still was.
    """
    folder = evidence_folder(item.config)
    heard = item.stash.setdefault(heard_key, [])
    bed.on_verdict = lambda verdict, seconds: heard.append(Heard(verdict, seconds, between))
    bed.wants_evidence = folder.has_room if folder else lambda: False
    lent = item.stash.setdefault(_lent, [])
    if bed not in lent:
        lent.append(bed)
        bed.settle()


@pytest.fixture
def testbed(request: pytest.FixtureRequest) -> Iterator[Callable[[Topology], Testbed]]:
    """A factory: ``testbed(topology)`` is that topology, live.

    Skips where the kernel lacks a part of it.
    """
    pool = _live_pool(request.config)
    features = fit(request.config)
    between = "taps" if request.node.get_closest_marker("guests") else ""
    used: list[Topology] = []

    def make(topology: Topology) -> Testbed:
        reason = missing_for(topology, features)
        if reason:
            pytest.skip(reason)
        bed = pool.get(topology)
        lend(request.node, bed, between=between)
        used.append(topology)
        return bed

    yield make
    if request.node.stash.get(failed_key, False):
        for topology in used:
            pool.drop(topology)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Backend:
    """What stands for a guest's end in this run. Namespaces can be made once it is asked for."""
    _live_pool(request.config)
    return backend_of(request.config)


@pytest.fixture
def stacks(request: pytest.FixtureRequest) -> Iterator[Callable[..., Stacks]]:
    """A factory: ``stacks(topology, programs=("ping",), ipv6=False)`` is that, live.

    Skips where the machine lacks a program, the kernel a part, or /dev/net/tun is not to be had.
    """
    features = fit(request.config)
    pool = request.config.stash.setdefault(_stacks, {})
    used = set()

    def make(topology: Topology, *, programs: Iterable[str] = (), ipv6: bool = False) -> Stacks:
        reason = missing_for(topology, features)
        if reason:
            pytest.skip(reason)
        key = topology, ipv6
        try:
            for program in programs:
                find_program(program)
            if key not in pool:
                backend = backend_of(request.config)
                pool[key] = Stacks(topology, backend=backend, ipv6=ipv6)
        except UnfitError as error:
            pytest.skip(str(error))
        used.add(key)
        return pool[key]

    yield make
    if request.node.stash.get(failed_key, False):
        for key in used:
            pool.pop(key).close()


# ---------------------------------------------------------------------- cases from files


def _run_case(item: CaseItem, case: Case) -> None:
    """A case on a testbed of its own, which its steps change."""
    features = fit(item.config)
    for topology in (case.topology, *(topology for _, topology in case.states())):
        reason = missing_for(topology, features)
        if reason:
            pytest.skip(reason)
    differing = []
    pool = _live_pool(item.config)
    with pool.new(case.topology) as bed:
        lend(item, bed)
        for step in case.steps or everything_plain(case.topology):
            if not isinstance(step, Send):
                bed.become(step.applied(bed.topology))
            elif (verdict := bed.verdict(step.stimulus)).differences:
                differing.append(str(verdict))
    if differing:
        raise DifferenceError("\n".join(differing))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if not CaseFile.wanted(file_path, parent.session):
        return None
    collector: CaseFile = CaseFile.from_parent(parent, path=file_path)
    collector.runner = _run_case
    return collector


# ---------------------------------------------------------------------- the end


def pytest_unconfigure(config: pytest.Config) -> None:
    close_testbeds(config)
