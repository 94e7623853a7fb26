"""Testbeds that live on from one test to the next."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

from harness.kernel.features import Backend
from harness.kernel.netns import on_thread
from harness.kernel.stock import Stock
from harness.resource import Resource
from harness.testbed.bed import Testbed
from harness.topology import Topology

__all__ = ["Pool"]

# A namespace that is being removed holds up the making of new ones (cleanup_net), and many are
# removed at the cost of one: so testbeds are kept, and closed in batches.
# The bound is of descriptors: half of what a shell allows, and select takes none above it.
_KEPT_DESCRIPTORS = 512


class Pool(Resource):
    """Live testbeds by topology, but for the switch's hairpin, which is set anew on a live one.

    Closing them waits for the kernel, so it happens on threads. Use it in a `with` statement.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._beds: dict[Topology, Testbed] = {}
        self._closing: list[Future[None]] = []
        # On the packet backend the host's namespace has the guests' rings as well.
        self._stock = Stock(rings=1 if backend is Backend.TAP else 2)

    def get(self, topology: Topology) -> Testbed:
        """The testbed of `topology`, which stays the pool's. Raises KernelError."""
        wires = topology.without_hairpin
        bed = self._beds.get(wires)
        if bed is None:
            bed = self._beds[wires] = self.new(topology)
        bed.become(topology)
        return bed

    def new(self, topology: Topology) -> Testbed:
        """A testbed that nobody else is given, and the caller closes. Raises KernelError."""
        if len(list(Path("/proc/self/fd").iterdir())) > _KEPT_DESCRIPTORS:
            self._close_all()
        return Testbed(topology, backend=self._backend, stock=self._stock)

    def drop(self, topology: Topology) -> None:
        """Give the testbed of `topology`, if there is one, to nobody any more."""
        bed = self._beds.pop(topology.without_hairpin, None)
        if bed is not None:
            self._closing.append(on_thread(bed.close))

    def _close_all(self) -> None:
        for wires in list(self._beds):
            self.drop(wires)

    def close(self) -> None:
        """Close every testbed and the stock; idempotent."""
        self._close_all()
        while self._closing:
            self._closing.pop().result()
        self._stock.close()
