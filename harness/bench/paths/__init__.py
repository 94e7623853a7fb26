"""Live paths for the engine: macvtap in each of its ways, and what one would use instead.

    with open_path(PathSpec(mode=Mode.VEPA)) as path:  # a [tap] ==> hairpin ==> b [tap]
        ...

What is handed out is ready: carriers are up, the switch knows who is where, queues are empty.
"""

from __future__ import annotations

from harness.bench.paths.catalogue import PATHS, open_path
from harness.bench.paths.loop import loop_path
from harness.bench.paths.spec import Carrier, PathSpec, Way

__all__ = ["PATHS", "Carrier", "PathSpec", "Way", "loop_path", "open_path"]
