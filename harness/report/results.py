"""results.json: a run as a versioned document, written whole and read back with care.

docs/results.md explains it to users; `results.schema.json`, beside this module, is its schema.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.report.record import CellOutcome, Record, Run
from harness.testbed.verdict import Barrier

__all__ = ["SCHEMA", "read_json", "write_json"]

SCHEMA = "hairpin-results/1"
"""Fields may be added under this name, and readers pass over those they do not know; whatever
else changes makes the next number."""

_Check = Callable[[Any], bool]


def write_json(run: Run, path: Path) -> None:
    """Write `run` to `path`: afterwards the whole document is there, or what was there before.

    Raises UsageError naming the file when it cannot be written.
    """
    data = _document(run).encode()
    # A neighbour, so that the replacement is a rename within one file system; with the process
    # id, so that runs side by side do not write into each other's.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):  # gone by now, unless something above failed
            draft.unlink()


def _document(run: Run) -> str:
    """One record a line: for grep and diff, and many times as fast as json's own indenting.

    Traces are the same steps over and over: each step is written once, in `steps`.
    """
    head = {"schema": SCHEMA} | {
        f.name: getattr(run, f.name) for f in fields(Run) if f.name != "records"
    }
    head["missing"] = dict(run.missing)
    steps: dict[str, int] = {}
    rows = []
    for record in run.records:
        row = record.to_json()
        row["trace"] = [steps.setdefault(step, len(steps)) for step in record.trace]
        rows.append(f"    {_dump(row)}")
    head["steps"] = list(steps)
    lines = [f"  {json.dumps(key)}: {_dump(value)}," for key, value in head.items()]
    return "\n".join(["{", *lines, '  "records": [', ",\n".join(rows), "  ]", "}", ""])


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def read_json(path: Path) -> Run:
    """The run that `write_json` wrote to `path`.

    Raises UsageError naming the file, and where in it, when the file cannot be read, is not a
    results document, or is one of another version.
    """
    document = _load(path)
    found = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(found, str) or not found.startswith("hairpin-results/"):
        raise UsageError(f"{path}: not a results document of hairpin: no schema {SCHEMA!r}")
    if found != SCHEMA:
        raise UsageError(f"{path}: its schema is {found!r}; this hairpin reads {SCHEMA!r}")
    known = _checked(document, _RUN, f"{path}: ", later=_RUN_LATER)
    steps = known.pop("steps")
    records = []
    for i, entry in enumerate(known.pop("records")):
        record = _checked(entry, _RECORD, f"{path}: records[{i}].", later=_RECORD_LATER)
        try:
            record["trace"] = [steps[number] for number in record["trace"]]
        except IndexError:
            raise UsageError(f"{path}: records[{i}].trace: there are {len(steps)} steps") from None
        records.append(Record.from_json(record))
    return Run(records=tuple(records), **known)


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not JSON: it is not UTF-8") from error


def _checked(
    data: Any,
    known: Mapping[str, tuple[_Check, str]],
    where: str,
    *,
    later: Mapping[str, Any],
) -> dict[str, Any]:
    """The `known` fields of `data`, each of them as it must be.

    All must be there, but for those that came `later`, which then have the value given.
    """
    if not isinstance(data, dict):
        raise UsageError(f"{where.rstrip('.: ')}: {_shown(data)} is not an object")
    whole = {**later, **data}
    for name, (check, wanted) in known.items():
        if name not in whole:
            raise UsageError(f"{where}{name} is missing")
        if not check(whole[name]):
            raise UsageError(f"{where}{name}: {_shown(whole[name])} is not {wanted}")
    return {name: whole[name] for name in known}


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_list_of(check: _Check) -> _Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _is_map_to(check: _Check) -> _Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _is_one_of(words: Iterable[str]) -> _Check:
    allowed = frozenset(map(str, words))
    return lambda value: isinstance(value, str) and value in allowed


def _is_promise(value: Any) -> bool:
    texts = ("id", "text", "source", "section")
    return (
        isinstance(value, dict)
        and all(_is_text(value.get(name)) for name in texts)
        and isinstance(value.get("kept"), bool)
    )


_BACKENDS = ("tap", "packet")
_TEXT = (_is_text, "a text")
_COUNTS = (_is_map_to(_is_count), "an object of counts")
_TEXTS = (_is_list_of(_is_text), "a list of texts")

_RUN: dict[str, tuple[_Check, str]] = {
    "started": _TEXT,
    "seconds": (_is_seconds, "a number of seconds"),
    "verdict_seconds": (_is_seconds, "a number of seconds"),
    "kernel": _TEXT,
    "machine": _TEXT,
    "backend": (_is_one_of(_BACKENDS), f"one of {', '.join(_BACKENDS)}"),
    "version": _TEXT,
    "missing": (_is_map_to(_is_text), "an object of texts"),
    "exit_status": (_is_count, "an exit status"),
    "steps": _TEXTS,
    "records": (_is_list, "a list"),
}
_RECORD: dict[str, tuple[_Check, str]] = {
    "case": _TEXT,
    "section": _TEXT,
    "row": _TEXT,
    "column": _TEXTS,
    "outcome": (_is_one_of(CellOutcome), f"one of {', '.join(CellOutcome)}"),
    "focus": _TEXT,
    "predicted": _COUNTS,
    "seen": _COUNTS,
    "barriers": (_is_map_to(_is_one_of(Barrier)), f"an object of {', '.join(Barrier)}"),
    "promises": (_is_list_of(_is_promise), "a list of promises"),
    "causes": _TEXTS,
    "reason": _TEXT,
    "stimulus": _TEXT,
    "topology": _TEXT,
    "trace": (_is_list_of(_is_count), "a list of numbers of steps"),
    "maybe": _COUNTS,
    "evidence": _TEXT,
    "findings": _TEXTS,
}
# Added under the name of the schema: what they are in a document from before.
_RUN_LATER: dict[str, Any] = {"steps": []}
_RECORD_LATER: dict[str, Any] = {"trace": [], "maybe": {}, "evidence": "", "findings": []}
