"""What the bridge tells of: for a live view, a chart of the exchange, and tests."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.vsi.facts import EcpFrame, LldpFrame, Malformed, Vsi

__all__ = ["Event", "EventKind", "Outcome"]


class EventKind(StrEnum):
    """What happened."""

    HEARD = "heard"
    SENT = "sent"
    MOVED = "moved"
    """A VSI is in another state."""
    DUPLICATE = "duplicate"
    """A request came a second time: acknowledged, and not done again."""
    GIVEN_UP = "given up"
    """The station acknowledged no copy of an answer."""
    DROPPED = "dropped"
    """There was no room."""
    REFUSED = "refused"
    """A request was, and why: the code in the answer may stand for several reasons."""
    RELAY = "relay"
    FORGOTTEN = "forgotten"
    FAULT = "fault"
    """The bridge did what it was told to do wrong."""


@dataclass(frozen=True, slots=True)
class Event:
    """One of them, at a time; `frame` is what was heard or sent, `text` the rest in words."""

    at: float
    kind: EventKind
    text: str = ""
    vsi: Vsi | None = None
    frame: EcpFrame | LldpFrame | Malformed | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of a frame or of time: octets to send, in order, and what happened."""

    frames: tuple[bytes, ...] = ()
    events: tuple[Event, ...] = ()
