"""bench.json: a benchmark run as a versioned document, written whole and read back with care.

`bench.schema.json`, beside this module, is its schema.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.bench.measurement import SCHEMA, Better, Limit, Run, Test
from harness.errors import UsageError
from harness.report.document import (
    NUMBER,
    SECONDS,
    TEXT,
    Check,
    Field,
    dump,
    is_count,
    is_list,
    is_list_of,
    is_map_to,
    is_number,
    is_one_of,
    is_text,
    load,
    picked,
    write_whole,
)

__all__ = ["BENCH_FILE", "load_run", "save_run"]

BENCH_FILE = "bench.json"
_FAMILY = SCHEMA.partition("/")[0] + "/"


def save_run(run: Run, folder: Path) -> Path:
    """Write `run` to bench.json in `folder`, which is made if need be; the file.

    What was there before stays unless all of it is written. Raises UsageError naming what
    cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}") from error
    path = folder / BENCH_FILE
    write_whole(path, _document(run).encode())
    return path


def _document(run: Run) -> str:
    """One measurement a line: for grep and diff."""
    head = run.to_json()
    rows = [f"    {dump(row)}" for row in head.pop("measurements")]
    lines = [f"  {json.dumps(key)}: {dump(value)}," for key, value in head.items()]
    return "\n".join(["{", *lines, '  "measurements": [', ",\n".join(rows), "  ]", "}", ""])


def load_run(path: Path) -> Run:
    """The run that `save_run` wrote to `path`: bench.json, or the folder that it is in.

    Raises UsageError naming the file, and where in it, when it is not there, is not JSON, is no
    benchmark run, or is one of another version.
    """
    if path.is_dir():
        path /= BENCH_FILE
    document = load(path)
    found = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(found, str) or not found.startswith(_FAMILY):
        raise UsageError(f"{path}: not a benchmark run of hairpin: no schema {SCHEMA!r}")
    if found != SCHEMA:
        raise UsageError(f"{path}: its schema is {found!r}; this hairpin reads {SCHEMA!r}")
    known = picked(document, _RUN, f"{path}: ")
    known["measurements"] = [
        _measurement(entry, f"{path}: measurements[{i}].")
        for i, entry in enumerate(known["measurements"])
    ]
    return Run.from_json({"schema": SCHEMA, **known})


def _measurement(entry: Any, where: str) -> dict[str, Any]:
    fields = picked(entry, _MEASUREMENT, where)
    if fields["references"] and len(fields["references"]) != len(fields["samples"]):
        raise UsageError(
            f"{where}references: {len(fields['references'])} for {len(fields['samples'])} samples"
        )
    if fields["cost"] is not None:
        fields["cost"] = picked(fields["cost"], _COST, f"{where}cost.")
    return fields


def _or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def _is_samples(value: Any) -> bool:
    return bool(value) and is_list_of(is_number)(value)


_RUN: dict[str, Field] = {
    "kernel": TEXT,
    "machine": TEXT,
    "date": TEXT,
    "command": TEXT,
    "engine": TEXT,
    "cpus": (is_count, "a number of CPUs"),
    "seconds": SECONDS,
    "measurements": (is_list, "a list"),
    "missing": (is_map_to(is_text), "an object of texts"),
    "interrupted": (_is_flag, "true or false"),
}
_MEASUREMENT: dict[str, Field] = {
    "test": (is_one_of(Test), f"one of {', '.join(Test)}"),
    "path": TEXT,
    "frame": TEXT,
    "unit": TEXT,
    "samples": (_is_samples, "a list of numbers, one at least"),
    "variant": TEXT,
    "beside": TEXT,
    "better": (is_one_of(Better), f"one of {', '.join(Better)}"),
    "references": (is_list_of(is_number), "a list of numbers"),
    "limited_by": (_or_null(is_one_of(Limit)), f"one of {', '.join(Limit)}, or null"),
    "cost": (_or_null(_is_object), "an object, or null"),
    "curve": (is_list_of(_is_point), "a list of points, two numbers each"),
    "note": TEXT,
}
_COST: dict[str, Field] = {
    "user": NUMBER,
    "system": NUMBER,
    "instructions": (_or_null(is_number), "a number, or null"),
}
