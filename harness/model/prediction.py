"""What the model answers: who receives which frames, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.behaviours import Behaviours
from harness.frames import Frame
from harness.model.rules import Rule

__all__ = ["Prediction", "Step"]


@dataclass(frozen=True)
class Step:
    """One step of a frame: the device it is `at`, what happens, and the rule that decided.

    `rule` is None where there was nothing to decide; `holds` is the rule's outcome.
    """

    at: str
    text: str
    rule: Rule | None = None
    holds: bool = True

    def __str__(self) -> str:
        if self.rule is None:
            return f"{self.at}: {self.text}"
        because = f" ({self.text})" if self.text else ""
        answer = "yes" if self.holds else "no"
        return f"{self.at}: {self.rule.says}? {answer}{because}  [{self.rule.where}]"


@dataclass(frozen=True)
class Prediction:
    """The model's answer to one stimulus.

    `arrivals` has every observer of the topology, with the frames it must see, in order.
    `maybe` has the frames that an observer may see besides: a guest's own multicast filter
    hashes with the address of a kernel structure (mc_hash), so a group it has not joined gets
    through about once in 256, unforeseeably but always alike for one link. `behaviours` are
    those of the kernel that it is about.
    """

    arrivals: Mapping[str, tuple[Frame, ...]]
    maybe: Mapping[str, tuple[Frame, ...]]
    trace: tuple[Step, ...]
    behaviours: Behaviours = frozenset()

    def copies(self, observer: str) -> int:
        """How many copies must arrive at `observer`. Raises KeyError for no observer."""
        return len(self.arrivals[observer])

    def __contains__(self, observer: str) -> bool:
        return bool(self.arrivals[observer])
