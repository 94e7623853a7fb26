"""TOML tables to parts and back, and the line of the file that a mistake is in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tomli_w

from harness.errors import TopologyError
from harness.parts import LowerKind, Mode

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "as_mapping",
    "as_table",
    "dump",
    "make_part",
    "make_parts",
    "make_value",
    "parse",
    "read",
]

T = TypeVar("T")
Part = TypeVar("Part", bound="DataclassInstance")

_ENUMS: dict[str, Callable[[str], StrEnum]] = {"mode": Mode.parse, "kind": LowerKind}
_ENUM_WORDS = {
    "mode": ", ".join([*Mode, "passthrough"]),
    "kind": ", ".join(LowerKind),
}
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "int | None": (int,),
    "bool | None": (bool,),
    "tuple[str, ...]": (list,),
    "tuple[int, ...]": (list,),
}
_TYPE_WORDS = {
    "str": "a string",
    "bool": "true or false",
    "bool | None": "true or false",
    "int": "a whole number",
    "int | None": "a whole number",
    "tuple[str, ...]": "a list of strings",
    "tuple[int, ...]": "a list of whole numbers",
}


def read(path: Path) -> str:
    """The text of a file. Raises TopologyError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TopologyError("file", f"cannot be read: {reason}", file=str(path), line=1) from None


def parse(text: str, make: Callable[[Mapping[str, Any]], T], *, file: str) -> T:
    """What `make` makes of the TOML document `text`.

    Raises TopologyError; one that `make` raises is given the line of the field that it names.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"line (\d+)", str(error))
        line = int(match.group(1)) if match else text.count("\n") + 1
        raise TopologyError("syntax", str(error), allowed="TOML", file=file, line=line) from None
    except RecursionError:
        raise TopologyError("syntax", "nested too deeply", file=file, line=1) from None
    try:
        return make(document)
    except TopologyError as error:
        raise error.at(file, _line_of(text, error.field)) from None


def dump(tables: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """TOML, one table (header and values) a paragraph, which is easier to edit than inline."""
    return "\n".join(f"{header}\n{tomli_w.dumps(values)}" for header, values in tables)


def as_table(part: Any) -> dict[str, Any]:
    """Fields of a part but for those at their default; names always."""
    table = {}
    for item in fields(part):
        value = getattr(part, item.name)
        if item.name == "mac" and getattr(part, "mode", None) is Mode.PASSTHRU:
            continue  # it is the lower device's, and may not be asked for
        if item.name in ("name", "to") or value != item.default:
            table[item.name] = value.value if isinstance(value, StrEnum) else value
    return table


def as_mapping(found: Any, where: str) -> Mapping[str, Any]:
    """`found`, which must be a table. Raises TopologyError."""
    if not isinstance(found, Mapping):
        raise TopologyError(where, "is no table", allowed=f"[{where}]")
    return found


def make_parts(
    document: Mapping[str, Any], name: str, cls: type[Part], *, prefix: str = ""
) -> list[Part]:
    """The parts in the array of tables `name`, none when there is none. Raises TopologyError."""
    found = document.get(name, [])
    where = f"{prefix}{name}"
    if not isinstance(found, list):
        raise TopologyError(where, "is no list of tables", allowed=f"[[{where}]]")
    return [
        make_part(as_mapping(table, f"{where}[{i}]"), f"{where}[{i}]", cls)
        for i, table in enumerate(found, 1)
    ]


def make_part(table: Mapping[str, Any], where: str, cls: type[Part]) -> Part:
    """A dataclass of kind `cls` out of a table. Raises TopologyError."""
    known = {item.name for item in fields(cls)}
    for key in table:
        if key not in known:
            allowed = ", ".join(name for name in _names(cls) if name != "ports")
            raise TopologyError(f"{where}.{key}", "no such key", allowed=allowed)
    for item in fields(cls):
        if item.default is MISSING and item.name not in table:
            raise TopologyError(where, f"has no {item.name}", allowed=f"{item.name} = …")
    return cls(**{key: make_value(cls, key, found, where) for key, found in table.items()})


def _names(cls: type[Any]) -> list[str]:
    return [item.name for item in fields(cls)]


def make_value(cls: type[Any], key: str, found: Any, where: str) -> Any:
    """What stands for the field `key` of `cls`, of the type it must have. Raises TopologyError."""
    where = f"{where}.{key}"
    if key in _ENUMS:
        try:
            return _ENUMS[key](found)
        except ValueError:
            raise TopologyError(where, f"{found!r} is none", allowed=_ENUM_WORDS[key]) from None
    if key == "ports":
        return found
    kind = next(str(item.type) for item in fields(cls) if item.name == key)
    good = isinstance(found, _TYPES[kind]) and isinstance(found, bool) is ("bool" in kind)
    if good and isinstance(found, list):
        element = str if "str" in kind else int
        good = all(isinstance(x, element) and not isinstance(x, bool) for x in found)
    if not good:
        raise TopologyError(where, f"{found!r} is none", allowed=_TYPE_WORDS[kind])
    return tuple(found) if isinstance(found, list) else found


def _line_of(text: str, field: str) -> int:
    """Line (from 1) of a field such as ``guest[2].mode``: its key, else its table's header."""
    path, _, key = field.rpartition(".") if "." in field.rpartition("]")[2] else (field, "", "")
    if not path:
        path, key = field, ""
    whole = re.compile(rf"\s*\[+\s*{re.escape(field)}\s*\]+")
    for i, line in enumerate(text.splitlines(), 1):
        if whole.match(line):
            return i
    name, _, number = path.partition("[")
    wanted = int(number.rstrip("]")) if number else 1
    header = re.compile(rf"\s*\[\[?\s*{re.escape(name)}\s*\]\]?\s*(#.*)?")
    seen, found = 0, 0
    for i, line in enumerate(text.splitlines(), 1):
        if header.fullmatch(line):
            seen += 1
            if seen == wanted:
                found = i
        elif line.lstrip().startswith("["):
            if found:
                return found
        elif found and key and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return i
    # A table written some other way: the first line that names it.
    mention = re.compile(rf"\s*\[*\s*{re.escape(name)}\b")
    others = (i for i, line in enumerate(text.splitlines(), 1) if mention.match(line))
    return found or next(others, 1)
