"""Waiting for what tells nobody when it happens: a condition, with a deadline."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

__all__ = ["until"]

_LOOK_AGAIN = 0.001  # seconds


def until(condition: Callable[[], bool], *, within: float) -> bool:
    """Look until `condition` holds, for `within` seconds at most; whether it does."""
    give_up = time.monotonic() + within
    while not condition():
        if time.monotonic() > give_up:
            return False
        select.select([], [], [], _LOOK_AGAIN)
    return True
