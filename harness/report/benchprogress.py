"""A benchmark run on the terminal while it goes on: what is measured, how fast, how long yet."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

from harness.report.figures import figure

__all__ = ["BenchProgress"]

_EVERY = 0.1  # seconds between two lines on a terminal
_SELDOM = 10.0  # elsewhere
_WIDTH = 80  # where the terminal does not say


class BenchProgress:
    """One line that is written anew; on what is no terminal a line now and then.

    [ 12/40] forwarding, macvtap bridge, 64 bytes, round 2 of 5  1.23 Mframes/s  48 s left
    """

    def __init__(
        self, stream: TextIO = sys.stderr, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._clock = clock
        self._started = clock()
        self._shown = -_SELDOM if self._live else self._started
        self._done, self._total, self._text, self._rate = 0, 0, "", ""

    def step(self, done: int, total: int, text: str) -> None:
        """`done` of `total` steps are behind us (0 of 0: nobody knows); `text` is measured now."""
        self._done, self._total, self._text = done, total, text  # the last rate stays
        self._show(0.0 if self._live else _SELDOM)

    def rate(self, frames_per_second: float) -> None:
        """What is measured at the moment."""
        self._rate = figure(frames_per_second, "frames/s")
        self._show(_EVERY if self._live else _SELDOM)

    def done(self) -> None:
        """Take the line away."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _show(self, every: float) -> None:
        now = self._clock()
        if now - self._shown < every:
            return
        self._shown = now
        text = self._line(now)
        self._stream.write(f"\r{text}\x1b[K" if self._live else f"{text}\n")
        self._stream.flush()

    def _line(self, now: float) -> str:
        width = len(f"{self._total}")
        head = f"[{self._done:>{width}}/{self._total}] " if self._total else ""
        tail = "".join(f"  {part}" for part in (self._rate, self._left(now)) if part)
        if not self._live:
            return f"{head}{self._text}{tail}"
        room = self._columns() - 1 - len(head) - len(tail)
        text = self._text if len(self._text) <= room else f"{self._text[: max(room - 1, 0)]}…"
        return f"{head}{text}{tail}"

    def _left(self, now: float) -> str:
        """Time left, if further steps take as long as those behind us."""
        if not self._done:
            return ""
        left = (now - self._started) / self._done * (self._total - self._done)
        return f"{left:.0f} s left" if left < 100 else f"{left / 60:.0f} min left"

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _WIDTH
        except (OSError, ValueError):
            return _WIDTH
