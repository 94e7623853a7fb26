"""A run in the kernel's own test format: KTAP version 1, Documentation/dev-tools/ktap.rst.

    KTAP version 1
    1..2                                 one test for each section
    # hairpin 0.1.0 …
      KTAP version 1
      1..2                               one subtest for each record
      ok 1 unicast[vepa-vepa]
      # b: 1 predicted, 0 seen           diagnostics stand before the result they belong to
      not ok 2 unicast[bridge-bridge]
    not ok 1 unicast
    ok 2 dummy lower devices # SKIP …

Skipped and failed to run are the directives SKIP and ERROR. "Documented otherwise" is ``ok``:
the kernel did what the model says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.report.matrix import Matrix, deviations, matrices, reproduce
from harness.report.record import CellOutcome, Record, Run

__all__ = ["to_ktap"]

_VERSION = "KTAP version 1"
_INDENT = "  "
_FAILED = frozenset({CellOutcome.DIFFERS, CellOutcome.BROKEN, CellOutcome.ERROR})


def to_ktap(run: Run) -> str:
    """The whole run, ending in a newline."""
    sections = matrices(run.records)
    lines = [
        _VERSION,
        f"1..{len(sections)}",
        _diagnostic(f"hairpin {run.version}, started {run.started}"),
        _diagnostic(f"Linux {run.kernel} on {run.machine}, backend {run.backend}"),
        *(_diagnostic(f"missing: {name}: {what}") for name, what in run.missing.items()),
    ]
    for number, section in enumerate(sections, 1):
        lines += _section(number, section)
    return "\n".join(lines) + "\n"


def _section(number: int, section: Matrix) -> Iterator[str]:
    records = section.records
    yield _INDENT + _VERSION
    yield f"{_INDENT}1..{len(records)}"
    cases = Counter(record.case for record in records)
    for i, record in enumerate(records, 1):
        result = _result(i, record, _name(record, alone=cases[record.case] == 1))
        for line in (*_diagnostics(record), result):
            yield _INDENT + line
    failed = any(record.outcome in _FAILED for record in records)
    result = f"{_status(failed)} {number} {_description(section.title)}"
    yield f"{result} {_skipped_all(records)}".rstrip()


def _skipped_all(records: Sequence[Record]) -> str:
    """The directive of a section in which everything was skipped, else nothing."""
    if any(record.outcome is not CellOutcome.SKIPPED for record in records):
        return ""
    reasons = dict.fromkeys(record.reason for record in records)
    return f"# SKIP {_line('; '.join(reasons))}"


def _name(record: Record, *, alone: bool) -> str:
    """The case; with its place where one case has several records, for parsers go by names."""
    place = ", ".join(filter(None, (record.row, *record.column)))
    return _description(record.case if alone else f"{record.case}: {place}")


def _result(number: int, record: Record, name: str) -> str:
    text = f"{_status(record.outcome in _FAILED)} {number} {name}"
    if record.outcome is CellOutcome.SKIPPED:
        return f"{text} # SKIP {_line(record.reason)}".rstrip()
    if record.outcome is CellOutcome.ERROR:
        return f"{text} # ERROR {_line(record.reason)}".rstrip()
    if record.outcome is CellOutcome.BROKEN:
        return f"{text} # {_line(record.reason)}".rstrip()
    return text


def _diagnostics(record: Record) -> Iterator[str]:
    if record.outcome is CellOutcome.DOCUMENTED_OTHERWISE:
        for promise in record.promises:
            if not promise["kept"]:
                yield _diagnostic(
                    f"documented otherwise: {promise['text']}"
                    f" ({promise['source']}; {promise['section']})"
                )
    for deviation in deviations(record):
        yield _diagnostic(str(deviation))
    for cause in record.causes:
        yield _diagnostic(f"likely cause: {cause}")
    for finding in record.findings:
        yield _diagnostic(finding)
    if record.evidence:
        yield _diagnostic(f"evidence: {record.evidence}")
    if record.outcome in _FAILED:
        yield _diagnostic(f"again: {reproduce(record)}")


def _status(failed: bool) -> str:  # noqa: FBT001 - a word for a truth value
    return "not ok" if failed else "ok"


def _description(text: str) -> str:
    """`text` as a test's name, in which KTAP allows no # and no newline."""
    return _line(text).replace("#", "%23")


def _diagnostic(text: str) -> str:
    return f"# {_line(text)}"


def _line(text: str) -> str:
    return " ".join(text.split())
