"""A run as plain data: what the plugin collects and every report is made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from harness.report.evidence_lines import findings
from harness.testbed.verdict import Difference, Outcome, Verdict

__all__ = ["CellOutcome", "Record", "Run"]


class CellOutcome(StrEnum):
    """What became of one cell of the matrix."""

    AS_PREDICTED = Outcome.AS_PREDICTED.value
    DOCUMENTED_OTHERWISE = Outcome.DOCUMENTED_OTHERWISE.value
    DIFFERS = Outcome.DIFFERS.value
    HOLDS = "holds"  # a check without a verdict: an errno, a counter, a client that gets through
    BROKEN = "does not hold"
    SKIPPED = "skipped"
    ERROR = "error"


@dataclass(frozen=True)
class Record:
    """One cell: one stimulus on one topology, or the reason why there is no verdict.

    `section` is the subject (one matrix each), `row` the flow, `column` the headings from the
    top down (``("vepa → bridge", "hairpin on")``). `predicted` and `seen` count copies per
    observer; `focus` is the observer whose count stands in the cell. `promises` are those
    that apply: id, text, source, section, kept. `trace` is the model's way of the frame, and
    `maybe` how many copies an observer may see besides (Prediction.maybe); others are absent.

    Of a difference, `findings` is what evidence came to, in a few lines, and `evidence` the
    file with all of it, relative to the folder of the run; a capture of the same name, but for
    its ending .pcapng, lies beside it.
    """

    case: str
    section: str
    row: str
    column: tuple[str, ...]
    outcome: CellOutcome
    focus: str = ""
    predicted: Mapping[str, int] = field(default_factory=dict)
    seen: Mapping[str, int] = field(default_factory=dict)
    barriers: Mapping[str, str] = field(default_factory=dict)
    promises: tuple[Mapping[str, Any], ...] = ()
    causes: tuple[str, ...] = ()
    reason: str = ""
    stimulus: str = ""
    topology: str = ""  # TOML
    trace: tuple[str, ...] = ()
    maybe: Mapping[str, int] = field(default_factory=dict)
    evidence: str = ""
    findings: tuple[str, ...] = ()

    def settled(self, observer: str) -> int | None:
        """Copies that `observer` saw, those that may come or not left out; None if not known.

        What a hash decides that mixes in a kernel address says nothing about the kernel.
        """
        seen, predicted = self.seen.get(observer), self.predicted.get(observer)
        if seen is None or predicted is None:
            return seen
        return predicted if 0 <= seen - predicted <= self.maybe.get(observer, 0) else seen

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types; `from_json` makes the same record again."""
        return vars(self) | {
            "outcome": self.outcome.value,
            "predicted": dict(self.predicted),
            "seen": dict(self.seen),
            "barriers": dict(self.barriers),
            "column": list(self.column),
            "causes": list(self.causes),
            "promises": [dict(p) for p in self.promises],
            "trace": list(self.trace),
            "maybe": dict(self.maybe),
            "findings": list(self.findings),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """The record that `to_json` wrote. Raises KeyError, TypeError or ValueError."""
        return cls(
            **dict(data)
            | {
                "outcome": CellOutcome(data["outcome"]),
                "column": tuple(data["column"]),
                "causes": tuple(data["causes"]),
                "promises": tuple(data["promises"]),
                "trace": tuple(data["trace"]),
                "findings": tuple(data["findings"]),
            }
        )

    @classmethod
    def of(
        cls,
        verdict: Verdict,
        *,
        case: str,
        section: str,
        row: str,
        column: Iterable[str],
        topology: str,
    ) -> Record:
        """The record of a verdict; `topology` is its TOML."""
        arrivals = verdict.observation.arrivals
        return cls(
            case=case,
            section=section,
            row=row,
            column=tuple(column),
            outcome=CellOutcome(verdict.outcome.value),
            focus=_focus(verdict),
            predicted={name: len(f) for name, f in verdict.prediction.arrivals.items()},
            seen={name: len(f) for name, f in arrivals.items()},
            barriers={name: b.value for name, b in verdict.observation.barriers.items()},
            promises=tuple(
                {
                    "id": j.promise.id,
                    "text": j.promise.text,
                    "source": j.promise.source,
                    "section": j.promise.section,
                    "kept": j.kept,
                }
                for j in verdict.judgements
            ),
            causes=verdict.causes,
            stimulus=str(verdict.stimulus),
            topology=topology,
            trace=tuple(map(str, verdict.prediction.trace)),
            maybe={name: len(f) for name, f in verdict.prediction.maybe.items()},
            findings=findings(verdict.evidence) if verdict.evidence else (),
        )


def _focus(verdict: Verdict) -> str:
    """The observer that a reader asks about first.

    The one that differs, else the one that breaks a promise, else the target.
    """
    first: Difference | None = next(iter(verdict.differences), None)
    if first:
        return first.observer
    received = {name: len(frames) for name, frames in verdict.observation.arrivals.items()}
    for judgement in verdict.judgements:
        if not judgement.kept:
            promised = judgement.promise.expects(verdict.topology, verdict.stimulus) or {}
            return next(name for name, must in promised.items() if bool(received[name]) is not must)
    if verdict.stimulus.to in verdict.prediction.arrivals:
        return verdict.stimulus.to
    others = [g.name for g in verdict.topology.guests if g.name != verdict.stimulus.sender]
    return others[0] if others else verdict.stimulus.sender


@dataclass(frozen=True)
class Run:
    """Everything about one run. Times in seconds; `started` is ISO 8601 in UTC.

    `backend` is ``tap`` or ``packet``; `missing` maps a kernel feature that is not there to
    what that means; `exit_status` is pytest's mapped to hairpin's. `behaviours` says of each
    Behaviour, by its key, whether the kernel behaves so.
    """

    records: tuple[Record, ...]
    started: str
    seconds: float
    verdict_seconds: float
    kernel: str
    machine: str
    backend: str
    version: str
    missing: Mapping[str, str]
    exit_status: int
    behaviours: Mapping[str, bool] = field(default_factory=dict)
