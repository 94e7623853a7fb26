"""matrix.json: many runs and all their cases as one versioned document.

`matrix.schema.json`, beside this module, is its schema.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.report.across.columns import Column
from harness.report.across.table import Across, Kind, Line
from harness.report.compare import signature
from harness.report.document import dump, write_whole
from harness.report.matrix import tally
from harness.report.record import Record

__all__ = ["MATRIX_FILE", "MATRIX_SCHEMA", "save_across"]

MATRIX_FILE = "matrix.json"
MATRIX_SCHEMA = "hairpin-matrix/1"


def save_across(matrix: Across, path: Path) -> None:
    """Write all of `matrix` to `path`, alike cases included: whole, or what was there before.

    Raises UsageError naming the file when it cannot be written.
    """
    write_whole(path, _document(matrix).encode())


def _document(matrix: Across) -> str:
    """One run a line, one case a line: for grep and diff."""
    runs = [_run(label, c) for label, c in zip(matrix.labels, matrix.columns, strict=True)]
    head = {
        "schema": MATRIX_SCHEMA,
        "axis": matrix.axis.value,
        "agrees": matrix.agrees,
        "counts": {kind.value: len(matrix.of_kind(kind)) for kind in Kind},
    }
    lines = [f"  {json.dumps(key)}: {dump(value)}," for key, value in head.items()]
    return "\n".join(
        [
            "{",
            *lines,
            '  "runs": [',
            ",\n".join(f"    {dump(run)}" for run in runs),
            "  ],",
            '  "cases": [',
            ",\n".join(f"    {dump(_case(line))}" for line in matrix.lines),
            "  ]",
            "}",
            "",
        ]
    )


def _run(label: str, column: Column) -> dict[str, Any]:
    run, ending = column.run, column.ending
    return {
        "label": label,
        "name": column.name,
        "path": str(column.path),
        "kernel": column.kernel,
        "state": ending.state.value,
        "status": ending.status,
        "reason": ending.reason,
        "results": run
        and {
            "started": run.started,
            "seconds": run.seconds,
            "machine": run.machine,
            "backend": run.backend,
            "version": run.version,
            "missing": dict(run.missing),
            "behaviours": dict(run.behaviours),
            "counts": {outcome.value: n for outcome, n in tally(run.records).items()},
        },
    }


def _case(line: Line) -> dict[str, Any]:
    """What came of it is written once for all runs in which the same did."""
    numbers: dict[object, int] = {}
    values: list[dict[str, Any]] = []
    cells: list[int | None] = []
    for record in line.records:
        if record is None:
            cells.append(None)
            continue
        key = (signature(record), record.reason, record.causes)
        if key not in numbers:
            numbers[key] = len(values)
            values.append(_value(record))
        cells.append(numbers[key])
    place = line.place
    return {
        "case": place.case,
        "section": line.section,
        "row": place.row,
        "column": list(place.column),
        "number": place.number,
        "kind": line.kind.value,
        "course": line.course,
        "values": values,
        "cells": cells,
    }


def _value(record: Record) -> dict[str, Any]:
    return {
        "outcome": record.outcome.value,
        "focus": record.focus,
        "predicted": dict(record.predicted),
        "seen": dict(record.seen),
        "reason": record.reason,
        "causes": list(record.causes),
    }
