"""Rivals in one run, on the same path: what else one could send, receive and measure with.

Two macvtaps in bridge mode on one lower device, each in a namespace of its own; whoever has its
turn has the path to itself.
"""

from __future__ import annotations

from harness.bench.rivals.rounds import (
    FULL,
    PATH,
    QUICK,
    Budget,
    Rivals,
)
from harness.bench.rivals.turns import Contestant, Turn

__all__ = [
    "FULL",
    "PATH",
    "QUICK",
    "Budget",
    "Contestant",
    "Rivals",
    "Turn",
]
