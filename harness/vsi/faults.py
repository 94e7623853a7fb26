"""What a bridge is to do wrong, as data."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import UsageError
from harness.vsi.facts import Association, Command

__all__ = ["Fault", "FaultKind", "Faults", "parse_fault"]


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


def parse_fault(text: str) -> Fault:
    """The fault that a user writes as KIND[,key=value…]: "refuse,code=2,times=3".

    Keys are the fields of Fault; `instance` is a UUID, and a flag needs no value. Raises
    UsageError, which says what is allowed.
    """
    kind, *words = text.split(",")
    if kind not in list(FaultKind):
        raise UsageError(f"fault {kind!r}: no such kind; allowed: {', '.join(FaultKind)}")
    given: dict[str, object] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key not in _FIELDS:
            raise UsageError(f"fault {text!r}: no {key!r}; allowed: {', '.join(_FIELDS)}")
        read, allowed = _FIELDS[key]
        try:
            given[key] = read(value)
        except (ValueError, KeyError):
            raise UsageError(f"fault {text!r}: {key} is {allowed}") from None
    return Fault(FaultKind(kind), **given)  # type: ignore[arg-type]


def _between(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError(text)
        return number

    return read


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError(text)
    return number


_FLAG: Mapping[str, bool] = {"": True, "yes": True, "true": True, "no": False, "false": False}
_FIELDS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "command": (Command, f"one of {', '.join(Command)}"),
    "instance": (lambda text: uuid.UUID(text).bytes, "a UUID"),
    "after": (_between(0, 10**9), "how many occasions to pass over, 0 and more"),
    "times": (_between(1, 10**9), "on how many occasions, 1 and more"),
    "code": (_between(1, 15), "1 to 15"),
    "keep": (_FLAG.__getitem__, "yes or no"),
    "hard": (_FLAG.__getitem__, "yes or no"),
    "seconds": (_seconds, "a number of seconds"),
    "vid": (_between(1, 4094), "1 to 4094"),
}
