"""The model's answer to one stimulus, as text."""

from __future__ import annotations

from harness.model import predict
from harness.promises import promises_for
from harness.stimulus import Stimulus, frame_of
from harness.topology import Topology

__all__ = ["explanation"]


def explanation(topology: Topology, stimulus: Stimulus) -> str:
    """Who receives the frame, its way there, and what the documentation says.

    Raises StimulusError.
    """
    frame = frame_of(topology, stimulus)
    prediction = predict(topology, stimulus)
    width = max(len(name) for name in topology.observers)
    lines = [f"{stimulus}  ({frame.src} to {frame.dst})", "", "Arrives at"]
    for observer, frames in prediction.arrivals.items():
        note = "  (or one, if the group's hash collides)" if observer in prediction.maybe else ""
        lines.append(f"  {observer:{width}}  {len(frames)}{note}")
    lines += ["", "Way"]
    lines += [f"  {step}" for step in prediction.trace]
    received = {name: len(frames) for name, frames in prediction.arrivals.items()}
    promises = promises_for(topology, stimulus)
    if promises:
        lines += ["", "Documentation"]
    for promise in promises:
        word = "kept" if promise.kept(topology, stimulus, received) else "documented otherwise"
        lines += [f"  {word}: {promise.text}", f"    {promise.source}; {promise.section}"]
    return "\n".join(lines)
