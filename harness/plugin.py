"""The pytest plugin: its options, and reports made of the verdicts that tests have heard.

The fixtures are in modules of their own, which it loads: `harness.livefixtures` and others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from harness.behaviours import Behaviour
from harness.caseitem import CaseItem
from harness.errors import UnfitError
from harness.interrupts import interrupted
from harness.kernel.features import Backend, Features, probe, require
from harness.kernel.privileges import ensure_namespaces
from harness.report import (
    CellOutcome,
    EvidenceFolder,
    Record,
    Run,
    failure_text,
    make_console,
    print_run,
    to_ktap,
    write_json,
)
from harness.report.labels import column_of
from harness.stimulus import Stimulus
from harness.testbed import Verdict
from harness.topofile import dump_topology
from harness.topology import Topology

__all__ = [
    "EXIT_UNFIT",
    "Heard",
    "backend_of",
    "case_of",
    "evidence_folder",
    "failed_key",
    "fit",
    "forked_key",
    "heard_key",
    "record_lost",
    "section_of",
    "told_key",
    "worker_key",
]

pytest_plugins = (
    "harness.livefixtures",  # before those that import it
    "harness.choosing",
    "harness.dmesgwatch",
    "harness.forking",
    "harness.guestfixtures",
    "harness.sriovfixtures",
    "harness.vsifixtures",
)

EXIT_UNFIT = 3
EXIT_INTERRUPTED = 130

_features = pytest.StashKey[Features]()
_collector = pytest.StashKey["_Collector"]()
failed_key = pytest.StashKey[bool]()
"""Of a test that has failed: what it was given shall not be used again."""
heard_key = pytest.StashKey[list["Heard"]]()
told_key = pytest.StashKey[list[Record]]()
worker_key = pytest.StashKey[int]()
"""The number of this worker, of those that --hairpin-jobs makes."""
forked_key = pytest.StashKey[list[Callable[[], None]]]()
"""What a worker does first: to open anew what it would share."""
_evidence = pytest.StashKey[EvidenceFolder | None]()


@dataclass(frozen=True)
class Heard:
    """A verdict of a test, the seconds it took, and between whom where that is not plain."""

    verdict: Verdict
    seconds: float
    between: str = ""


def case_of(item: pytest.Item) -> str:
    """The node id; with the path of its file where that lies outside of the suite.

    There pytest leaves the file out, and nobody could run the case again.
    """
    if item.path.is_relative_to(item.config.rootpath):
        return item.nodeid
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    here = "" if path.startswith("..") else "./"
    return f"{here}{path}::{item.nodeid.partition('::')[2]}"


def section_of(item: pytest.Item) -> str:
    """The subject of a test: what its file is about."""
    if isinstance(item, CaseItem):
        return "Cases from files"
    doc = (getattr(getattr(item, "module", None), "__doc__", None) or "").strip()
    first = doc.splitlines()[0] if doc else item.path.stem.removeprefix("test_").replace("_", " ")
    return first.rstrip(".")


def fit(config: pytest.Config) -> Features:
    """What this machine can do; leaves pytest with status 3 when that is not enough."""
    if _features not in config.stash:
        try:
            ensure_namespaces()
            features = probe()
            require(features)
        except UnfitError as error:
            pytest.exit(f"hairpin: {error}", returncode=EXIT_UNFIT)
        config.stash[_features] = features
    return config.stash[_features]


def backend_of(config: pytest.Config) -> Backend:
    """What stands for a guest's end: as asked for, or the best that this machine has."""
    asked = config.getoption("hairpin_backend")
    return fit(config).backend if asked == "auto" else Backend(asked)


# ---------------------------------------------------------------------- hooks


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hairpin")
    group.addoption(
        "--hairpin-backend",
        choices=["auto", *Backend],
        default="auto",
        help="what stands for a guest: a tap descriptor, or a packet socket on the macvtap link",
    )
    group.addoption("--hairpin-json", type=Path, metavar="FILE", help="write results.json there")
    group.addoption("--hairpin-ktap", type=Path, metavar="FILE", help="write KTAP there")
    group.addoption(
        "--hairpin-evidence",
        type=Path,
        metavar="DIR",
        help="gather evidence on differences, and write it there: captures, counters, drops",
    )
    group.addoption(
        "--hairpin-matrix", action="store_true", help="print the matrix and the summary at the end"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_collector] = _Collector()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol() -> None:
    if interrupted():  # and it was lost: no other test begins
        raise KeyboardInterrupt


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[failed_key] = True
    heard = item.stash.get(heard_key, [])
    if report.when == "call" or (report.when == "setup" and not report.passed):
        records = _records(item, report, heard, call.excinfo)
        report.hairpin = [record.to_json() for record in records]  # type: ignore[attr-defined]
        report.hairpin_seconds = sum(x.seconds for x in heard)  # type: ignore[attr-defined]
        for one, record in zip(heard, records, strict=False):
            if report.failed and one.verdict.differences:
                text = failure_text(record, one.verdict)
                report.sections.append((f"hairpin: {one.verdict.stimulus}", text))
    return report


def evidence_folder(config: pytest.Config) -> EvidenceFolder | None:
    """Where evidence goes; None when nobody asked for it."""
    if _evidence not in config.stash:
        path = config.getoption("hairpin_evidence")
        features = fit(config)
        system = f"Linux {features.kernel}, {features.machine}"
        application = f"hairpin {version('hairpin')}"
        asked = config.getoption("hairpin_backend")
        options = "" if asked == "auto" else f"--backend {asked}"
        run = f"{application} on {system}, backend {backend_of(config)}"
        config.stash[_evidence] = path and EvidenceFolder(
            path.resolve(), run=run, options=options, system=system, application=application
        )
    return config.stash[_evidence]


def _records(
    item: pytest.Item,
    report: pytest.TestReport,
    heard: list[Heard],
    raised: pytest.ExceptionInfo[BaseException] | None,
) -> list[Record]:
    """What the matrix shows of one test: its verdicts, in order, or what it came to without."""
    section = section_of(item)
    records = []
    for one in heard:
        verdict = one.verdict
        record = Record.of(
            verdict,
            case=case_of(item),
            section=section,
            row=f"{verdict.stimulus}, {one.between}" if one.between else str(verdict.stimulus),
            column=column_of(verdict.topology),
            topology=dump_topology(verdict.topology),
        )
        folder = item.config.stash.get(_evidence, None)
        records.append(folder.keep(record, verdict) if folder and verdict.evidence else record)
    told: list[Record] = item.stash.get(told_key, [])
    records += told
    if report.failed and not any(r.outcome is CellOutcome.DIFFERS for r in records):
        checked = raised is not None and isinstance(
            raised.value, (AssertionError, pytest.fail.Exception)
        )
        outcome = CellOutcome.BROKEN if checked else CellOutcome.ERROR
        records.append(_blank(item, section, outcome, _message(report)))
    if report.passed and not records:
        records.append(_blank(item, section, CellOutcome.HOLDS, ""))
    if report.skipped and not records:
        records.append(_blank(item, section, CellOutcome.SKIPPED, _message(report)))
    return records


def _message(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr).strip().splitlines()[0]


def _blank(item: pytest.Item, section: str, outcome: CellOutcome, reason: str) -> Record:
    """A record without a verdict, placed by the test's parameters as far as they tell."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    topology = next((p for p in params.values() if isinstance(p, Topology)), None)
    stimulus = next((p for p in params.values() if isinstance(p, Stimulus)), None)
    name = getattr(item, "originalname", None) or item.name
    return Record(
        case=case_of(item),
        section=section,
        row=str(stimulus or name.removeprefix("test_").replace("_", " ")),
        column=column_of(topology) if topology else ("", ""),
        outcome=outcome,
        reason=reason,
    )


def record_lost(item: pytest.Item, reason: str) -> pytest.TestReport:
    """The report of a test in whose midst its worker ended, with its record."""
    report = pytest.TestReport(
        item.nodeid, item.location, {}, "failed", reason, "call", duration=0.0
    )
    record = _blank(item, section_of(item), CellOutcome.ERROR, reason)
    report.hairpin = [record.to_json()]  # type: ignore[attr-defined]
    return report


# ---------------------------------------------------------------------- reports


@dataclass
class _Collector:
    """What has come in so far, from this process or from workers."""

    records: list[Record] = field(default_factory=list)
    seconds: float = 0.0
    started: float = field(default_factory=time.time)

    def run(self, config: pytest.Config, status: int) -> Run:
        features = fit(config)
        return Run(
            records=tuple(self.records),
            started=datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds"),
            seconds=time.time() - self.started,
            verdict_seconds=self.seconds,
            kernel=features.kernel,
            machine=features.machine,
            backend=backend_of(config).value,
            version=version("hairpin"),
            missing=features.missing,
            behaviours={x.key: x in features.behaviours for x in Behaviour},
            exit_status=status,
        )


def _status(status: int) -> int:
    """Hairpin's: pytest has the number of wrong usage for what was interrupted."""
    return EXIT_INTERRUPTED if status == pytest.ExitCode.INTERRUPTED else int(status)


class _Reporter:
    """Collects in the process that reports, which with pytest-xdist runs no test itself."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        collector = self._config.stash[_collector]
        collector.records += [Record.from_json(r) for r in getattr(report, "hairpin", ())]
        collector.seconds += getattr(report, "hairpin_seconds", 0.0)

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
    ) -> None:
        collector = config.stash[_collector]
        json_path, ktap_path = config.getoption("hairpin_json"), config.getoption("hairpin_ktap")
        matrix = config.getoption("hairpin_matrix")
        if not collector.records or not (json_path or ktap_path or matrix):
            return
        run = collector.run(config, _status(exitstatus))
        if json_path:
            write_json(run, json_path)
        if ktap_path:
            ktap_path.write_text(to_ktap(run), encoding="utf-8")
        if matrix:
            terminalreporter.ensure_newline()
            with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                evidence = config.getoption("hairpin_evidence")
                print_run(run, make_console(), folder=evidence and evidence.parent)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Reporter(config), "hairpin-reporter")
