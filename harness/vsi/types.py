"""The VSI type database: what the bridge knows of each manager's types, as TOML.

[[type]]
manager = 11            # libvirt's manager id
id = 1193047
version = 2             # left out: any
vlan = 100              # 0: whichever the station names
reflective_relay = true
macs = ["52:54:00"]     # left out: any
formats = [2]           # of filter info; left out: any
most = 16               # entries of filter info
refuse = 0              # an error code: the type exists, and nobody gets it
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import TopologyError, VsiTypesError
from harness.tables import make_parts, parse, read
from harness.vsi.facts import Association, FilterFormat, Refusal, Vsi

__all__ = ["VsiType", "VsiTypes", "load_types", "parse_types"]

_PREFIX = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){0,5}")
_LIMITS = {
    "manager": (1, 255),
    "id": (0, 2**24 - 1),
    "version": (0, 255),
    "vlan": (0, 4094),
    "most": (1, 255),
    "refuse": (0, 15),
}


@dataclass(frozen=True)
class VsiType:
    """One type; a `version` of None is every version that no other entry names."""

    manager: int
    id: int
    version: int | None = None
    vlan: int = 0
    reflective_relay: bool = True
    macs: tuple[str, ...] = ()
    formats: tuple[int, ...] = ()
    most: int = 255
    refuse: int = 0

    def objects(self, association: Association) -> Refusal | int | None:
        """Why a request of this type is refused, as a refusal or a code; None where it is not."""
        if self.refuse:
            return self.refuse
        if len(association.filters) > self.most:
            return Refusal.INSUFFICIENT_RESOURCES
        if self.formats and association.filter_format not in self.formats:
            return Refusal.FILTER
        for entry in association.filters:
            if self.vlan and entry.vid not in (0, self.vlan):
                return Refusal.FILTER
            if entry.mac and (entry.mac[0] & 1 or not self._allows(entry.mac)):
                return Refusal.FILTER
        return None

    def _allows(self, mac: bytes) -> bool:
        return not self.macs or any(mac.hex(":").startswith(prefix) for prefix in self.macs)


class VsiTypes:
    """All that the bridge knows."""

    def __init__(self, types: Iterable[VsiType]) -> None:
        self._types = {(x.manager, x.id, x.version): x for x in types}
        self._managers = {x.manager for x in self._types.values()}
        self._ids = {(x.manager, x.id) for x in self._types.values()}

    def __len__(self) -> int:
        return len(self._types)

    def find(self, vsi: Vsi) -> VsiType | Refusal:
        """The type that a VSI says it has, or what is not known of it."""
        manager = vsi.manager_id
        for version in (vsi.type_version, None):
            found = self._types.get((manager or 0, vsi.type_id, version))
            if found and manager is not None:
                return found
        if manager not in self._managers:
            return Refusal.UNKNOWN_MANAGER
        known = (manager, vsi.type_id) in self._ids
        return Refusal.UNKNOWN_VERSION if known else Refusal.UNKNOWN_TYPE


def load_types(path: Path) -> VsiTypes:
    """The database in the file `path`.

    Raises VsiTypesError, which names file, line, field and what is allowed there.
    """
    try:
        text = read(path)
    except TopologyError as error:
        raise _of(error) from None
    return parse_types(text, file=str(path))


def parse_types(text: str, *, file: str = "types") -> VsiTypes:
    """The database that `text` describes. Raises VsiTypesError; `file` is for its message."""
    try:
        return parse(text, _types, file=file)
    except TopologyError as error:
        raise _of(error) from None


def _of(error: TopologyError) -> VsiTypesError:
    return VsiTypesError(
        error.field, error.problem, allowed=error.allowed, file=error.file, line=error.line
    )


def _types(document: Mapping[str, Any]) -> VsiTypes:
    for key in document:
        if key != "type":
            raise TopologyError(key, "no such table", allowed="[[type]]")
    types = make_parts(document, "type", VsiType)
    first: dict[tuple[int, int, int | None], int] = {}
    for number, found in enumerate(types, 1):
        _check(found, f"type[{number}]")
        key3 = (found.manager, found.id, found.version)
        if key3 in first:
            raise TopologyError(f"type[{number}].id", f"is that of type[{first[key3]}] again")
        first[key3] = number
    return VsiTypes(types)


def _check(found: VsiType, where: str) -> None:
    for name, (least, most) in _LIMITS.items():
        value = getattr(found, name)
        if value is not None and not least <= value <= most:
            allowed = f"{least} to {most}"
            raise TopologyError(f"{where}.{name}", f"{value} is out of range", allowed=allowed)
    for prefix in found.macs:
        if not _PREFIX.fullmatch(prefix):
            allowed = "its first octets, as 52:54:00"
            raise TopologyError(
                f"{where}.macs", f"{prefix!r} begins no MAC address", allowed=allowed
            )
    for form in found.formats:
        if form not in list(FilterFormat):
            allowed = ", ".join(f"{x.value} ({x.name})" for x in FilterFormat)
            raise TopologyError(f"{where}.formats", f"{form} is no format", allowed=allowed)
