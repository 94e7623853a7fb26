"""The bridge's ECP at one port, in one dialect: its two machines, and the frames they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from harness.vsi import ecp_machine
from harness.vsi.ecp_machine import EcpReceiver, EcpSender, Payload
from harness.vsi.events import EventKind
from harness.vsi.facts import Association, Dialect, EcpFrame
from harness.vsi.faults import FaultKind
from harness.vsi.frames import size
from harness.vsi.lldp_machine import EvbTimers
from harness.vsi.numbers import NEAREST_BRIDGE, NEAREST_CUSTOMER_BRIDGE, VDP_SUBTYPE
from harness.vsi.outbox import Outbox

__all__ = ["EcpPort"]

_TO = {Dialect.RATIFIED: NEAREST_CUSTOMER_BRIDGE, Dialect.DRAFT: NEAREST_BRIDGE}
_SUBTYPES = {Dialect.RATIFIED: VDP_SUBTYPE, Dialect.DRAFT: 0}
_MOST_PDU = 1450
"""Octets of TLVs in an ECPDU, so that it fits a frame whatever its header."""


class EcpPort:
    """Sends what is submitted until it is acknowledged, and acknowledges; at most `most` wait."""

    def __init__(
        self,
        out: Outbox,
        dialect: Dialect,
        address: bytes,
        timers: EvbTimers,
        *,
        most: int,
        sequence: int,
    ) -> None:
        self._out = out
        self._dialect = dialect
        self._address = address
        self._sender = EcpSender(timers.ack, timers.retries, most=most, sequence=sequence)
        self._receiver = EcpReceiver()

    @property
    def deadline(self) -> float | None:
        """When the next copy is to be sent, if it is not acknowledged before."""
        return self._sender.deadline

    @property
    def waiting(self) -> int:
        """How many ECPDUs wait for their turn."""
        return len(self._sender.waiting)

    def retime(self, timers: EvbTimers) -> None:
        """Wait so long from the next copy on."""
        self._sender = replace(self._sender, ack=timers.ack, retries=timers.retries)

    def restart(self, timers: EvbTimers) -> None:
        """Begin anew behind the last sequence: a station takes one that it knows for a copy."""
        last = self._sender
        self._sender = EcpSender(timers.ack, timers.retries, most=last.most, sequence=last.sequence)
        self._receiver = EcpReceiver()

    # ------------------------------------------------------------------ reception

    def forget_station(self) -> None:
        """The station may have begun anew, with the first of its sequences."""
        self._receiver = EcpReceiver()

    def take(self, frame: EcpFrame, now: float) -> bool:
        """Acknowledge a request, or take an acknowledgement; whether VDP gets it."""
        if frame.acknowledge:
            self._send(ecp_machine.Acknowledged(frame.sequence), now)
            return False
        if self._out.fault(FaultKind.NO_ACK, frame.associations, now):
            return False
        self._acknowledge(frame, now)
        self._receiver, new = ecp_machine.receive(self._receiver, frame.src, frame.sequence)
        if not new:
            self._out.note(now, EventKind.DUPLICATE, f"sequence {frame.sequence} again")
        return new

    def _acknowledge(self, frame: EcpFrame, now: float) -> None:
        asked = frame.associations
        wrong = self._out.fault(FaultKind.WRONG_SEQUENCE, asked, now)
        late = self._out.fault(FaultKind.LATE_ACK, asked, now)
        said = EcpFrame(
            self._dialect,
            self._address,
            _TO[self._dialect],
            (frame.sequence + 1) % 0x10000 if wrong else frame.sequence,
            acknowledge=True,
            subtype=frame.subtype,
        )
        for _ in range(2 if self._out.fault(FaultKind.DUPLICATE, asked, now) else 1):
            if late:
                self._out.after(late.seconds, now, lambda then: self._out.emit(said, then))
            else:
                self._out.emit(said, now)

    # ------------------------------------------------------------------ transmission

    def submit(
        self,
        answers: Sequence[Association],
        now: float,
        *,
        dispensable: Callable[[Association], bool],
    ) -> None:
        """Send answers, in one ECPDU where they fit; first to go is what is dispensable."""
        for payload in _packed(answers):
            spare = all(dispensable(one) for one in payload)
            self._send(ecp_machine.Submit(payload, dispensable=spare), now)

    def advance(self, now: float) -> None:
        """Do what is due."""
        self._send(ecp_machine.Passed(), now)

    def _send(
        self,
        event: ecp_machine.Submit | ecp_machine.Acknowledged | ecp_machine.Passed,
        now: float,
    ) -> None:
        self._sender, outputs = ecp_machine.send(self._sender, event, now)
        for output in outputs:
            match output:
                case ecp_machine.Transmit(sequence, payload, copy):
                    self._transmit(sequence, payload, now, first=copy == 1)
                case ecp_machine.GivenUp(sequence):
                    self._out.note(now, EventKind.GIVEN_UP, f"sequence {sequence} unacknowledged")
                case ecp_machine.Dropped(payload):
                    text = f"too many answers wait: {len(payload)} associations unanswered"
                    self._out.note(now, EventKind.DROPPED, text)

    def _transmit(self, sequence: int, payload: Payload, now: float, *, first: bool) -> None:
        frame = EcpFrame(
            self._dialect,
            self._address,
            _TO[self._dialect],
            sequence,
            associations=payload,
            subtype=_SUBTYPES[self._dialect],
        )
        doubled = first and self._out.fault(FaultKind.DUPLICATE, payload, now)
        for _ in range(2 if doubled else 1):
            self._out.emit(frame, now)


def _packed(answers: Sequence[Association]) -> Iterator[Payload]:
    """By ECPDU: one has one VSI manager (41.1), and fits a frame."""
    group: list[Association] = []
    octets = 0
    for one in answers:
        if group and (one.vsi.manager != group[0].vsi.manager or octets + size(one) > _MOST_PDU):
            yield tuple(group)
            group, octets = [], 0
        group.append(one)
        octets += size(one)
    if group:
        yield tuple(group)
