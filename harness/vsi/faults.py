"""What a bridge is to do wrong, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.vsi.facts import Association, Command

__all__ = ["Fault", "FaultKind", "Faults"]


class FaultKind(StrEnum):
    """The ways to go wrong."""

    REFUSE = "refuse"
    """Answer with `code`; `keep` and `hard` are the flags."""
    NO_ACK = "no-ack"
    """Neither acknowledge nor answer the request."""
    NO_ANSWER = "no-answer"
    """Acknowledge the request, and never answer it."""
    LATE_ACK = "late-ack"
    """Acknowledge after `seconds`."""
    DUPLICATE = "duplicate"
    """Send the acknowledgement and the answer twice."""
    WRONG_SEQUENCE = "wrong-sequence"
    """Acknowledge another sequence."""
    RESET = "reset"
    """Acknowledge the request, then forget everything, as after a power cut."""
    DE_ASSOCIATE = "de-associate"
    """De-associate the VSI `seconds` after it was granted."""
    REWRITE_VID = "rewrite-vid"
    """Grant `vid` in place of the VIDs asked for."""
    RESOURCE_WAIT = "resource-wait"
    """Decide nothing until the resource wait delay is over."""
    NO_KEEPALIVE = "no-keepalive"
    """Acknowledge keepalives, and never answer them."""
    NO_EVB = "no-evb"
    """Send no LLDP."""


@dataclass(frozen=True)
class Fault:
    """One way to go wrong, and with what.

    It holds for `command` and `instance` (16 octets) only where they are given, passes over the
    first `after` occasions and is over after `times` more.
    """

    kind: FaultKind
    command: Command | None = None
    instance: bytes | None = None
    after: int = 0
    times: int | None = None
    code: int = 4
    keep: bool = False
    hard: bool = False
    seconds: float = 0.0
    vid: int = 1

    def concerns(self, association: Association | None) -> bool:
        """Whether it holds for a request, or for one that asks for nothing (None)."""
        if association is None:
            return self.command is None and self.instance is None
        return self.command in (None, association.command) and self.instance in (
            None,
            association.vsi.instance,
        )


class Faults:
    """Several of them, each with the number of occasions that it had."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = tuple(faults)
        self._seen = [0] * len(self._faults)

    def take(self, kind: FaultKind, associations: Iterable[Association | None]) -> Fault | None:
        """The first fault of `kind` that is due on this occasion."""
        found: Fault | None = None
        asked = tuple(associations) or (None,)
        for number, fault in enumerate(self._faults):
            if fault.kind is not kind or not any(fault.concerns(one) for one in asked):
                continue
            self._seen[number] += 1
            turn = self._seen[number] - fault.after
            if found is None and turn > 0 and (fault.times is None or turn <= fault.times):
                found = fault
        return found
