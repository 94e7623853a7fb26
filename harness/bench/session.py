"""A benchmark from beginning to end: round by round, so that a slow minute meets everything alike.

rounds of subjects ──► rivals ──► scale ──► Run
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from harness.bench.crew import Crew
from harness.bench.ends import Path
from harness.bench.frames import GSO
from harness.bench.measurement import Measurement, Run, Test
from harness.bench.paths import PathSpec, open_path
from harness.bench.plan import Entry, Plan, fitted
from harness.bench.rivals import Rivals
from harness.bench.scale import measure_scale
from harness.bench.subjects import BackToBack, Forwarding, Latency, Loss, Subject, Throughput
from harness.errors import KernelError, UnfitError
from harness.kernel.engine import engine_name

__all__ = ["Listener", "Session"]

_OF_SCALE = (Test.SCALE, Test.ADDRESSES, Test.FAN_OUT)
_FLOWS = 64  # that a receiver with several queues gets


class Listener(Protocol):
    """Who wants to know how far it has got."""

    def step(self, done: int, total: int, text: str) -> None:
        """`done` of `total` samples have been taken; `text` says what is measured now."""

    def rate(self, frames_per_second: float) -> None:
        """What the last sample came to."""


@dataclass
class Session:
    """One run of a plan. `opened` is called with every path that has been opened."""

    plan: Plan
    crew: Crew
    listener: Listener
    opened: Callable[[Path], None] = field(default=lambda path: None)
    missing: dict[str, str] = field(default_factory=dict, init=False)
    _subjects: list[Subject] = field(default_factory=list, init=False)
    _finished: list[Measurement] = field(default_factory=list, init=False)

    def run(self, *, kernel: str, machine: str, command: str) -> Run:
        """Measure. When interrupted, what has been measured so far, marked so."""
        began = time.monotonic()
        date = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        interrupted = False
        try:
            self._measure()
        except KeyboardInterrupt:
            interrupted = True
        measured = [subject.measurement() for subject in self._subjects if subject.samples]
        return Run(
            kernel=kernel,
            machine=machine,
            date=date,
            command=command,
            engine=engine_name(),
            cpus=len(os.sched_getaffinity(0)),
            seconds=time.monotonic() - began,
            measurements=tuple(measured + self._finished),
            missing=self.missing,
            interrupted=interrupted,
        )

    # ------------------------------------------------------------------ rounds

    def _measure(self) -> None:
        with ExitStack() as undo:
            self._subjects.extend(self._open(undo))
            turns = list(self._turns())
            for done, (number, subject) in enumerate(turns):
                what = f"{subject.title} (round {number} of {self.plan.rounds})"
                self.listener.step(done, len(turns), what)
                if subject.title not in self.missing:
                    try:
                        self.listener.rate(subject.sample(self.crew))
                    except KernelError as error:
                        self.missing[subject.title] = str(error)
        if self.plan.selection.wants(Test.RIVAL):
            self._rivals()
        if any(map(self.plan.selection.wants, _OF_SCALE)):
            self._scale()

    def _rivals(self) -> None:
        """Everybody else on the same path, in rounds of their own."""
        budget = self.plan.rivals
        with Rivals(budget, self.crew, missing=self.missing) as rivals:
            try:
                for done, (number, contestant, turn) in enumerate(rivals.play()):
                    what = f"rivals: {contestant.name} (round {number} of {budget.rounds})"
                    self.listener.step(done, budget.rounds * rivals.contestants, what)
                    self.listener.rate(turn.received)
            finally:
                self._finished.extend(rivals.measurements())

    def _scale(self) -> None:
        """More and more guests, addresses and groups, in rounds of their own."""

        def tell(text: str) -> None:
            self.listener.step(0, 0, text)

        for measured in measure_scale(self.plan.scale, progress=tell, missing=self.missing):
            if self.plan.selection.wants(measured.test):
                self._finished.append(measured)

    def _turns(self) -> Iterator[tuple[int, Subject]]:
        """Whose turn it is, round by round, counted from 1."""
        for number in range(self.plan.rounds):
            for subject in self._subjects:
                quick = subject.test is Test.FORWARDING
                if quick or number % self.plan.loaded_every == 0:
                    yield number + 1, subject

    def _open(self, undo: ExitStack) -> Iterator[Subject]:
        """The subjects, each with its path, which subjects share."""
        paths: dict[PathSpec, Path | None] = {}
        throughputs: dict[tuple[PathSpec, str], Throughput] = {}
        for entry in self.plan.entries():
            if not self.plan.selection.wants(entry.test):
                if not (entry.test is Test.THROUGHPUT and self.plan.selection.wants(Test.LATENCY)):
                    continue
            spec = fitted(entry.path, entry.frame)
            if spec not in paths:
                paths[spec] = self._open_path(spec, undo)
            path = paths[spec]
            if path is not None and path.ip_only and entry.frame == GSO:
                self.missing[f"{spec.name}, {GSO}"] = "frames of 64 KB have addresses of their own"
            elif path is not None:
                yield self._subject(entry, spec, path, throughputs)

    def _open_path(self, spec: PathSpec, undo: ExitStack) -> Path | None:
        try:
            path = undo.enter_context(open_path(spec))
        except (KernelError, UnfitError) as error:
            self.missing[", ".join(filter(None, (spec.name, spec.variant)))] = str(error)
            return None
        self.opened(path)
        return path

    def _subject(
        self,
        entry: Entry,
        spec: PathSpec,
        path: Path,
        throughputs: dict[tuple[PathSpec, str], Throughput],
    ) -> Subject:
        plan, frame = self.plan, entry.frame
        flows = _FLOWS if spec.queues > 1 else int(path.ip_only)
        what: dict[str, Any] = {"variant": entry.variant, "flows": flows}
        match entry.test:
            case Test.FORWARDING:
                return Forwarding(path, frame, **what, seconds=plan.forwarding_seconds)
            case Test.THROUGHPUT:
                found = Throughput(path, frame, **what, seconds=plan.trial_seconds)
                throughputs[spec, frame] = found
                return found
            case Test.LATENCY:
                return Latency(
                    path,
                    frame,
                    **what,
                    seconds=plan.latency_seconds,
                    most=throughputs[spec, frame],
                    load=entry.load,
                    rate=plan.selection.rate,
                )
            case Test.LOSS:
                return Loss(path, frame, **what, seconds=plan.trial_seconds, loads=plan.losses)
            case _:
                return BackToBack(path, frame, **what)
