"""What was seen, held against what was predicted and what was promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.frames import Frame
from harness.model import Prediction
from harness.promises import Promise, promises_for
from harness.stimulus import Stimulus
from harness.testbed.evidence import Evidence
from harness.topology import Topology

__all__ = [
    "Barrier",
    "Difference",
    "Judgement",
    "Observation",
    "Outcome",
    "Verdict",
    "fits",
    "judge",
]


class Barrier(StrEnum):
    """What ended the reading of one observer."""

    SENTINEL = "sentinel"  # a later frame through the same queues has arrived: certain
    ORDER = "order"  # none can arrive there; a later one elsewhere took the same queues: certain
    DEADLINE = "deadline"  # nor does one elsewhere: a bounded wait
    LOST = "lost"  # a sentinel had to arrive and did not


class Outcome(StrEnum):
    """What a verdict comes to."""

    AS_PREDICTED = "as predicted"
    DOCUMENTED_OTHERWISE = "documented otherwise"
    DIFFERS = "differs"


@dataclass(frozen=True)
class Observation:
    """What each observer received of one stimulus: whole frames, as on the wire, ident 0.

    Both mappings have every observer of the topology.
    """

    arrivals: Mapping[str, tuple[bytes, ...]]
    barriers: Mapping[str, Barrier]

    def copies(self, observer: str) -> int:
        """How many copies arrived at `observer`. Raises KeyError for no observer."""
        return len(self.arrivals[observer])

    def __contains__(self, observer: str) -> bool:
        return bool(self.arrivals[observer])


@dataclass(frozen=True)
class Difference:
    """One observer that saw something else than predicted."""

    observer: str
    predicted: tuple[bytes, ...]
    seen: tuple[bytes, ...]
    lost: bool = False

    @property
    def missing(self) -> tuple[bytes, ...]:
        """Frames that were predicted and not seen."""
        left = list(self.predicted)
        for frame in self.seen:
            if frame in left:
                left.remove(frame)
        return tuple(left)

    def __str__(self) -> str:
        text = f"{self.observer}: {len(self.predicted)} predicted, {len(self.seen)} seen"
        if self.lost:
            return f"{text}, and the sentinel never arrived"
        return text if len(self.predicted) != len(self.seen) else f"{text}, but not the same bytes"


@dataclass(frozen=True)
class Judgement:
    """One promise that applies, and whether the kernel kept it."""

    promise: Promise
    kept: bool


@dataclass(frozen=True)
class Verdict:
    """Promise, prediction and observation of one stimulus, held against each other.

    `causes` says in words what would explain the differences; empty when there are none.
    `evidence` is what was gathered about them, where that was asked for.
    """

    topology: Topology
    stimulus: Stimulus
    prediction: Prediction
    observation: Observation
    differences: tuple[Difference, ...]
    judgements: tuple[Judgement, ...]
    causes: tuple[str, ...] = ()
    evidence: Evidence | None = None

    @property
    def outcome(self) -> Outcome:
        """DIFFERS wins over DOCUMENTED_OTHERWISE."""
        if self.differences:
            return Outcome.DIFFERS
        if all(j.kept for j in self.judgements):
            return Outcome.AS_PREDICTED
        return Outcome.DOCUMENTED_OTHERWISE

    def __str__(self) -> str:
        lines = [f"{self.stimulus}: {self.outcome}"]
        lines += [f"  {difference}" for difference in self.differences]
        lines += [f"  likely cause: {cause}" for cause in self.causes]
        lines += [
            f"  {j.promise.source}, {j.promise.section}: {j.promise.text}"
            for j in self.judgements
            if not j.kept
        ]
        return "\n".join(lines)


def differences(prediction: Prediction, observation: Observation) -> tuple[Difference, ...]:
    """Observers that saw anything but what was predicted, the `maybe` frames allowed for.

    Frames are compared as multisets: order between copies is no part of a prediction.
    """
    found = []
    for observer, frames in prediction.arrivals.items():
        lost = observation.barriers[observer] is Barrier.LOST
        if lost or not _saw(prediction, observation, observer):
            expected = sorted(frame.to_bytes() for frame in frames)
            seen = sorted(observation.arrivals[observer])
            found.append(Difference(observer, tuple(expected), tuple(seen), lost=lost))
    return tuple(found)


def fits(prediction: Prediction, observation: Observation) -> bool:
    """Whether every observer saw what `prediction` says, sentinels aside."""
    return all(_saw(prediction, observation, observer) for observer in prediction.arrivals)


def _saw(prediction: Prediction, observation: Observation, observer: str) -> bool:
    expected = sorted(frame.to_bytes() for frame in prediction.arrivals[observer])
    seen = sorted(observation.arrivals[observer])
    return _matches(expected, seen, prediction.maybe.get(observer, ()))


def _matches(expected: list[bytes], seen: list[bytes], maybe: tuple[Frame, ...]) -> bool:
    if expected == seen:
        return True
    surplus = list(seen)
    for frame in expected:
        if frame not in surplus:
            return False
        surplus.remove(frame)
    allowed = [frame.to_bytes() for frame in maybe]
    for frame in surplus:
        if frame not in allowed:
            return False
        allowed.remove(frame)
    return True


def judge(
    topology: Topology, stimulus: Stimulus, prediction: Prediction, observation: Observation
) -> Verdict:
    """The verdict, without causes."""
    received = {name: len(frames) for name, frames in observation.arrivals.items()}
    return Verdict(
        topology,
        stimulus,
        prediction,
        observation,
        differences(prediction, observation),
        tuple(
            Judgement(promise, promise.kept(topology, stimulus, received))
            for promise in promises_for(topology, stimulus)
        ),
    )
