"""JSON documents: written whole or not at all, read back with care.

Whoever reads one says which fields must be there and what each must be; a complaint names the
file and the place in it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.errors import UsageError

__all__ = [
    "COUNTS",
    "NUMBER",
    "SECONDS",
    "TEXT",
    "TEXTS",
    "Check",
    "Field",
    "dump",
    "is_count",
    "is_flag",
    "is_list",
    "is_list_of",
    "is_map_to",
    "is_number",
    "is_one_of",
    "is_seconds",
    "is_text",
    "load",
    "picked",
    "write_whole",
]

Check = Callable[[Any], bool]
Field = tuple[Check, str]
"""What a value must be, and the words for it."""


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`: afterwards it is there whole, or what was there before.

    Raises UsageError naming the file when it cannot be written.
    """
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


def dump(value: object) -> str:
    """`value` as JSON in one line. Raises ValueError for what JSON has no number for."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def load(path: Path) -> Any:
    """The document in the file. Raises UsageError naming it when it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not JSON: it is not UTF-8") from error


def picked(
    data: Any,
    known: Mapping[str, Field],
    where: str,
    *,
    later: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """The `known` fields of `data`, each of them as it must be; further ones are passed over.

    All must be there, but for those that came `later`, which then have the value given. Raises
    UsageError beginning with `where`.
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


def is_text(value: Any) -> bool:
    """Whether it is a text."""
    return isinstance(value, str)


def is_flag(value: Any) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)


def is_count(value: Any) -> bool:
    """Whether it is a whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_number(value: Any) -> bool:
    """Whether it is a number; Python reads NaN and Infinity too, which JSON has no words for."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def is_seconds(value: Any) -> bool:
    """Whether it is a number, 0 or more."""
    return is_number(value) and value >= 0


def is_list(value: Any) -> bool:
    """Whether it is a list."""
    return isinstance(value, list)


def is_list_of(check: Check) -> Check:
    """A check: a list of what passes `check`."""
    return lambda value: isinstance(value, list) and all(map(check, value))


def is_map_to(check: Check) -> Check:
    """A check: an object whose values pass `check`."""
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def is_one_of(words: Iterable[str]) -> Check:
    """A check: one of `words`."""
    allowed = frozenset(map(str, words))
    return lambda value: isinstance(value, str) and value in allowed


TEXT: Field = (is_text, "a text")
NUMBER: Field = (is_number, "a number")
SECONDS: Field = (is_seconds, "a number of seconds")
COUNTS: Field = (is_map_to(is_count), "an object of counts")
TEXTS: Field = (is_list_of(is_text), "a list of texts")
