"""Many stimuli before one barrier: each has an ident of its own, by which copies are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.frames import ident_offset
from harness.model import foresee
from harness.parts import is_multicast
from harness.stimulus import Stimulus, frame_of
from harness.testbed.endpoints import Seen
from harness.testbed.shots import as_seen, rounds
from harness.topology import Topology

__all__ = ["MOST_AT_ONCE", "Loaded", "Volley", "load"]

# Each may come by the same ring two or three times (out, in, the host's stack), and a writer
# whose reader does not read blocks after some 300 frames.
MOST_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Loaded:
    """A stimulus, its bytes and where its ident goes, and what must be seen of it."""

    stimulus: Stimulus
    buffer: bytearray
    ident_at: int
    expected: Seen


@dataclass(frozen=True, eq=False)
class Volley:
    """Stimuli made ready, and the barrier that all of them together need."""

    loaded: tuple[Loaded, ...]
    group: bool
    rounds: int


def load(topology: Topology, stimuli: Sequence[Stimulus]) -> Volley:
    """`stimuli` made ready. Raises StimulusError."""
    loaded = []
    any_group, most_rounds = False, 1
    for stimulus in stimuli:
        frame = frame_of(topology, stimulus)
        group = is_multicast(frame.dst)
        any_group |= group
        most_rounds = max(most_rounds, rounds(topology, stimulus, group=group))
        expected = as_seen(foresee(topology, stimulus.sender, frame))
        loaded.append(Loaded(stimulus, bytearray(frame.to_bytes()), ident_offset(frame), expected))
    return Volley(tuple(loaded), any_group, most_rounds)
