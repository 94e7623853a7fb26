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

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import TopologyError
from harness.parts import External, Guest, Lower, Port, Router, Switch
from harness.tables import as_mapping, as_table, dump, make_part, make_parts, parse, read
from harness.topology import Topology

__all__ = ["TABLES", "dump_topology", "load_topology", "parse_topology", "topology_of"]

TABLES = ("guest", "lower", "external", "switch", "router")


def load_topology(path: Path) -> Topology:
    """The topology in the file `path`.

    Raises TopologyError, which names file, line, field and what is allowed there.
    """
    return parse_topology(read(path), file=str(path))


def parse_topology(text: str, *, file: str = "topology") -> Topology:
    """The topology that `text` describes. Raises TopologyError; `file` is for its message."""
    return parse(text, _topology, file=file)


@lru_cache(maxsize=1024)
def dump_topology(topology: Topology) -> str:
    """TOML from which `parse_topology` makes an equal topology."""
    tables: list[tuple[str, dict[str, Any]]] = [
        *(("[[lower]]", as_table(x)) for x in topology.lowers),
        *(("[[guest]]", as_table(x)) for x in topology.guests),
        *(("[[external]]", as_table(x)) for x in topology.externals),
        *_switch_tables(topology.switches),
        *([("[router]", as_table(topology.router))] if topology.router else []),
    ]
    text = dump(tables)
    return text if topology.externals else f"external = []\n\n{text}"


def _switch_tables(switches: tuple[Switch, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """One `[switch]`, which is left out when there is nothing to say of it, or several."""
    for switch in switches:
        table = as_table(switch)
        ports = table.pop("ports", ())
        if len(switches) > 1:
            yield "[[switch]]", table
        else:
            if switch.name == Switch().name:
                del table["name"]
            if table or ports:
                yield "[switch]", table
        for port in ports:
            yield "[[switch.port]]", as_table(port)


def _topology(document: Mapping[str, Any]) -> Topology:
    for name in document:
        if name not in TABLES:
            raise TopologyError(name, "no such table", allowed=", ".join(TABLES))
    return topology_of(document)


def topology_of(document: Mapping[str, Any]) -> Topology:
    """The topology in the tables of a document, whatever else is there. Raises TopologyError."""
    parts: dict[str, Any] = {"guests": make_parts(document, "guest", Guest)}
    for name, cls in (("lower", Lower), ("external", External)):
        if name in document:
            parts[f"{name}s"] = make_parts(document, name, cls)
    if document.get("external") == []:
        parts["externals"] = []
    if "switch" in document:
        parts["switches"] = _switches(document["switch"])
    if "router" in document:
        parts["router"] = make_part(as_mapping(document["router"], "router"), "router", Router)
    return Topology(**parts)


def _switches(found: Any) -> list[Switch]:
    """A `[switch]` table, or several `[[switch]]` tables."""
    several = isinstance(found, list)
    switches = []
    for i, value in enumerate(found if several else [found], 1):
        where = f"switch[{i}]" if several and len(found) > 1 else "switch"
        table = dict(as_mapping(value, where))
        ports = make_parts(table, "port", Port, prefix=f"{where}.")
        table.pop("port", None)
        if "ports" in table:
            raise TopologyError(f"{where}.ports", "no such key", allowed="[[switch.port]] tables")
        switches.append(make_part({**table, "ports": tuple(ports)}, where, Switch))
    return switches
