"""ECP's two machines (IEEE 802.1Q-2018, 43.3): one ECPDU at a time, sent until it is acknowledged.

    waiting for a request → transmitted ⟲ ackTimer, at most maxRetries → waiting for a request

Sending and receiving are apart. Neither has a clock: the time comes with what happens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.vsi.facts import Association

__all__ = [
    "Acknowledged",
    "Delivered",
    "Dropped",
    "EcpReceiver",
    "EcpSender",
    "GivenUp",
    "Passed",
    "Payload",
    "Submit",
    "Transmit",
    "receive",
    "send",
]

Payload = tuple[Association, ...]
"""The associations of one VDPDU."""


@dataclass(frozen=True, slots=True)
class Submit:
    """VDP has something to say; what is `dispensable` is dropped first where too much waits."""

    payload: Payload
    dispensable: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The peer acknowledged `sequence`."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Passed:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Transmit:
    """A copy of the ECPDU is to be sent, the first being `copy` 1."""

    sequence: int
    payload: Payload
    copy: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """The peer has the ECPDU."""

    sequence: int


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The peer acknowledged no copy of the ECPDU."""

    sequence: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class Dropped:
    """Too much waits: this is not going to be sent."""

    payload: Payload


Sent = Transmit | Delivered | GivenUp | Dropped


@dataclass(frozen=True, slots=True)
class EcpSender:
    """The transmission machine. `ack` is its ackTimer in seconds, `retries` its maxRetries.

    `sequence` is that of the ECPDU that is underway (`current`) or was last; `most` is how many
    may wait besides.
    """

    ack: float
    retries: int
    most: int = 1024
    sequence: int = 0
    current: Payload | None = None
    waiting: tuple[Submit, ...] = ()
    copies: int = 0
    deadline: float | None = None
    errors: int = 0


def send(
    state: EcpSender, event: Submit | Acknowledged | Passed, now: float
) -> tuple[EcpSender, tuple[Sent, ...]]:
    """The machine after `event`, and what comes of it, in order."""
    if isinstance(event, Submit):
        return _submit(state, event, now)
    if isinstance(event, Acknowledged):
        if state.current is None or event.sequence != state.sequence:
            return state, ()
        return _next(state, (Delivered(state.sequence),), now)
    if state.current is None or state.deadline is None or now < state.deadline:
        return state, ()
    if state.copies <= state.retries:
        return _transmit(state, now)
    given_up = GivenUp(state.sequence, state.current)
    return _next(replace(state, errors=state.errors + 1), (given_up,), now)


def _submit(state: EcpSender, event: Submit, now: float) -> tuple[EcpSender, tuple[Sent, ...]]:
    dropped: tuple[Sent, ...] = ()
    waiting = (*state.waiting, event)
    if len(waiting) > state.most:
        number = next((i for i, one in enumerate(waiting) if one.dispensable), 0)
        dropped = (Dropped(waiting[number].payload),)
        waiting = waiting[:number] + waiting[number + 1 :]
    state = replace(state, waiting=waiting)
    return _next(state, dropped, now) if state.current is None else (state, dropped)


def _next(
    state: EcpSender, before: tuple[Sent, ...], now: float
) -> tuple[EcpSender, tuple[Sent, ...]]:
    """On to the next that waits, if any."""
    if not state.waiting:
        return replace(state, current=None, copies=0, deadline=None), before
    state = replace(
        state,
        sequence=state.sequence % 0xFFFF + 1,  # as lldpad's inc_seqno, never 0
        current=state.waiting[0].payload,
        waiting=state.waiting[1:],
        copies=0,
    )
    state, sent = _transmit(state, now)
    return state, before + sent


def _transmit(state: EcpSender, now: float) -> tuple[EcpSender, tuple[Sent, ...]]:
    assert state.current is not None
    state = replace(state, copies=state.copies + 1, deadline=now + state.ack)
    return state, (Transmit(state.sequence, state.current or (), state.copies),)


@dataclass(frozen=True, slots=True)
class EcpReceiver:
    """The reception machine: the station and the sequence of what was delivered last."""

    station: bytes = b""
    last: int | None = None


def receive(state: EcpReceiver, station: bytes, sequence: int) -> tuple[EcpReceiver, bool]:
    """The machine after a request, and whether VDP gets it.

    Each copy is acknowledged; the second and later ones go no further.
    """
    if state.last == sequence and state.station == station:
        return state, False
    return EcpReceiver(station, sequence), True
