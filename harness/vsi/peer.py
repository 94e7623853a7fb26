"""A station with many VSIs, for load and for tests of the bridge: control frames and the time come
in, control frames and facts go out, as with `harness.vsi.bridge`.

    what is wanted -- StationVsi of each instance -- turn -- ECP, packed --.
                                                                           +-- octets
                                                       LLDP (EVB TLV) -----'

As many associations as fit go in one ECPDU, so that 1,000 VSIs take some thirty. It does what the
standard draws, and no more: it is no stand-in for lldpad, whose ways are its own.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

from harness.vsi import lldp_machine, peer_lldp, peer_vdp
from harness.vsi.backlog import packed
from harness.vsi.ecp_port import EcpPort
from harness.vsi.events import EventKind, Outcome
from harness.vsi.facts import Association, Dialect, EcpFrame, LldpFrame
from harness.vsi.faults import Faults
from harness.vsi.frames import read
from harness.vsi.lldp_machine import EvbPolicy, EvbTimers
from harness.vsi.outbox import Outbox
from harness.vsi.peer_lldp import EvbStation
from harness.vsi.peer_vdp import Phase, StationVsi
from harness.vsi.vdp_machine import Moved, VsiState

__all__ = ["Peer"]

_ADDRESS = bytes.fromhex("020000005701")
_SLACK = 64


class Peer:
    """The station with that `address`, which speaks one `dialect`. Times are as for the Bridge.

    Of `policy`, `reflective_relay` says that it is requested. What is lost or refused is asked for
    again after `again` seconds; where that is None it is forgotten, as the standard has it. At
    most `most` associations go in one ECPDU, and no more than fit a frame.
    """

    def __init__(
        self,
        *,
        dialect: Dialect = Dialect.RATIFIED,
        address: bytes = _ADDRESS,
        policy: EvbPolicy = EvbPolicy(),  # noqa: B008  # frozen
        again: float | None = None,
        most: int = 64,
        sequence: int = 0,
        now: float = 0.0,
    ) -> None:
        self.address = address
        self.dialect = dialect
        self._again = again
        self._most = most
        self._out = Outbox(Faults(), 0)
        self._evb = EvbStation(policy, address, dialect, next_send=now)
        self._ecp = EcpPort(self._out, dialect, address, self.timers, most=most, sequence=sequence)
        self._machines: dict[bytes, StationVsi] = {}
        self._turn: dict[bytes, None] = {}
        self._due: list[tuple[float, int, bytes]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._machines)

    # ------------------------------------------------------------------ what it is asked

    def ask(self, associations: Iterable[Association], now: float) -> Outcome:
        """Want the command of each of `associations` done; a second one for a VSI takes its place.

        A VSI is kept in the state that it was granted until it is to be de-associated.
        """
        for association in associations:
            instance = association.vsi.instance
            machine = self._machines.get(instance) or self._new(association)
            self._step(instance, machine, peer_vdp.Wanted(association), now)
        return self._outcome(now)

    def receive(self, frame: bytes, now: float) -> Outcome:
        """What comes of a control frame. Any other is told of as nothing."""
        found = read(frame)
        if found is None:
            return Outcome()
        self._out.told(now, EventKind.HEARD, found)
        if isinstance(found, LldpFrame):
            self._lldp(lldp_machine.Heard(found), now)
        elif isinstance(found, EcpFrame) and found.dialect is self.dialect:
            if self._ecp.take(found, now):
                for association in found.associations:
                    self._said(association, now)
        return self._outcome(now)

    def advance(self, now: float) -> Outcome:
        """What comes of the time being `now`."""
        while (deadline := self._due_at()) is not None and deadline <= now:
            instance = heapq.heappop(self._due)[2]
            self._step(instance, self._machines[instance], peer_vdp.TimePassed(), now)
        self._ecp.advance(now)
        return self._outcome(now)

    def goodbye(self, now: float) -> Outcome:
        """Say that the station's LLDP is over, and no more of it; its VSIs are left as they are."""
        self._evb = replace(self._evb, silent=True)
        self._out.emit(peer_lldp.goodbye(self._evb), now)
        return self._out.outcome()

    @property
    def deadline(self) -> float:
        """When `advance` is to be called, if nothing is received before."""
        times = (self._evb.deadline, self._due_at(), self._ecp.deadline)
        return min(at for at in times if at is not None)

    @property
    def timers(self) -> EvbTimers:
        """Those in use."""
        return peer_lldp.timers_of(self._evb)

    @property
    def relaying(self) -> bool:
        """Whether reflective relay is agreed upon."""
        return peer_lldp.relays(self._evb)

    def state(self, instance: bytes) -> VsiState:
        """What the VSI is, as far as the station knows."""
        machine = self._machines.get(instance)
        return machine.state if machine else VsiState.UNASSOCIATED

    def settled(self, instance: bytes) -> bool:
        """Whether it waits neither for an answer nor to ask."""
        machine = self._machines.get(instance)
        return machine is None or machine.phase is Phase.SETTLED

    def count(self, state: VsiState) -> int:
        """How many VSIs that it knows are in a state."""
        return sum(machine.state is state for machine in self._machines.values())

    # ------------------------------------------------------------------ LLDP

    def _lldp(self, event: lldp_machine.Heard | lldp_machine.Passed, now: float) -> None:
        self._evb, outputs = peer_lldp.step(self._evb, event, now)
        for output in outputs:
            match output:
                case lldp_machine.SendLldp(frame):
                    self._out.emit(frame, now)
                case lldp_machine.RelayChanged(on):
                    text = "reflective relay " + ("on" if on else "off")
                    self._out.note(now, EventKind.RELAY, text)
                case lldp_machine.TimersChanged(timers):
                    self._retime(timers)
                case lldp_machine.Forgotten():
                    self._out.note(now, EventKind.FORGOTTEN, "the bridge's LLDP is over")

    def _retime(self, timers: EvbTimers) -> None:
        """What runs already keeps its end; what begins from now on has the new timers."""
        self._ecp.retime(timers)
        for instance, machine in self._machines.items():
            self._machines[instance] = replace(
                machine, keepalive=timers.station_keepalive, response_wait=timers.response_wait
            )

    # ------------------------------------------------------------------ VDP

    def _new(self, association: Association) -> StationVsi:
        timers = self.timers
        return StationVsi(
            self.dialect,
            timers.station_keepalive,
            timers.response_wait,
            association,
            again=self._again,
        )

    def _said(self, association: Association, now: float) -> None:
        machine = self._machines.get(association.vsi.instance)
        if machine:
            self._step(association.vsi.instance, machine, peer_vdp.Said(association), now)

    def _step(
        self, instance: bytes, machine: StationVsi, event: peer_vdp.Event, now: float
    ) -> None:
        before = machine.deadline
        machine, outputs = peer_vdp.step(machine, event, now)
        for output in outputs:
            match output:
                case peer_vdp.Say():
                    self._turn[instance] = None
                case Moved(old, new, why):
                    text = f"stays {new}: {why}" if old is new else f"{old} → {new}: {why}"
                    self._out.note(now, EventKind.MOVED, text, machine.asked.vsi)
        if machine.over:
            self._machines.pop(instance, None)
            self._turn.pop(instance, None)
            return
        self._machines[instance] = machine
        if machine.phase is not Phase.READY:
            self._turn.pop(instance, None)
        if machine.deadline is not None and machine.deadline != before:
            heapq.heappush(self._due, (machine.deadline, next(self._order), instance))
            if len(self._due) > 2 * len(self._machines) + _SLACK:
                self._due = [one for one in self._due if not self._stale(one)]
                heapq.heapify(self._due)

    def _due_at(self) -> float | None:
        while self._due and self._stale(self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def _stale(self, due: tuple[float, int, bytes]) -> bool:
        machine = self._machines.get(due[2])
        return machine is None or machine.deadline != due[0]

    # ------------------------------------------------------------------ its turn

    def _ready(self) -> Iterator[Association]:
        """What is ready to be sent, in the order in which it became so."""
        return (self._machines[instance].asked for instance in self._turn)

    def _speak(self, now: float) -> None:
        """Send what is ready and fits one ECPDU, if none is underway."""
        if not self._turn or not self._ecp.idle:
            return
        payload = next(packed(itertools.islice(self._ready(), self._most)), ())
        for association in payload:
            instance = association.vsi.instance
            self._step(instance, self._machines[instance], peer_vdp.Sent(), now)
        self._ecp.submit(self.address, payload, now, dispensable=lambda _: False)

    def _outcome(self, now: float) -> Outcome:
        self._speak(now)
        if now >= self._evb.deadline:
            self._lldp(lldp_machine.Passed(), now)
        return self._out.outcome()
