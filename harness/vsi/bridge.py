"""An EVB bridge at one port: control frames and the time come in, control frames and facts go out.

                    .-- LLDP ---- EvbMachine                reflective relay, timers
    octets -- read -+-- ECP ack - EcpSender, by dialect
                    '-- ECP ----- EcpReceiver -- VsiMachine of each instance -- Gate

No I/O: whoever has the link calls `receive` for each control frame, `advance` when `deadline` has
come, sends what either gives, and asks `forwards` and `reflects` for each other frame.
"""

from __future__ import annotations

import math
from dataclasses import replace

from harness.vsi import lldp_machine, vdp_machine
from harness.vsi.ecp_port import EcpPort
from harness.vsi.events import EventKind, Outcome
from harness.vsi.facts import (
    Association,
    Command,
    Dialect,
    EcpFrame,
    LldpFrame,
    Refusal,
)
from harness.vsi.faults import FaultKind, Faults
from harness.vsi.frames import read
from harness.vsi.gate import Gate
from harness.vsi.instances import Instances, Owner
from harness.vsi.lldp_machine import DRAFT_TIMERS, EvbMachine, EvbPolicy, EvbTimers
from harness.vsi.numbers import refusal_code
from harness.vsi.outbox import Outbox
from harness.vsi.table import Entry, VsiTable
from harness.vsi.types import VsiType, VsiTypes
from harness.vsi.vdp_machine import Decision, VsiMachine, VsiState

__all__ = ["Bridge"]

_ADDRESS = bytes.fromhex("020000005709")


class Bridge:
    """The port named `port`. Times are seconds of any clock that does not go back.

    At most `most` VSIs are known: to make room for another, the one that has waited longest to be
    associated is forgotten; where all are associated, the other is refused. `types` of None
    allows every type. Ports of one bridge share `instances`. A bridge that is started again is
    given another `sequence` than it had, or a station takes its first ECPDUs for copies.
    """

    def __init__(
        self,
        port: str = "port",
        *,
        types: VsiTypes | None = None,
        policy: EvbPolicy = EvbPolicy(),  # noqa: B008  # frozen
        faults: Faults | None = None,
        instances: Instances | None = None,
        address: bytes = _ADDRESS,
        most: int = 1024,
        sequence: int = 0,
        now: float = 0.0,
    ) -> None:
        self.port = port
        self.types = types
        """For what is decided on from now on."""
        self.changes = 0
        """Grows whenever `vlan` or `reflects` may say something else than they did."""
        self._out = Outbox(faults or Faults(), most)
        self._instances = Instances() if instances is None else instances
        self._most = most
        self._evb = EvbMachine(replace(policy, most_vsis=most), address, next_send=now)
        self._gate = Gate()
        self._table = VsiTable(most)
        self._ecps = {
            dialect: EcpPort(
                self._out, dialect, address, self.timers(dialect), most=most, sequence=sequence
            )
            for dialect in Dialect
        }

    # ------------------------------------------------------------------ what it is asked

    def receive(self, frame: bytes, now: float) -> Outcome:
        """What comes of a control frame. Any other is told of as nothing."""
        found = read(frame)
        if found is None:
            return Outcome()
        self._out.told(now, EventKind.HEARD, found)
        if isinstance(found, LldpFrame):
            self._lldp(lldp_machine.Heard(found), now)
        elif isinstance(found, EcpFrame):
            if found.dialect in self._evb.policy.dialects:
                self._ecp(found, now)
        return self._outcome(now)

    def advance(self, now: float) -> Outcome:
        """What comes of the time being `now`."""
        self._out.catch_up(now)
        while entry := self._table.overdue(now):
            self._speak(entry, self._vdp(entry, vdp_machine.Passed(), now), now)
        for ecp in self._ecps.values():
            ecp.advance(now)
        return self._outcome(now)

    @property
    def deadline(self) -> float:
        """When `advance` is to be called, if nothing is received before; it may be past."""
        if self._instances.has_lost(self.port):
            return -math.inf
        times = [self._table.deadline, *(ecp.deadline for ecp in self._ecps.values())]
        times.append(self._out.deadline)
        return min([self._evb.deadline, *(at for at in times if at is not None)])

    def forwards(self, src: bytes, vlan: int = 0) -> bool:
        """Whether a frame from `src` (6 octets) belongs to a VSI that is associated here.

        `vlan` is its tag's VID, 0 where it has no tag.
        """
        instance = self._gate.find(src, vlan)
        return instance is not None and self._instances.has(instance, self.port)

    def vlan(self, src: bytes, vlan: int = 0) -> int | None:
        """The VLAN that such a frame is in; None where it goes nowhere."""
        if not self.forwards(src, vlan):
            return None
        entry = self._of(src, vlan)
        return entry.vlan_of(vlan) if entry else vlan

    def reflects(self, src: bytes, vlan: int = 0) -> bool:
        """Whether such a frame may go back to the port: agreed upon, and allowed to its type."""
        if not self.relaying or not self.forwards(src, vlan):
            return False
        entry = self._of(src, vlan)
        return entry is None or entry.kind is None or entry.kind.reflective_relay

    @property
    def relaying(self) -> bool:
        """Whether reflective relay is agreed upon at this port."""
        return lldp_machine.relays(self._evb)

    @property
    def vsis(self) -> tuple[Entry, ...]:
        """All that are known, in the order in which they came."""
        return self._table.entries

    def timers(self, dialect: Dialect) -> EvbTimers:
        """Those in use."""
        return DRAFT_TIMERS if dialect is Dialect.DRAFT else lldp_machine.timers_of(self._evb)

    @property
    def faults(self) -> Faults:
        """What it is to do wrong; others may be set."""
        return self._out.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._out.faults = faults

    # ------------------------------------------------------------------ what it is told

    def link_up(self, now: float) -> Outcome:
        """The link is up, maybe again: the station is told of the bridge at once.

        What the station said before holds: its own frame may have been faster than this news. But
        its ECP begins anew with the link (43.3.5, BEGIN): lldpad's first sequence is 1 again.
        """
        self._evb = lldp_machine.hurried(self._evb, now)
        self._forget_station()
        return self._outcome(now)

    def de_associate(self, instance: bytes, now: float, *, why: str = "withdrawn") -> Outcome:
        """De-associate a VSI from the bridge's side; nothing where it is not known."""
        self._withdraw(instance, now, why)
        return self._outcome(now)

    def reset(self, now: float) -> Outcome:
        """Forget everything, as after a power cut; the station is not told."""
        self._reset(now)
        return self._outcome(now)

    # ------------------------------------------------------------------ LLDP

    def _lldp(
        self,
        event: lldp_machine.Heard
        | lldp_machine.VsisChanged
        | lldp_machine.LinkUp
        | lldp_machine.Passed,
        now: float,
    ) -> None:
        self._evb, outputs = lldp_machine.step(self._evb, event, now)
        for output in outputs:
            match output:
                case lldp_machine.SendLldp(frame):
                    if not self._out.fault(FaultKind.NO_EVB, (), now):
                        self._out.emit(frame, now)
                case lldp_machine.RelayChanged(on):
                    self.changes += 1
                    self._out.note(
                        now, EventKind.RELAY, "reflective relay " + ("on" if on else "off")
                    )
                case lldp_machine.TimersChanged(timers):
                    self._retime(timers)
                case lldp_machine.Forgotten():
                    self._out.note(now, EventKind.FORGOTTEN, "the station's LLDP is over")
                    self._forget_station()

    def _retime(self, timers: EvbTimers) -> None:
        """What runs already keeps its end; what begins from now on has the new timers."""
        self._ecps[Dialect.RATIFIED].retime(timers)
        for entry in self.vsis:
            if entry.machine.dialect is Dialect.RATIFIED:
                entry.machine = replace(
                    entry.machine,
                    keepalive=timers.keepalive,
                    resource_wait=timers.resource_wait,
                )

    # ------------------------------------------------------------------ VDP

    def _ecp(self, frame: EcpFrame, now: float) -> None:
        if not self._ecps[frame.dialect].take(frame, now):
            return
        if self._out.fault(FaultKind.RESET, frame.associations, now):
            self._reset(now)
            return
        replies: list[Association] = []
        for association in frame.associations:
            replies += self._request(association, frame, now)
        self._submit(frame.dialect, frame.src, replies, now)

    def _submit(
        self, dialect: Dialect, station: bytes, replies: list[Association], now: float
    ) -> None:
        """Send answers; where too much waits, refusals and what is said of the gone go first."""

        def dispensable(one: Association) -> bool:
            return bool(one.status.code) or self._table.find(one.vsi.instance) is None

        self._ecps[dialect].submit(station, replies, now, dispensable=dispensable)

    def _request(self, asked: Association, frame: EcpFrame, now: float) -> list[Association]:
        """The answers to one association TLV that can be given now."""
        instance, dialect = asked.vsi.instance, frame.dialect
        if asked.problem:
            return [self._refused(asked, dialect, Refusal.INVALID_FORMAT, now)]
        entry = self._table.find(instance)
        if entry is None:
            if asked.command is Command.DE_ASSOCIATE:
                return [vdp_machine.answered(asked, dialect, Decision())]
            if not self._room(now):
                return [self._refused(asked, dialect, Refusal.INSUFFICIENT_RESOURCES, now)]
            timers = self.timers(dialect)
            machine = VsiMachine(dialect, timers.keepalive, timers.resource_wait)
            entry = Entry(machine, asked.vsi, frame.src)
            self._table.add(entry)
        elif entry.machine.dialect is not dialect:
            return [self._refused(asked, dialect, Refusal.OUT_OF_SYNC, now)]
        entry.station = frame.src
        replies = self._vdp(entry, vdp_machine.Request(asked), now)
        return [one for one in replies if not self._out.fault(FaultKind.NO_ANSWER, (one,), now)]

    def _refused(
        self, asked: Association, dialect: Dialect, why: Refusal, now: float
    ) -> Association:
        self._tell_refusal(asked, why, now)
        return vdp_machine.answered(asked, dialect, Decision(refusal_code(dialect, why), hard=True))

    def _tell_refusal(self, asked: Association, why: Refusal | int, now: float) -> None:
        text = asked.problem or (why if isinstance(why, Refusal) else f"its type says {why}")
        self._out.note(now, EventKind.REFUSED, text, asked.vsi)

    def _vdp(self, entry: Entry, event: vdp_machine.Event, now: float) -> list[Association]:
        """Step a VSI's machine, decide what it asks, and give what it says."""
        replies: list[Association] = []
        todo: list[vdp_machine.Event] = [event]
        instance = entry.vsi.instance
        while todo:
            entry.machine, outputs = vdp_machine.step(entry.machine, todo.pop(0), now)
            for output in outputs:
                match output:
                    case vdp_machine.Ask(association):
                        decision = self._decide(association, entry, now)
                        todo += [decision] if decision else []
                    case vdp_machine.Reply(association, alive):
                        if not (
                            alive and self._out.fault(FaultKind.NO_KEEPALIVE, (association,), now)
                        ):
                            replies.append(association)
                    case vdp_machine.Moved(before, after, why):
                        self._out.note(
                            now, EventKind.MOVED, f"{before} → {after}: {why}", entry.vsi
                        )
        self._settle(instance, entry, now)
        return replies

    def _decide(self, asked: Association, entry: Entry, now: float) -> Decision | None:
        """What becomes of a request; None where that takes longer than the resource wait delay."""
        dialect = entry.machine.dialect
        if self._out.fault(FaultKind.RESOURCE_WAIT, (asked,), now):
            return None
        refuse = self._out.fault(FaultKind.REFUSE, (asked,), now)
        if refuse:
            return Decision(refuse.code, keep=refuse.keep, hard=refuse.hard)
        found = self.types.find(asked.vsi) if self.types is not None else None
        objection = found.objects(asked) if isinstance(found, VsiType) else found
        if objection is None and asked.command is Command.ASSOCIATE:
            owner = Owner(self.port, entry.station)
            if not self._instances.claim(asked.vsi.instance, owner):
                objection = Refusal.IN_USE
        if objection is not None:
            self._tell_refusal(asked, objection, now)
            if isinstance(objection, Refusal):
                objection = refusal_code(dialect, objection)
            return Decision(objection, hard=True)
        entry.vsi = asked.vsi
        kind = found if isinstance(found, VsiType) else None
        self.changes += kind != entry.kind
        entry.kind = kind
        rewrite = self._out.fault(FaultKind.REWRITE_VID, (asked,), now)
        self._withdraw_later(asked, now)
        if rewrite is None:
            return Decision()
        return Decision(filters=tuple(replace(one, vid=rewrite.vid) for one in asked.filters))

    def _withdraw_later(self, asked: Association, now: float) -> None:
        fault = self._out.fault(FaultKind.DE_ASSOCIATE, (asked,), now)
        if fault:
            instance = asked.vsi.instance
            self._out.after(
                fault.seconds, now, lambda then: self._withdraw(instance, then, "told to")
            )

    def _settle(self, instance: bytes, entry: Entry, now: float) -> None:
        """Make gate, owner and timer agree with what the machine has come to."""
        machine = entry.machine
        if machine.state is VsiState.ASSOCIATED and machine.granted:
            self.changes += self._gate.open(instance, machine.granted.filters)
        else:
            self.changes += self._gate.close(instance)
            self._instances.release(instance, self.port)
        self._table.settle(instance, entry)

    def _room(self, now: float) -> bool:
        """Whether there is room for another VSI, made if need be."""
        if not self._table.full:
            return True
        oldest = self._table.oldest_unfinished()
        if oldest is None:
            return False
        self._out.note(now, EventKind.DROPPED, "made room for another", oldest.vsi)
        self._withdraw(oldest.vsi.instance, now, "no room")
        return True

    def _withdraw(self, instance: bytes, now: float, why: str) -> None:
        entry = self._table.find(instance)
        if entry:
            self._speak(entry, self._vdp(entry, vdp_machine.Withdraw(why), now), now)

    def _speak(self, entry: Entry, replies: list[Association], now: float) -> None:
        self._submit(entry.machine.dialect, entry.station, replies, now)

    # ------------------------------------------------------------------ odds and ends

    def _reset(self, now: float) -> None:
        for entry in self.vsis:
            self._vdp(entry, vdp_machine.Reset(), now)
        for dialect, ecp in self._ecps.items():
            ecp.restart(self.timers(dialect))
        self._out.forget()
        self._lldp(lldp_machine.LinkUp(), now)

    def _forget_station(self) -> None:
        for ecp in self._ecps.values():
            ecp.forget_station()

    def _of(self, src: bytes, vlan: int) -> Entry | None:
        instance = self._gate.find(src, vlan)
        return self._table.find(instance) if instance else None

    def _outcome(self, now: float) -> Outcome:
        """What has gathered, after what others' ports and the number of VSIs bring with them."""
        for instance in self._instances.lost(self.port):
            self._withdraw(instance, now, "associated elsewhere")
        if len(self._gate) != self._evb.vsis:
            self._lldp(lldp_machine.VsisChanged(len(self._gate)), now)
        if now >= self._evb.deadline:
            self._lldp(lldp_machine.Passed(), now)
        return self._out.outcome()
