"""One live network of an exploration, and how it came about."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from harness.cases import Case
from harness.kernel.netns import on_thread
from harness.operations import Action, Operation, Send
from harness.stimulus import Stimulus
from harness.testbed import Testbed
from harness.topology import Topology

__all__ = ["Track"]


class Track:
    """A testbed that is being built or changed on a thread, until somebody waits for it.

    Most changes wait for the kernel (an RCU grace period, linkwatch), so several tracks take turns:
    while one changes, another is tried out. `fresh` says that nobody has tried this state out yet.
    """

    def __init__(self, topology: Topology, build: Callable[[Topology], Testbed]) -> None:
        self.topology = topology
        self.fresh = True
        self._begun = topology
        self._steps: list[Action] = []
        self._bed: Testbed | None = None
        self._build = build
        self._pending: Future[None] = on_thread(self._bring_up)

    def _bring_up(self) -> None:
        self._bed = self._build(self._begun)

    def wait(self) -> Testbed:
        """The testbed, once it is `topology`. Raises HairpinError when it could not become that."""
        self._pending.result()
        if self._bed is None:
            raise RuntimeError("the testbed was not built")
        return self._bed

    def change(self, operation: Operation) -> None:
        """Begin to change. Raises TopologyError when the topology does not allow it."""
        bed = self.wait()
        self.topology = target = operation.applied(self.topology)
        self._steps.append(operation)
        self.fresh = True
        self._pending = on_thread(lambda: bed.become(target))

    def case(self, stimulus: Stimulus | None) -> Case:
        """How it has come to this, and the stimulus that then was sent."""
        last = [Send(stimulus)] if stimulus else []
        return Case(self._begun, (*self._steps, *last))

    def close(self) -> None:
        """Take it down, once it is at rest; idempotent."""
        self._pending.exception()
        if self._bed is not None:
            self._bed.close()
