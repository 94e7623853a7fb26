"""One frame's way through a topology: what the parts of the model share.

The parts (macvlan, bridge, host stack, router) do not call each other: each takes a frame off
the walk, decides, and puts the copies it makes back, the way devices hand frames to each other
through the softirq backlog.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum

from harness.behaviours import Behaviours
from harness.frames import Frame
from harness.model.prediction import Prediction, Step
from harness.model.rules import Rule
from harness.topology import Topology

__all__ = ["Handler", "Hop", "Walk"]

# More hops than any loop-free topology needs; only an inverted rule can make a loop.
_MOST_HOPS = 512


class Hop(IntEnum):
    """Where a frame stands: the part of the model that takes it next, by its number."""

    GUEST_TX = 0  # a guest's macvtap transmits
    LOWER_TX = 1  # a lower device transmits
    LOWER_RX = 2  # a lower device receives
    PORT_RX = 3  # the switch receives on a station's port
    PORT_TX = 4  # the switch sends out of a station's port
    ROUTER_RX = 5  # the router receives


Handler = Callable[["Walk", str, Frame], None]


class Walk:
    """A walk in progress.

    `fdb` is what the switches know: switch, MAC and VLAN to port. `inverted` are rules whose
    outcome is turned round. A walk that is not `traced` only says who receives what, by the
    rules as they are. `behaviours` are the kernel's.
    """

    def __init__(
        self,
        topology: Topology,
        fdb: Mapping[tuple[str, str, int], str],
        inverted: frozenset[Rule] = frozenset(),
        *,
        behaviours: Behaviours = frozenset(),
        traced: bool = True,
    ) -> None:
        self.topology = topology
        self.fdb = dict(fdb)
        self.behaviours = behaviours
        self.arrivals: dict[str, list[Frame]] = {}
        self.maybe: dict[str, list[Frame]] = {}
        self._inverted = inverted
        self._traced = traced
        self._pending: deque[tuple[Hop, str, Frame]] = deque()
        self._trace: list[Step] = []

    def decide(self, at: str, rule: Rule, holds: bool, because: str = "", *values: object) -> bool:
        """Take the decision `rule` at the device `at`; the outcome goes into the trace.

        `because` is formatted with `values`, which costs nothing where nobody will read it.
        """
        if self._traced:
            holds = holds is not (rule in self._inverted)
            self._trace.append(Step(at, because.format(*values), rule, holds))
        return holds

    def note(self, at: str, text: str) -> None:
        """Something that happens without a decision."""
        if self._traced:
            self._trace.append(Step(at, text))

    def put(self, hop: Hop, at: str, frame: Frame) -> None:
        """`frame` is at `hop` of the device or station `at` next."""
        self._pending.append((hop, at, frame))

    def arrive(self, observer: str, frame: Frame) -> None:
        """`observer` sees `frame`."""
        self.arrivals.setdefault(observer, []).append(frame)
        if self._traced:
            self._trace.append(Step(observer, "receives a copy"))

    def may_arrive(self, observer: str, frame: Frame) -> None:
        """`observer` sees `frame` if the hash of its filter happens to collide."""
        self.maybe.setdefault(observer, []).append(frame)

    def run(self, handlers: Sequence[Handler]) -> None:
        """Follow the frame and its copies until nothing is on its way; `handlers` by Hop."""
        for _ in range(_MOST_HOPS):
            if not self._pending:
                return
            hop, at, frame = self._pending.popleft()
            handlers[hop](self, at, frame)
        self.note("model", f"gave up after {_MOST_HOPS} hops: a loop")

    def prediction(self) -> Prediction:
        """What has come of it."""
        return Prediction(
            {name: tuple(self.arrivals.get(name, ())) for name in self.topology.observers},
            {name: tuple(frames) for name, frames in self.maybe.items()},
            tuple(self._trace),
            self.behaviours,
        )
