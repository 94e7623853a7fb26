"""Cases as TOML files: a topology (see `harness.topofile`), and its steps in order.

    [[step]]              [[step]]              [[step]]              [[step]]
    op = "send"           op = "set"            op = "add"            op = "remove"
    from = "a"            guest = "a"           name = "c"            guest = "a"
    to = "b"              mode = "private"      mode = "vepa"

`send` takes `source`, `via`, `vlan` and `tpid` besides; `set` is of a `guest`, a `lower` or a
`port` (the station that is plugged into it) and takes whatever of it may change; `add` takes
what a `[[guest]]` does. A comment at the top of the file says where the case comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.cases import Case
from harness.errors import StimulusError, TopologyError
from harness.frames import Tag
from harness.operations import Action, Add, Change, Part, Remove, Send
from harness.parts import Guest, Lower, Port
from harness.stimulus import Stimulus, frame_of
from harness.tables import as_mapping, as_table, dump, make_part, make_value, parse, read
from harness.topofile import TABLES, dump_topology, topology_of

__all__ = ["dump_case", "load_case", "parse_case"]

_CLASSES: dict[Part, type[Any]] = {Part.GUEST: Guest, Part.LOWER: Lower, Part.PORT: Port}
_WORDS = ("from", "to", "source", "via")
_TPID = 0x8100


def load_case(path: Path) -> Case:
    """The case in the file `path`.

    Raises TopologyError, which names file, line, field and what is allowed there.
    """
    return parse_case(read(path), file=str(path))


def parse_case(text: str, *, file: str = "case") -> Case:
    """The case that `text` describes. Raises TopologyError; `file` is for its message."""
    case = parse(text, _case, file=file)
    lines = text.splitlines()
    comment = lines[: next((i for i, x in enumerate(lines) if not x.startswith("#")), len(lines))]
    return Case(case.topology, case.steps, "\n".join(x.removeprefix("#").strip() for x in comment))


def dump_case(case: Case) -> str:
    """TOML from which `parse_case` makes an equal case."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in case.comment.splitlines())
    steps = dump(("[[step]]", _as_step(step)) for step in case.steps)
    return "\n".join(filter(None, (comment, dump_topology(case.topology), steps)))


def _as_step(step: Action) -> dict[str, Any]:
    if isinstance(step, Send):
        return {"op": "send", **_as_send(step.stimulus)}
    if isinstance(step, Change):
        plain = {name: _plain(value) for name, value in step.fields}
        return {"op": "set", step.part.value: step.name, **plain}
    if isinstance(step, Add):
        return {"op": "add", **as_table(step.guest)}
    return {"op": "remove", "guest": step.name}


def _as_send(stimulus: Stimulus) -> dict[str, Any]:
    table: dict[str, Any] = {"from": stimulus.sender, "to": stimulus.to}
    table |= {
        name: getattr(stimulus, name) for name in ("source", "via") if getattr(stimulus, name)
    }
    if stimulus.tag:
        table["vlan"] = stimulus.tag.vid
        if stimulus.tag.tpid != _TPID:
            table["tpid"] = stimulus.tag.tpid
    return table


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value


def _case(document: Mapping[str, Any]) -> Case:
    allowed = (*TABLES, "step")
    for name in document:
        if name not in allowed:
            raise TopologyError(name, "no such table", allowed=", ".join(allowed))
    steps = document.get("step", [])
    if not isinstance(steps, list):
        raise TopologyError("step", "is no list of tables", allowed="[[step]]")
    case = Case(
        topology_of(document), tuple(_step(x, f"step[{i}]") for i, x in enumerate(steps, 1))
    )
    _check(case)
    return case


def _check(case: Case) -> None:
    """Each step must be possible after those before it."""
    where = 1
    try:
        for where, (step, topology) in enumerate(case.states(), 1):
            if isinstance(step, Send):
                frame_of(topology, step.stimulus)
            where += 1
    except TopologyError as error:
        raise TopologyError(
            f"step[{where}]", f"{error.field}: {error.problem}", allowed=error.allowed
        ) from None
    except StimulusError as error:
        raise TopologyError(f"step[{where}]", str(error)) from None


def _step(found: Any, where: str) -> Action:
    table = dict(as_mapping(found, where))
    op = table.pop("op", None)
    makers = {"send": _send, "set": _change, "add": _add, "remove": _remove}
    if op not in makers:
        raise TopologyError(f"{where}.op", f"{op!r} is none", allowed=", ".join(makers))
    return makers[op](table, where)


def _only(table: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise TopologyError(f"{where}.{key}", "no such key", allowed=", ".join(allowed))


def _text(table: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    found = table.get(key, default)
    if found is None:
        raise TopologyError(where, f"has no {key}", allowed=f"{key} = …")
    if not isinstance(found, str):
        raise TopologyError(f"{where}.{key}", f"{found!r} is none", allowed="a string")
    return found


def _number(table: Mapping[str, Any], key: str, where: str, default: int) -> int:
    found = table.get(key, default)
    if not isinstance(found, int) or isinstance(found, bool):
        raise TopologyError(f"{where}.{key}", f"{found!r} is none", allowed="a whole number")
    return found


def _send(table: Mapping[str, Any], where: str) -> Action:
    _only(table, (*_WORDS, "vlan", "tpid"), where)
    tag = None
    if "vlan" in table:
        tag = Tag(_number(table, "vlan", where, 0), _number(table, "tpid", where, _TPID))
    stimulus = Stimulus(
        _text(table, "from", where),
        _text(table, "to", where),
        source=_text(table, "source", where, ""),
        via=_text(table, "via", where, ""),
        tag=tag,
    )
    return Send(stimulus)


def _change(table: Mapping[str, Any], where: str) -> Action:
    part = next((p for p in Part if p.value in table), None)
    if part is None:
        raise TopologyError(where, "says not what to set", allowed=", ".join(Part))
    cls = _CLASSES[part]
    known = [name for name in cls.__dataclass_fields__ if name not in ("name", "to")]
    rest = {key: value for key, value in table.items() if key != part.value}
    _only(rest, tuple(known), where)
    fields = tuple((key, make_value(cls, key, value, where)) for key, value in rest.items())
    return Change(part, _text(table, part.value, where), fields)


def _add(table: Mapping[str, Any], where: str) -> Action:
    return Add(make_part(table, where, Guest))


def _remove(table: Mapping[str, Any], where: str) -> Action:
    _only(table, ("guest",), where)
    return Remove(_text(table, "guest", where))
