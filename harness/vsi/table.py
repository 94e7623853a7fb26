"""The VSIs that a port of the bridge knows, and which of them time is up for next."""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from dataclasses import dataclass

from harness.vsi.facts import Vsi
from harness.vsi.types import VsiType
from harness.vsi.vdp_machine import VsiMachine, VsiState

__all__ = ["Entry", "VsiTable"]

_SLACK = 64


@dataclass(slots=True)
class Entry:
    """A VSI that the bridge knows: its machine, who asks for it, its type where one is known."""

    machine: VsiMachine
    vsi: Vsi
    station: bytes
    kind: VsiType | None = None

    def vlan_of(self, vid: int) -> int:
        """The VLAN that a filter's VID stands for; its type chooses it for the null VID."""
        return vid or (self.kind.vlan if self.kind else 0)


class VsiTable:
    """At most `most` entries, by instance."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[bytes, Entry] = {}
        self._unfinished: OrderedDict[bytes, None] = OrderedDict()
        self._due: list[tuple[float, int, bytes]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All, in the order in which they came."""
        return tuple(self._entries.values())

    @property
    def full(self) -> bool:
        """Whether there is no room for another."""
        return len(self._entries) >= self._most

    def find(self, instance: bytes) -> Entry | None:
        """The entry of an instance."""
        return self._entries.get(instance)

    def add(self, entry: Entry) -> None:
        """Another one. There must be room."""
        self._entries[entry.vsi.instance] = entry
        self._unfinished[entry.vsi.instance] = None

    def oldest_unfinished(self) -> Entry | None:
        """The one that has waited longest to be associated."""
        return self._entries[next(iter(self._unfinished))] if self._unfinished else None

    def settle(self, instance: bytes, entry: Entry) -> None:
        """Keep what the entry's machine has come to: its rank, its time, whether it stays."""
        machine = entry.machine
        if machine.state is VsiState.ASSOCIATED:
            self._unfinished.pop(instance, None)
        elif machine.state is VsiState.UNASSOCIATED and machine.pending is None:
            self._entries.pop(instance, None)
            self._unfinished.pop(instance, None)
        else:
            self._unfinished.setdefault(instance)
        if instance in self._entries and machine.deadline is not None:
            heapq.heappush(self._due, (machine.deadline, next(self._order), instance))
        if len(self._due) > 2 * len(self._entries) + _SLACK:
            self._due = [one for one in self._due if not self._stale(one)]
            heapq.heapify(self._due)

    def _stale(self, due: tuple[float, int, bytes]) -> bool:
        entry = self._entries.get(due[2])
        return entry is None or entry.machine.deadline != due[0]

    @property
    def deadline(self) -> float | None:
        """When time is up for the next one."""
        while self._due and self._stale(self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def overdue(self, now: float) -> Entry | None:
        """One that time is up for; each is given once."""
        deadline = self.deadline
        if deadline is None or deadline > now:
            return None
        return self._entries[heapq.heappop(self._due)[2]]
