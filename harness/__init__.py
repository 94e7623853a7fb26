"""hairpin: what macvtap really does, on this kernel, on this host, behind this switch.

The names here are the whole public face; tests of one's own import from it. What needs a live
kernel (`Testbed`) is imported when first asked for: facts and model work on any system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.behaviours import Behaviour
from harness.casefile import dump_case, load_case, parse_case
from harness.cases import Case
from harness.errors import (
    CommandError,
    DifferenceError,
    ForeignTapError,
    GuestError,
    HairpinError,
    KernelError,
    LibvirtError,
    StimulusError,
    TopologyError,
    UnfitError,
    UsageError,
)
from harness.frames import Frame, Tag
from harness.model import Prediction, Rule, Step, predict
from harness.operations import Add, Change, Part, Remove, Send
from harness.parts import External, Guest, Lower, LowerKind, Mode, Port, Router, Switch
from harness.promises import PROMISES, Promise
from harness.stimulus import BROADCAST, UNKNOWN, Stimulus
from harness.topofile import dump_topology, load_topology, parse_topology
from harness.topology import Topology

if TYPE_CHECKING:
    from harness.testbed import Barrier, Observation, Outcome, Testbed, Verdict

__all__ = [
    "BROADCAST",
    "PROMISES",
    "UNKNOWN",
    "Add",
    "Barrier",
    "Behaviour",
    "Case",
    "Change",
    "CommandError",
    "DifferenceError",
    "External",
    "ForeignTapError",
    "Frame",
    "Guest",
    "GuestError",
    "HairpinError",
    "KernelError",
    "LibvirtError",
    "Lower",
    "LowerKind",
    "Mode",
    "Observation",
    "Outcome",
    "Part",
    "Port",
    "Prediction",
    "Promise",
    "Remove",
    "Router",
    "Rule",
    "Send",
    "Step",
    "Stimulus",
    "StimulusError",
    "Switch",
    "Tag",
    "Testbed",
    "Topology",
    "TopologyError",
    "UnfitError",
    "UsageError",
    "Verdict",
    "dump_case",
    "dump_topology",
    "load_case",
    "load_topology",
    "parse_case",
    "parse_topology",
    "predict",
]

_LIVE = frozenset({"Barrier", "Observation", "Outcome", "Testbed", "Verdict"})


def __getattr__(name: str) -> Any:
    if name in _LIVE:
        from harness import testbed

        return getattr(testbed, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
