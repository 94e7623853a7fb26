"""What is found out about a difference besides that there is one: facts, nothing live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.kernel.drops import Drop

__all__ = ["Evidence", "Repeat"]


class Repeat(StrEnum):
    """What came of sending the same stimulus once more."""

    SAME = "the same difference again"
    OTHER = "a difference again, but another one"
    NOT = "as predicted this time"
    FAILED = "no answer: it could not be sent again"


@dataclass(frozen=True)
class Evidence:
    """What came to light when a stimulus that differed was sent once more, closely watched.

    `arrivals` is what each observer received this second time, whole frames with ident 0, and
    `lost` whom no sentinel reached then though it should have. Both are empty where `repeat` is
    FAILED.

    `counters` maps a place to link to counter to by how much it moved. Places are ``host``
    (guests and lower devices), ``port`` (of a switch, named like the station behind it),
    ``bridge`` (a switch itself), ``outside`` and ``cpu``. `drops` says where frames were thrown
    away, and how many; `drops_unknown` why that could not be had, and is empty where it could.
    Both are what the stimulus itself did: what a round of sentinels without it does has been
    taken off, so a counter is negative where less happened than usual.

    `notes` are sentences about whatever else was noticed. `seen_at` and `again_at` are when the
    first observation was over and when the second began, in seconds since the epoch.
    """

    repeat: Repeat
    seen_at: float
    again_at: float
    arrivals: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    counters: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    drops: Mapping[Drop, int] = field(default_factory=dict)
    drops_unknown: str = ""
    notes: tuple[str, ...] = ()
