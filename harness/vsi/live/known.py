"""A VSI as the switch knows it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.vsi.facts import Dialect, FilterInfo, Vsi
from harness.vsi.table import Entry
from harness.vsi.types import VsiType
from harness.vsi.vdp_machine import VsiState

__all__ = ["KnownVsi", "known_vsi"]


@dataclass(frozen=True, slots=True)
class KnownVsi:
    """A VSI as the switch knows it, at one moment.

    `filters` are those granted, `kind` its type where there is a database, `vlan` the VLAN of the
    first filter; `station` is who asked. `left` are the seconds until it is forgotten, or until
    the request that is `pending` is refused.
    """

    vsi: Vsi
    state: VsiState
    dialect: Dialect
    filters: tuple[FilterInfo, ...]
    kind: VsiType | None
    vlan: int
    station: bytes
    pending: bool
    left: float | None


def known_vsi(entry: Entry, now: float) -> KnownVsi:
    """What an entry of a bridge's table is at the time `now` of its clock."""
    machine = entry.machine
    filters = machine.granted.filters if machine.granted else ()
    vid = filters[0].vid if filters else 0
    return KnownVsi(
        vsi=entry.vsi,
        state=machine.state,
        dialect=machine.dialect,
        filters=filters,
        kind=entry.kind,
        vlan=entry.vlan_of(vid),
        station=entry.station,
        pending=machine.pending is not None,
        left=None if machine.deadline is None else machine.deadline - now,
    )
