"""With --hairpin-dmesg: a case during which the kernel complains has failed.

Meant for a machine that does nothing else (`hairpin vm`): the kernel's log does not say who was
the cause.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from harness.errors import UnfitError
from harness.kernel.kmsg import KernelLog
from harness.machines.oops import troubles_in
from harness.plugin import EXIT_UNFIT, case_of, forked_key, section_of
from harness.report import CellOutcome, Record

__all__: list[str] = []

_log = pytest.StashKey[KernelLog]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("hairpin").addoption(
        "--hairpin-dmesg",
        action="store_true",
        help="fail the case during which the kernel logs a warning, an oops, a lockdep splat",
    )


def pytest_configure(config: pytest.Config) -> None:
    def listen() -> None:
        pytest_unconfigure(config)
        config.stash[_log] = KernelLog()

    if config.getoption("hairpin_dmesg"):
        try:
            listen()
        except UnfitError as error:
            pytest.exit(f"hairpin: {error}", returncode=EXIT_UNFIT)
        # Whoever reads a line takes it from all who share the descriptor.
        config.stash.setdefault(forked_key, []).append(listen)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _log in config.stash:
        config.stash[_log].close()


@pytest.hookimpl(wrapper=True, trylast=True)  # before harness.plugin makes records of the report
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    log = item.config.stash.get(_log, None)
    troubles = troubles_in(log.read()) if log else ()
    if troubles:
        said = "; ".join(map(str, troubles))
        if not report.failed:
            report.outcome = "failed"
            report.longrepr = f"the kernel complained: {said}"
        for trouble in troubles:
            report.sections.append((f"the kernel's log: {trouble.kind}", "\n".join(trouble.lines)))
        if report.when == "teardown":  # whose reports have no record otherwise
            name = getattr(item, "originalname", None) or item.name
            record = Record(
                case=case_of(item),
                section=section_of(item),
                row=name.removeprefix("test_").replace("_", " "),
                column=("", ""),
                outcome=CellOutcome.ERROR,
                reason=f"afterwards the kernel complained: {said}",
            )
            report.hairpin = [record.to_json()]  # type: ignore[attr-defined]
    return report
