"""results.json: a run as a versioned document, written whole and read back with care.

docs/results.md explains it to users; `results.schema.json`, beside this module, is its schema.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.report.document import (
    COUNTS,
    SECONDS,
    TEXT,
    TEXTS,
    Field,
    dump,
    is_count,
    is_flag,
    is_list,
    is_list_of,
    is_map_to,
    is_one_of,
    is_text,
    load,
    picked,
    write_whole,
)
from harness.report.record import CellOutcome, Record, Run
from harness.testbed.verdict import Barrier

__all__ = ["SCHEMA", "read_json", "write_json"]

SCHEMA = "hairpin-results/1"
"""Fields may be added under this name, and readers pass over those they do not know; whatever
else changes makes the next number."""


def write_json(run: Run, path: Path) -> None:
    """Write `run` to `path`: afterwards the whole document is there, or what was there before.

    Raises UsageError naming the file when it cannot be written.
    """
    write_whole(path, _document(run).encode())


def _document(run: Run) -> str:
    """One record a line: for grep and diff, and many times as fast as json's own indenting.

    Traces are the same steps over and over: each step is written once, in `steps`.
    """
    head = {"schema": SCHEMA} | {
        f.name: getattr(run, f.name) for f in fields(Run) if f.name != "records"
    }
    head["missing"] = dict(run.missing)
    head["behaviours"] = dict(run.behaviours)
    steps: dict[str, int] = {}
    rows = []
    for record in run.records:
        row = record.to_json()
        row["trace"] = [steps.setdefault(step, len(steps)) for step in record.trace]
        rows.append(f"    {dump(row)}")
    head["steps"] = list(steps)
    lines = [f"  {json.dumps(key)}: {dump(value)}," for key, value in head.items()]
    return "\n".join(["{", *lines, '  "records": [', ",\n".join(rows), "  ]", "}", ""])


def read_json(path: Path) -> Run:
    """The run that `write_json` wrote to `path`.

    Raises UsageError naming the file, and where in it, when the file cannot be read, is not a
    results document, or is one of another version.
    """
    document = load(path)
    found = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(found, str) or not found.startswith("hairpin-results/"):
        raise UsageError(f"{path}: not a results document of hairpin: no schema {SCHEMA!r}")
    if found != SCHEMA:
        raise UsageError(f"{path}: its schema is {found!r}; this hairpin reads {SCHEMA!r}")
    known = picked(document, _RUN, f"{path}: ", later=_RUN_LATER)
    steps = known.pop("steps")
    records = []
    for i, entry in enumerate(known.pop("records")):
        record = picked(entry, _RECORD, f"{path}: records[{i}].", later=_RECORD_LATER)
        try:
            record["trace"] = [steps[number] for number in record["trace"]]
        except IndexError:
            raise UsageError(f"{path}: records[{i}].trace: there are {len(steps)} steps") from None
        records.append(Record.from_json(record))
    return Run(records=tuple(records), **known)


def _is_promise(value: Any) -> bool:
    texts = ("id", "text", "source", "section")
    return (
        isinstance(value, dict)
        and all(is_text(value.get(name)) for name in texts)
        and isinstance(value.get("kept"), bool)
    )


_BACKENDS = ("tap", "packet")

_RUN: dict[str, Field] = {
    "started": TEXT,
    "seconds": SECONDS,
    "verdict_seconds": SECONDS,
    "kernel": TEXT,
    "machine": TEXT,
    "backend": (is_one_of(_BACKENDS), f"one of {', '.join(_BACKENDS)}"),
    "version": TEXT,
    "missing": (is_map_to(is_text), "an object of texts"),
    "exit_status": (is_count, "an exit status"),
    "behaviours": (is_map_to(is_flag), "an object of true and false"),
    "steps": TEXTS,
    "records": (is_list, "a list"),
}
_RECORD: dict[str, Field] = {
    "case": TEXT,
    "section": TEXT,
    "row": TEXT,
    "column": TEXTS,
    "outcome": (is_one_of(CellOutcome), f"one of {', '.join(CellOutcome)}"),
    "focus": TEXT,
    "predicted": COUNTS,
    "seen": COUNTS,
    "barriers": (is_map_to(is_one_of(Barrier)), f"an object of {', '.join(Barrier)}"),
    "promises": (is_list_of(_is_promise), "a list of promises"),
    "causes": TEXTS,
    "reason": TEXT,
    "stimulus": TEXT,
    "topology": TEXT,
    "trace": (is_list_of(is_count), "a list of numbers of steps"),
    "maybe": COUNTS,
    "evidence": TEXT,
    "findings": TEXTS,
}
# Added under the name of the schema: what they are in a document from before.
_RUN_LATER: dict[str, Any] = {"steps": [], "behaviours": {}}
_RECORD_LATER: dict[str, Any] = {"trace": [], "maybe": {}, "evidence": "", "findings": []}
