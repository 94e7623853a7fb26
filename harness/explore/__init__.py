"""Differential exploration: random networks and random changes, the model against the kernel."""

from __future__ import annotations

from harness.explore.explorer import Exploration, Limits, explore

__all__ = ["Exploration", "Limits", "explore"]
