"""Waiting by looking again, with a deadline.

Most of what is waited for tells nobody. Links would (RTNLGRP_LINK), on a socket in each
namespace; but it is over after some milliseconds, and a look is a fraction of one.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["look_until"]

_LOOK_AGAIN = 0.001  # seconds

T = TypeVar("T")


def look_until(look: Callable[[], T], wanted: Callable[[T], bool], *, within: float) -> T:
    """What `look` sees, as soon as that is `wanted`; the last it saw after `within` seconds."""
    give_up = time.monotonic() + within
    while not wanted(seen := look()) and time.monotonic() <= give_up:
        select.select([], [], [], _LOOK_AGAIN)
    return seen
