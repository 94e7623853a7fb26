"""Topologies brought to life: wiring, endpoints, sentinels, verdicts."""

from __future__ import annotations

from harness.testbed.bed import Testbed
from harness.testbed.evidence import Evidence, Repeat
from harness.testbed.verdict import Barrier, Observation, Outcome, Verdict

__all__ = ["Barrier", "Evidence", "Observation", "Outcome", "Repeat", "Testbed", "Verdict"]
