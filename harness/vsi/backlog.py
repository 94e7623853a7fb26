"""Associations that wait to be sent: by ECPDU as many as fit, of several stations in turns.

ECP has one ECPDU underway at a time, and the next one waits for an acknowledgement. Whoever asks
for much, or acknowledges late, is not to hold up the others at the same port: each station has a
queue of its own, and where too much waits the longest of them is cut.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.vsi.ecp_machine import Payload
from harness.vsi.facts import Association
from harness.vsi.frames import size

__all__ = ["Backlog", "packed"]

_MOST_PDU = 1450
"""Octets of TLVs in an ECPDU, so that it fits a frame whatever its header."""


@dataclass(slots=True)
class _Queue:
    """What waits for one station, each with whether it is dispensable; `spare` counts those."""

    waiting: deque[tuple[Association, bool]] = field(default_factory=deque)
    spare: int = 0


class Backlog:
    """At most `most` associations wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queues: OrderedDict[bytes, _Queue] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(
        self, station: bytes, association: Association, *, dispensable: bool
    ) -> Association | None:
        """Another one for `station`; gives what has to go for it.

        That is of the station that most waits for: what is dispensable first, then the oldest.
        """
        queue = self._queues.setdefault(station, _Queue())
        queue.waiting.append((association, dispensable))
        queue.spare += dispensable
        self._count += 1
        return self._cut() if self._count > self._most else None

    def take(self) -> Payload:
        """What the next ECPDU has; nothing where nothing waits."""
        group: list[Association] = []
        octets = 0
        while self._queues:
            station, queue = next(iter(self._queues.items()))
            one = queue.waiting[0][0]
            if group and not _joins(one, group[0], octets):
                break
            self._remove(station, queue, 0)
            if station in self._queues:
                self._queues.move_to_end(station)
            group.append(one)
            octets += size(one)
        return tuple(group)

    def _cut(self) -> Association:
        station, queue = max(
            self._queues.items(), key=lambda one: (len(one[1].waiting), one[1].spare > 0)
        )
        number = 0
        if queue.spare:
            number = next(n for n, (_, spare) in enumerate(queue.waiting) if spare)
        return self._remove(station, queue, number)

    def _remove(self, station: bytes, queue: _Queue, number: int) -> Association:
        association, spare = queue.waiting[number]
        del queue.waiting[number]
        queue.spare -= spare
        self._count -= 1
        if not queue.waiting:
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
