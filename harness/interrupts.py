"""Ctrl-C, remembered: nobody on its way up can swallow it for good.

KeyboardInterrupt is raised wherever the main thread happens to be: in a library's bare ``except:``,
or where the error of something that could not be undone takes its place.
"""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["interrupted", "remember_interrupts"]

_seen: list[int] = []


def remember_interrupts() -> None:
    """From now on `interrupted` knows. SIGINT is left alone where it is not Python's to begin with.

    Takes the main thread.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _remember)


def interrupted() -> bool:
    """Whether somebody has pressed Ctrl-C."""
    return bool(_seen)


def _remember(number: int, frame: FrameType | None) -> None:
    _seen.append(number)
    signal.default_int_handler(number, frame)
