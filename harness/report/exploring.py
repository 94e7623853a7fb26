"""An exploration on the terminal: how far it has got, and what came of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from harness.explore import Exploration, Tally

__all__ = ["Progress", "exploration_summary"]

_EVERY = 0.5  # seconds


class Progress:
    """One line that is written anew; on what is no terminal a line now and then."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._every = _EVERY if self._live else 20 * _EVERY
        self._next = self._every
        self.last: Tally | None = None

    def __call__(self, tally: Tally) -> None:
        """Show how far it has got, if it is time to."""
        self.last = tally
        if tally.seconds < self._next:
            return
        self._next = tally.seconds + self._every
        text = f"{tally.seconds:6.0f} s  {_counts(tally)}  {tally.rate:,.0f} verdicts/s"
        self._stream.write(f"\r{text}\x1b[K" if self._live else f"{text}\n")
        self._stream.flush()

    def done(self) -> None:
        """Take the line away."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _counts(tally: Tally | Exploration) -> str:
    return (
        f"{tally.verdicts:,} verdicts  {tally.changes:,} changes  {tally.topologies:,} topologies"
    )


def exploration_summary(result: Exploration, saved: Path | None) -> str:
    """What came of it, for people; `saved` is the file of the case that was found."""
    rate = result.verdicts / max(result.seconds, 1e-9)
    head = (
        f"{_counts(result)}  in {result.seconds:.1f} s: {rate:,.0f} verdicts per second, "
        f"seed {result.seed}"
    )
    if result.found is None:
        return f"{head}\nThe kernel did what the model predicts, every time."
    topology, steps = result.found.topology, result.found.steps
    lines = [
        head,
        "",
        f"A difference, made small: {len(topology.guests)} guests, {len(steps)} steps",
        *(f"  {number}. {step}" for number, step in enumerate(steps, 1)),
        "",
        result.why,
    ]
    if not result.reproduced:
        lines.append("It did not happen again: the case is what led to it, not made small.")
    if saved:
        lines += ["", f"Saved as {saved}. Run it again: hairpin run {saved}"]
    return "\n".join(lines)
