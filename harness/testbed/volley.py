"""Many stimuli before one barrier: each has an ident of its own, by which copies are told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness.behaviours import Behaviours
from harness.frames import Frame, ident_offset
from harness.model import foresee
from harness.parts import is_multicast
from harness.stimulus import Stimulus, frame_of
from harness.testbed.endpoints import Seen
from harness.testbed.shots import as_seen, rounds
from harness.topology import Topology

__all__ = ["Loaded", "Volley", "load"]

# Each may come by the same ring two or three times (out, in, the host's stack), and a writer
# whose reader does not read blocks after some 300 frames.
_MOST_AT_ONCE = 64


class Loaded(NamedTuple):  # of which there are very many
    """A stimulus, its bytes and where its ident goes, and what must be seen of it."""

    stimulus: Stimulus
    buffer: bytearray
    ident_at: int
    expected: Seen


class Volley(NamedTuple):
    """Stimuli made ready, and the barrier that all of them together need."""

    loaded: tuple[Loaded, ...]
    group: bool
    rounds: int


def load(
    topology: Topology, stimuli: Sequence[Stimulus], behaviours: Behaviours
) -> Iterator[Volley]:
    """`stimuli` made ready, in as many volleys as it takes. Raises StimulusError.

    Those for groups come last, by themselves: their barrier waits for a workqueue.
    """
    framed = [(stimulus, frame_of(topology, stimulus)) for stimulus in stimuli]
    for group in (False, True):
        alike = [(s, frame) for s, frame in framed if is_multicast(frame.dst) is group]
        for start in range(0, len(alike), _MOST_AT_ONCE):
            part = alike[start : start + _MOST_AT_ONCE]
            yield Volley(
                tuple(_loaded(topology, stimulus, frame, behaviours) for stimulus, frame in part),
                group,
                max(rounds(topology, stimulus, group=group) for stimulus, _ in part),
            )


def _loaded(topology: Topology, stimulus: Stimulus, frame: Frame, behaviours: Behaviours) -> Loaded:
    return Loaded(
        stimulus,
        bytearray(frame.to_bytes()),
        ident_offset(frame),
        as_seen(foresee(topology, stimulus.sender, frame, behaviours=behaviours)),
    )
