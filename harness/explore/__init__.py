"""Differential exploration: random networks and random changes, the model against the kernel."""

from __future__ import annotations

from harness.explore.exploration import Exploration, explore
from harness.explore.explorer import Limits, Tally

__all__ = ["Exploration", "Limits", "Tally", "explore"]
