"""Guests of libvirt: their domain XML, and what becomes of it.

Takes lxml: `pip install 'hairpin[guests]'`.
"""

from __future__ import annotations

from harness.errors import UnfitError

try:
    import lxml as _lxml  # noqa: F401
except ImportError as error:
    raise UnfitError(
        f"guests take further packages ({error})", remedy="pip install 'hairpin[guests]'"
    ) from error

from harness.guests.checking import check
from harness.guests.document import Document, load_document, parse_document
from harness.guests.domain import (
    Domain,
    Interface,
    domain_of,
    dump_interface,
    load_domain,
    map_devices,
    parse_domain,
    parse_interface,
)
from harness.guests.expected import Expected, expected
from harness.guests.network import (
    Network,
    Portgroup,
    load_network,
    map_pool,
    network_of,
    parse_network,
    resolve,
)
from harness.guests.nic import (
    Bandwidth,
    DirectInterface,
    Filter,
    LinkState,
    NativeVlan,
    NetworkInterface,
    Nic,
    Rate,
    Tag,
    VirtualPort,
    VirtualPortType,
    Vlan,
)
from harness.guests.problem import Problem, Severity

__all__ = [
    "Bandwidth",
    "DirectInterface",
    "Document",
    "Domain",
    "Expected",
    "Filter",
    "Interface",
    "LinkState",
    "NativeVlan",
    "Network",
    "NetworkInterface",
    "Nic",
    "Portgroup",
    "Problem",
    "Rate",
    "Severity",
    "Tag",
    "VirtualPort",
    "VirtualPortType",
    "Vlan",
    "check",
    "domain_of",
    "dump_interface",
    "expected",
    "load_document",
    "load_domain",
    "load_network",
    "map_devices",
    "map_pool",
    "network_of",
    "parse_document",
    "parse_domain",
    "parse_interface",
    "parse_network",
    "resolve",
]
