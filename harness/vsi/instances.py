"""Which port of the bridge has which VSI instance: one at most (41.2.7)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Instances", "Owner", "Second"]


class Second(StrEnum):
    """What becomes of an instance that is associated a second time, elsewhere."""

    MOVE = "move"
    """The new one has it, the old one is de-associated: a guest that migrates."""
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Owner:
    """A station on a port."""

    port: str
    station: bytes


class Instances:
    """Shared by the ports of one bridge."""

    def __init__(self, *, second: Second = Second.MOVE) -> None:
        self._second = second
        self._owners: dict[bytes, Owner] = {}
        self._lost: dict[str, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def claim(self, instance: bytes, owner: Owner) -> bool:
        """Give `instance` to `owner`; False where somebody else has it and keeps it."""
        before = self._owners.get(instance)
        if before is not None and before != owner:
            if self._second is Second.REFUSE:
                return False
            if before.port != owner.port:
                self._lost.setdefault(before.port, set()).add(instance)
        self._lost.get(owner.port, set()).discard(instance)
        self._owners[instance] = owner
        return True

    def has(self, instance: bytes, port: str) -> bool:
        """Whether `port` has it."""
        owner = self._owners.get(instance)
        return owner is not None and owner.port == port

    def release(self, instance: bytes, port: str) -> None:
        """`port` has it no longer."""
        if self.has(instance, port):
            del self._owners[instance]
        self._lost.get(port, set()).discard(instance)

    def has_lost(self, port: str) -> bool:
        """Whether there is something that `lost` would give."""
        return bool(self._lost.get(port))

    def lost(self, port: str) -> tuple[bytes, ...]:
        """What `port` has lost to others since it last asked."""
        return tuple(sorted(self._lost.pop(port, ())))
