"""Namespaces made ahead, each with packet rings in it.

A ring waits for an RCU grace period when it is made (packet_set_ring), some 10 to 20 ms in
which nothing else is to be done for a testbed. Whoever brings up many testbeds keeps a stock:
the next ones are made on other threads meanwhile, many in the same grace period.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future

from harness.kernel.netns import NetNS, on_thread
from harness.kernel.packets import Ring
from harness.resource import Resource

__all__ = ["Furnished", "Stock"]


class Furnished:
    """A namespace and the rings that were made in it, not yet attached to anything."""

    def __init__(self, rings: int) -> None:
        self.ns = NetNS.create()
        self._waiting = [self.ns.start(Ring) for _ in range(rings)]

    def ring(self) -> Future[Ring]:
        """One of the rings, or a new one when all are given away."""
        return self._waiting.pop() if self._waiting else self.ns.start(Ring)

    def close(self) -> None:
        """Close the namespace and the rings that were not given away; idempotent."""
        while self._waiting:
            self._waiting.pop().result().close()
        self.ns.close()


class Stock(Resource):
    """Keeps up to `size` namespaces with `rings` rings each. Use it in a `with` statement."""

    def __init__(self, *, size: int = 12, rings: int = 1) -> None:
        self._size = size
        self._rings = rings
        self._shelf: deque[Furnished] = deque()
        self._refilling: Future[None] | None = None

    def take(self) -> Furnished:
        """A furnished namespace: from the shelf, or made now. Raises KernelError."""
        if len(self._shelf) <= self._size // 2 and (
            self._refilling is None or self._refilling.done()
        ):
            self._refilling = on_thread(self._refill)
        try:
            return self._shelf.popleft()
        except IndexError:
            return Furnished(self._rings)

    def _refill(self) -> None:
        while len(self._shelf) < self._size:
            self._shelf.append(Furnished(self._rings))

    def close(self) -> None:
        """Close what is on the shelf; idempotent."""
        if self._refilling is not None:
            self._refilling.result()
        for closing in [on_thread(furnished.close) for furnished in self._shelf]:
            closing.result()
        self._shelf.clear()
