"""Domain and network XML held against libvirt's schemas, and then against meaning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from harness.errors import DomainError
from harness.guests.codec import read_nic
from harness.guests.document import Document
from harness.guests.domain import interface_elements
from harness.guests.network import Network, Pools, Portgroup, network_of
from harness.guests.nic import DirectInterface, NetworkInterface
from harness.guests.problem import Problem, Severity
from harness.guests.rules import (
    mac_rules,
    nic_rules,
    port_rules,
    source_rules,
    vid_rules,
    vlan_rules,
)
from harness.guests.scalars import At
from harness.guests.schema import SCHEMAS, schema_problems
from harness.guests.scribe import Scribe, collecting
from harness.guests.together import Placed, boot_rules, together_rules
from harness.parts import Mode

__all__ = ["check"]


def check(
    documents: Iterable[Document],
    *,
    schemas: Path | None = SCHEMAS,
    vlans: Mapping[str, int] | None = None,
) -> tuple[Problem, ...]:
    """All that is wrong with these domains and networks, by file and line.

    `schemas` is the folder of libvirt's RELAX NG schemas; None checks the meaning only. `vlans` are
    the host's links with the VLAN of each, 0 for none (`harness.kernel.linkstate.vlans`); what it
    does not have is not known. Raises UnfitError where the schemas' folder has none.
    """
    given = tuple(documents)
    problems: list[Problem] = []
    if schemas is not None:
        problems += [x for document in given for x in schema_problems(document, schemas=schemas)]
    networks = []
    for document in given:
        if document.kind == "network":
            network = network_of(document, collecting(problems, document.file))
            networks.append(network)
            problems += _network_rules(network)
    placed = []
    for document in given:
        if document.kind != "network":
            placed += _read(document, problems)
            problems += boot_rules(document)
    for x in placed:
        ours = isinstance(x.nic, DirectInterface | NetworkInterface)
        problems += (nic_rules if ours else mac_rules)(x.nic, x.scribe)
        if isinstance(x.nic, DirectInterface):
            problems += vid_rules(x.nic, x.scribe, vlans or {})
    problems += together_rules(placed)
    if networks:
        problems += _resolving(placed, networks)
    order = {document.file: i for i, document in enumerate(given)}
    return tuple(sorted(dict.fromkeys(problems), key=lambda x: (order.get(x.file, 0), x.line)))


def _read(document: Document, problems: list[Problem]) -> list[Placed]:
    complain = collecting(problems, document.file)
    found = []
    for element in interface_elements(document.root):
        nic = read_nic(element, complain, file=document.file)
        if nic is not None:
            found.append(Placed(nic, Scribe(At(element, document.file))))
    return found


def _network_rules(network: Network) -> Iterator[Problem]:
    root = network.document.root
    scribe = Scribe(At(root, network.document.file))
    for forward in root.iterfind("forward"):
        for element in (forward, *forward.iterfind("interface")):
            if (name := element.get("dev")) is not None:
                yield from source_rules(str(name), scribe.inside(element), "@dev")
    if network.mode is None:
        return
    if not network.devices and not network.pf:
        yield scribe.error(
            "forward",
            "there is no link to put macvtaps on",
            allowed="<interface dev='…'/>",
            source="libvirt networkAllocatePort",
        )
    parts: list[tuple[Network | Portgroup, Scribe]] = [(network, scribe)]
    elements = {str(x.get("name", "")): x for x in root.iterfind("portgroup")}
    parts += [(group, scribe.inside(elements[group.name])) for group in network.portgroups]
    for part, inner in parts:
        if part.virtualport:
            yield from port_rules(part.virtualport, inner, complete=False)
        if part.vlan:
            yield from vlan_rules(part.vlan, inner)
            if network.mode is not Mode.PASSTHRU:
                yield inner.error(
                    "vlan",
                    f"macvtaps in mode {network.mode} cannot tag",
                    allowed="mode='passthrough'",
                    source="libvirt networkValidate",
                )


def _resolving(placed: Iterable[Placed], networks: list[Network]) -> Iterator[Problem]:
    """Interfaces that get no link of their network's pool, were they started in this order."""
    pools = Pools(networks)
    for nic in (x.nic for x in placed):
        try:
            if isinstance(nic, NetworkInterface):
                pools.take(nic)
        except DomainError as error:
            yield Problem(
                severity=Severity.ERROR,
                file=error.file,
                line=error.line,
                element=error.element,
                message=error.problem,
                allowed=error.allowed,
                source="libvirt networkAllocatePort",
            )
