"""Topologies as TOML files.

    [[guest]]                       [[lower]]            [switch]
    name = "a"                      name = "lower"       hairpin = true
    mode = "vepa"                   kind = "veth"
    lower = "lower"                                      [[switch.port]]
                                    [[external]]         to = "external"
    [router]                        name = "external"    flood = false
    name = "router"

Every table and key is optional and has the default of its class in `harness.parts`; what is
written is the whole topology, addresses included.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from harness.errors import TopologyError
from harness.parts import External, Guest, Lower, LowerKind, Mode, Port, Router, Switch
from harness.topology import Topology

__all__ = ["dump_topology", "load_topology", "parse_topology"]

Part = TypeVar("Part", Guest, Lower, External, Router, Port, Switch)

_TABLES = ("guest", "lower", "external", "switch", "router")
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


def load_topology(path: Path) -> Topology:
    """The topology in the file `path`.

    Raises TopologyError, which names file, line, field and what is allowed there.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TopologyError("file", f"cannot be read: {reason}", file=str(path), line=1) from None
    return parse_topology(text, file=str(path))


def parse_topology(text: str, *, file: str = "topology") -> Topology:
    """The topology that `text` describes. Raises TopologyError; `file` is for its message."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"line (\d+)", str(error))
        line = int(match.group(1)) if match else text.count("\n") + 1
        raise TopologyError("syntax", str(error), allowed="TOML", file=file, line=line) from None
    except RecursionError:
        raise TopologyError("syntax", "nested too deeply", file=file, line=1) from None
    try:
        return _topology(document)
    except TopologyError as error:
        raise error.at(file, _line_of(text, error.field)) from None


@lru_cache(maxsize=1024)
def dump_topology(topology: Topology) -> str:
    """TOML from which `parse_topology` makes an equal topology."""
    tables: list[tuple[str, dict[str, Any]]] = [
        *(("[[lower]]", _as_table(x)) for x in topology.lowers),
        *(("[[guest]]", _as_table(x)) for x in topology.guests),
        *(("[[external]]", _as_table(x)) for x in topology.externals),
        *_switch_tables(topology.switches),
        *([("[router]", _as_table(topology.router))] if topology.router else []),
    ]
    # tomli-w would write short tables inline; one table a paragraph is easier to edit.
    text = "\n".join(f"{header}\n{tomli_w.dumps(table)}" for header, table in tables)
    return text if topology.externals else f"external = []\n\n{text}"


def _switch_tables(switches: tuple[Switch, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """One `[switch]`, which is left out when there is nothing to say of it, or several."""
    for switch in switches:
        table = _as_table(switch)
        ports = table.pop("ports", ())
        if len(switches) > 1:
            yield "[[switch]]", table
        else:
            if switch.name == Switch().name:
                del table["name"]
            if table or ports:
                yield "[switch]", table
        for port in ports:
            yield "[[switch.port]]", _as_table(port)


def _as_table(part: Any) -> dict[str, Any]:
    """Fields of a part but for those at their default; names always."""
    table = {}
    for item in fields(part):
        value = getattr(part, item.name)
        if item.name == "mac" and getattr(part, "mode", None) is Mode.PASSTHRU:
            continue  # it is the lower device's, and may not be asked for
        if item.name in ("name", "to") or value != item.default:
            table[item.name] = value.value if isinstance(value, StrEnum) else value
    return table


def _topology(document: Mapping[str, Any]) -> Topology:
    for name in document:
        if name not in _TABLES:
            raise TopologyError(name, "no such table", allowed=", ".join(_TABLES))
    parts: dict[str, Any] = {"guests": _list(document, "guest", Guest)}
    for name, cls in (("lower", Lower), ("external", External)):
        if name in document:
            parts[f"{name}s"] = _list(document, name, cls)
    if document.get("external") == []:
        parts["externals"] = []
    if "switch" in document:
        parts["switches"] = _switches(document["switch"])
    if "router" in document:
        parts["router"] = _part(_table(document["router"], "router"), "router", Router)
    return Topology(**parts)


def _switches(found: Any) -> list[Switch]:
    """A `[switch]` table, or several `[[switch]]` tables."""
    several = isinstance(found, list)
    switches = []
    for i, value in enumerate(found if several else [found], 1):
        where = f"switch[{i}]" if several and len(found) > 1 else "switch"
        table = dict(_table(value, where))
        ports = _list(table, "port", Port, prefix=f"{where}.")
        table.pop("port", None)
        if "ports" in table:
            raise TopologyError(f"{where}.ports", "no such key", allowed="[[switch.port]] tables")
        switches.append(_part({**table, "ports": tuple(ports)}, where, Switch))
    return switches


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TopologyError(where, "is no table", allowed=f"[{where}]")
    return value


def _list(document: Mapping[str, Any], name: str, cls: type[Part], prefix: str = "") -> list[Part]:
    tables = document.get(name, [])
    if not isinstance(tables, list):
        raise TopologyError(
            f"{prefix}{name}", "is no list of tables", allowed=f"[[{prefix}{name}]]"
        )
    return [
        _part(_table(table, f"{prefix}{name}[{i}]"), f"{prefix}{name}[{i}]", cls)
        for i, table in enumerate(tables, 1)
    ]


def _part(table: Mapping[str, Any], where: str, cls: type[Part]) -> Part:
    known = {item.name: str(item.type) for item in fields(cls)}
    for key in table:
        if key not in known:
            allowed = ", ".join(name for name in known if name != "ports")
            raise TopologyError(f"{where}.{key}", "no such key", allowed=allowed)
    for item in fields(cls):
        if item.default is MISSING and item.name not in table:
            raise TopologyError(where, f"has no {item.name}", allowed=f"{item.name} = …")
    return cls(
        **{key: _value(value, f"{where}.{key}", key, known[key]) for key, value in table.items()}
    )


def _value(value: Any, where: str, key: str, kind: str) -> Any:
    if key in _ENUMS:
        try:
            return _ENUMS[key](value)
        except ValueError:
            raise TopologyError(where, f"{value!r} is none", allowed=_ENUM_WORDS[key]) from None
    if key == "ports":
        return value
    good = isinstance(value, _TYPES[kind]) and isinstance(value, bool) is ("bool" in kind)
    if good and isinstance(value, list):
        element = str if "str" in kind else int
        good = all(isinstance(x, element) and not isinstance(x, bool) for x in value)
    if not good:
        raise TopologyError(where, f"{value!r} is none", allowed=_TYPE_WORDS[kind])
    return tuple(value) if isinstance(value, list) else value


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
