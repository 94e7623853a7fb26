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
    """VDP has something to say, and nothing is underway."""

    payload: Payload


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


Sent = Transmit | Delivered | GivenUp


@dataclass(frozen=True, slots=True)
class EcpSender:
    """The transmission machine. `ack` is its ackTimer in seconds, `retries` its maxRetries.

    `sequence` is that of the ECPDU that is underway (`current`) or was last.
    """

    ack: float
    retries: int
    sequence: int = 0
    current: Payload | None = None
    copies: int = 0
    deadline: float | None = None
    errors: int = 0


def send(
    state: EcpSender, event: Submit | Acknowledged | Passed, now: float
) -> tuple[EcpSender, tuple[Sent, ...]]:
    """The machine after `event`, and what comes of it, in order.

    Raises ValueError for a Submit while something is underway.
    """
    if isinstance(event, Submit):
        return _submit(state, event, now)
    if isinstance(event, Acknowledged):
        if state.current is None or event.sequence != state.sequence:
            return state, ()
        return _done(state), (Delivered(state.sequence),)
    if state.current is None or state.deadline is None or now < state.deadline:
        return state, ()
    if state.copies <= state.retries:
        return _transmit(state, now)
    given_up = GivenUp(state.sequence, state.current)
    return _done(replace(state, errors=state.errors + 1)), (given_up,)


def _submit(state: EcpSender, event: Submit, now: float) -> tuple[EcpSender, tuple[Sent, ...]]:
    if state.current is not None:
        raise ValueError(f"ECPDU {state.sequence} is underway")
    sequence = state.sequence % 0xFFFF + 1  # as lldpad's inc_seqno, never 0
    return _transmit(replace(state, sequence=sequence, current=event.payload, copies=0), now)


def _done(state: EcpSender) -> EcpSender:
    return replace(state, current=None, copies=0, deadline=None)


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
