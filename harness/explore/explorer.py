"""Trying topologies and changes out on the kernel, and making small what differs."""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import NoReturn

from harness.cases import Case
from harness.errors import HairpinError
from harness.explore.minimise import minimise
from harness.explore.stimuli import plain, spoofed
from harness.explore.track import Track
from harness.kernel.affinity import pinned
from harness.kernel.features import Backend
from harness.kernel.netns import on_thread
from harness.kernel.stock import Stock
from harness.operations import Operation, Send
from harness.resource import Resource
from harness.stimulus import Stimulus
from harness.testbed import Testbed
from harness.topology import Topology

__all__ = ["Explorer", "Limits", "Stop", "Tally", "replay"]

_PLAIN_PER_STATE = 800
_SPOOFED_PER_STATE = 2
_MOST_REPLAYS = 300
_CLOSING_AT_ONCE = 6


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to stop: after so many seconds or verdicts, whichever comes first; None: no limit."""

    seconds: float | None = None
    verdicts: int | None = None


@dataclass
class Tally:
    """What has been done so far."""

    verdicts: int = 0
    changes: int = 0
    topologies: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since the beginning, bringing testbeds up and changing them included."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Verdicts per second."""
        return self.verdicts / max(self.seconds, 1e-9)


class Stop(BaseException):
    """Leave Hypothesis: enough has been done, or a difference was found.

    Hypothesis may make something else of it, so the explorer keeps it as well.
    """

    def __init__(self, found: Case | None = None, why: str = "") -> None:
        self.found = found
        self.why = why
        super().__init__(why)


class Explorer(Resource):
    """Tries networks and changes out, several in turn. Use it in a `with` statement.

    `turn`, `change` and `finish` raise Stop at a difference and when a limit is reached.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        seed: int,
        backend: Backend,
        progress: Callable[[Tally], object] | None = None,
    ) -> None:
        self.tally = Tally()
        self.stopped: Stop | None = None
        self._limits = limits
        self._random = Random(seed)
        self._backend = backend
        self._progress = progress
        self._stock = Stock(rings=1 if backend is Backend.TAP else 2)
        self._tracks: deque[Track] = deque()
        self._closing: deque[Future[None]] = deque()
        self._undo = ExitStack()
        self._undo.enter_context(pinned())
        # A volley makes thousands of objects and hardly a cycle: collecting them by count costs
        # a sixth of the time. It is done between topologies instead.
        gc.collect()
        gc.freeze()
        gc.disable()

    def begin(self, topologies: Sequence[Topology]) -> None:
        """Bring networks up, in place of those before."""
        self._end()
        gc.collect()
        self.tally.topologies += len(topologies)
        self._tracks.extend(Track(topology, self._build) for topology in topologies)

    def _build(self, topology: Topology) -> Testbed:
        return Testbed(topology, backend=self._backend, stock=self._stock)

    def turn(self) -> Topology:
        """Go on to the next network, and try out what it has become; its topology."""
        self._tracks.rotate(-1)
        self._try_out(self._tracks[0])
        return self._tracks[0].topology

    def change(self, operation: Operation) -> None:
        """Begin to change the network whose turn it is."""
        self._tracks[0].change(operation)
        self.tally.changes += 1

    def finish(self) -> None:
        """Try out whatever has not been."""
        for _ in range(len(self._tracks) if self.stopped is None else 0):
            self.turn()

    def _try_out(self, track: Track) -> None:
        if not track.fresh:
            return
        try:
            bed = track.wait()
            track.fresh = False
            stimuli = plain(bed.topology, self._random, most=_PLAIN_PER_STATE)
            differing = bed.burst(stimuli)
            self.tally.verdicts += len(stimuli)
            if differing:
                self._differs(track, str(differing[0]), differing[0].stimulus)
            for stimulus in spoofed(bed.topology, self._random, most=_SPOOFED_PER_STATE):
                self.tally.verdicts += 1
                if not bed.agrees(stimulus):
                    self._differs(track, f"{stimulus} differs", stimulus)
        except HairpinError as error:
            self._differs(track, str(error))
        if self._progress:
            self._progress(self.tally)
        limits = self._limits
        if limits.verdicts is not None and self.tally.verdicts >= limits.verdicts:
            self._stop(Stop())
        if limits.seconds is not None and self.tally.seconds >= limits.seconds:
            self._stop(Stop())

    def _stop(self, stop: Stop) -> NoReturn:
        self.stopped = stop
        raise stop

    def _differs(self, track: Track, why: str, stimulus: Stimulus | None = None) -> NoReturn:
        self._stop(Stop(track.case(stimulus), why))

    def _end(self) -> None:
        """Take the networks down, while others go on."""
        while self._tracks:
            self._closing.append(on_thread(self._tracks.popleft().close))
        while len(self._closing) > _CLOSING_AT_ONCE:
            self._closing.popleft().result()

    def smallest(self, found: Case) -> tuple[Case, str]:
        """The smallest case that still differs, and what it comes to; empty when none does."""
        self._end()

        def differs(case: Case) -> str:
            return replay(case, backend=self._backend, stock=self._stock)

        why = differs(found)
        if not why:
            return found, ""
        smallest = minimise(found, lambda case: bool(differs(case)), most=_MOST_REPLAYS)
        return smallest, differs(smallest) or why

    def close(self) -> None:
        """Take everything down; idempotent."""
        self._end()
        while self._closing:
            self._closing.pop().result()
        self._stock.close()
        gc.enable()
        gc.unfreeze()
        self._undo.close()


def replay(case: Case, *, backend: Backend, stock: Stock | None = None) -> str:
    """Run a case on a testbed of its own; what differs, empty when nothing does."""
    try:
        with Testbed(case.topology, backend=backend, stock=stock) as bed:
            for step in case.steps:
                if not isinstance(step, Send):
                    bed.become(step.applied(bed.topology))
                elif (verdict := bed.verdict(step.stimulus)).differences:
                    return str(verdict)
    except HairpinError as error:
        return str(error)
    return ""
