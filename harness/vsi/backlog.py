"""Associations that wait to be sent: by ECPDU as many as fit, of several stations in turns.

ECP has one ECPDU underway at a time, and the next one waits for an acknowledgement. Whoever asks
for much, or acknowledges late, is not to hold up the others at the same port: each station has a
queue of its own, and where too much waits the longest of them is cut.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.vsi.ecp_machine import Payload
from harness.vsi.facts import Association
from harness.vsi.frames import size

__all__ = ["Backlog", "packed"]

_MOST_PDU = 1450
"""Octets of TLVs in an ECPDU, so that it fits a frame whatever its header."""


_Numbered = tuple[int, Association]


@dataclass(slots=True)
class _Queue:
    """What waits for one station: what is `spare` may be dropped first. Both in their order."""

    kept: deque[_Numbered] = field(default_factory=deque)
    spare: deque[_Numbered] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self.kept) + len(self.spare)

    def first(self) -> deque[_Numbered]:
        """The one of the two that the oldest is in."""
        if not self.kept or (self.spare and self.spare[0][0] < self.kept[0][0]):
            return self.spare
        return self.kept


class Backlog:
    """At most `most` associations wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queues: OrderedDict[bytes, _Queue] = OrderedDict()
        self._count = 0
        self._order = itertools.count()

    def __len__(self) -> int:
        return self._count

    def add(
        self, station: bytes, association: Association, *, dispensable: bool
    ) -> Association | None:
        """Another one for `station`; gives what has to go for it.

        That is of the station that most waits for: what is dispensable first, then the oldest.
        """
        queue = self._queues.get(station)
        if queue is None:
            queue = self._queues[station] = _Queue()
        (queue.spare if dispensable else queue.kept).append((next(self._order), association))
        self._count += 1
        return self._cut() if self._count > self._most else None

    def take(self) -> Payload:
        """What the next ECPDU has; nothing where nothing waits."""
        group: list[Association] = []
        octets = 0
        while self._queues:
            station, queue = next(iter(self._queues.items()))
            of = queue.first()
            one = of[0][1]
            if group and not _joins(one, group[0], octets):
                break
            self._remove(station, queue, of)
            if station in self._queues:
                self._queues.move_to_end(station)
            group.append(one)
            octets += size(one)
        return tuple(group)

    def _cut(self) -> Association:
        station, queue = max(
            self._queues.items(), key=lambda one: (len(one[1]), bool(one[1].spare))
        )
        return self._remove(station, queue, queue.spare or queue.kept)

    def _remove(self, station: bytes, queue: _Queue, waiting: deque[_Numbered]) -> Association:
        association = waiting.popleft()[1]
        self._count -= 1
        if not queue:
            del self._queues[station]
        return association


def packed(associations: Iterable[Association]) -> Iterator[Payload]:
    """By ECPDU: one has one VSI manager (41.1), and fits a frame."""
    group: list[Association] = []
    octets = 0
    for one in associations:
        if group and not _joins(one, group[0], octets):
            yield tuple(group)
            group, octets = [], 0
        group.append(one)
        octets += size(one)
    if group:
        yield tuple(group)


def _joins(one: Association, first: Association, octets: int) -> bool:
    """Whether `one` goes into an ECPDU that begins with `first` and has so many octets."""
    return one.vsi.manager == first.vsi.manager and octets + size(one) <= _MOST_PDU
