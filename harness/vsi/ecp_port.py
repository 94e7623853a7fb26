"""ECP at one end of a link, in one dialect: its two machines, and the frames they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from harness.vsi import ecp_machine
from harness.vsi.backlog import Backlog
from harness.vsi.ecp_machine import EcpReceiver, EcpSender, Payload
from harness.vsi.events import EventKind
from harness.vsi.facts import Association, Dialect, EcpFrame
from harness.vsi.faults import FaultKind
from harness.vsi.lldp_machine import EvbTimers
from harness.vsi.numbers import NEAREST_BRIDGE, NEAREST_CUSTOMER_BRIDGE, VDP_SUBTYPE
from harness.vsi.outbox import Outbox

__all__ = ["EcpPort"]

_TO = {Dialect.RATIFIED: NEAREST_CUSTOMER_BRIDGE, Dialect.DRAFT: NEAREST_BRIDGE}
_SUBTYPES = {Dialect.RATIFIED: VDP_SUBTYPE, Dialect.DRAFT: 0}


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
        self._most = most
        self._dialect = dialect
        self._address = address
        self._sender = EcpSender(timers.ack, timers.retries, sequence=sequence)
        self._backlog = Backlog(most)
        self._receiver = EcpReceiver()

    @property
    def deadline(self) -> float | None:
        """When the next copy is to be sent, if it is not acknowledged before."""
        return self._sender.deadline

    @property
    def idle(self) -> bool:
        """Whether what is submitted now is sent now."""
        return self._sender.current is None

    @property
    def waiting(self) -> int:
        """How many associations wait for their turn."""
        return len(self._backlog)

    def retime(self, timers: EvbTimers) -> None:
        """Wait so long from the next copy on."""
        self._sender = replace(self._sender, ack=timers.ack, retries=timers.retries)

    def restart(self, timers: EvbTimers) -> None:
        """Begin anew behind the last sequence: a station takes one that it knows for a copy."""
        self._sender = EcpSender(timers.ack, timers.retries, sequence=self._sender.sequence)
        self._backlog = Backlog(self._most)
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
        station: bytes,
        associations: Iterable[Association],
        now: float,
        *,
        dispensable: Callable[[Association], bool],
    ) -> None:
        """Send these to `station`, when it is their turn; first to go is what is dispensable."""
        for one in associations:
            dropped = self._backlog.add(station, one, dispensable=dispensable(one))
            if dropped:
                text = "too many answers wait: unanswered"
                self._out.note(now, EventKind.DROPPED, text, dropped.vsi)
        self._send_next(now)

    def advance(self, now: float) -> None:
        """Do what is due."""
        self._send(ecp_machine.Passed(), now)

    def _send_next(self, now: float) -> None:
        if self._backlog and self.idle:
            self._send(ecp_machine.Submit(self._backlog.take()), now)

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
        self._send_next(now)

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
