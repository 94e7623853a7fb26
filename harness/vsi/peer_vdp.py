"""The station's VDP machine of one VSI (IEEE 802.1Q-2018, 41.5.3).

    settled ──wanted, keepalive due→ ready ──sent→ waiting ──answered→ settled
       ↑                                              │ refused, no answer in time
       └── unassociated: over, or asked for again ←───┴── de-associated by the bridge

What waits is in the state that it was in. The response wait delay runs from when a request is sent:
until then it waits for ECP, which has one ECPDU underway at a time. No clock: the time comes with
what happens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from harness.vsi.facts import Association, Command, Dialect
from harness.vsi.numbers import code_name
from harness.vsi.vdp_machine import Moved, VsiState

__all__ = ["Phase", "Said", "Say", "Sent", "StationVsi", "TimePassed", "Wanted", "step"]

_STATES = {
    Command.PRE_ASSOCIATE: VsiState.PRE_ASSOCIATED,
    Command.PRE_ASSOCIATE_RR: VsiState.PRE_ASSOCIATED_RR,
    Command.ASSOCIATE: VsiState.ASSOCIATED,
    Command.DE_ASSOCIATE: VsiState.UNASSOCIATED,
}


class Phase(StrEnum):
    """What the machine waits for."""

    SETTLED = "settled"
    """A command of the system, or the time to keep alive."""
    READY = "ready"
    """Its turn to be sent."""
    WAITING = "waiting"
    """An answer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The system wants this of the VSI."""

    association: Association


@dataclass(frozen=True, slots=True)
class Sent:
    """What was ready has been sent."""


@dataclass(frozen=True, slots=True)
class Said:
    """The bridge says this of the VSI."""

    association: Association


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Say:
    """What the machine asks is ready to be sent."""


Event = Wanted | Sent | Said | TimePassed
Output = Say | Moved


@dataclass(frozen=True, slots=True)
class StationVsi:
    """One VSI. `keepalive` and `response_wait` are the station's, in seconds.

    What is lost or refused is asked for once more after `again` seconds, never where that is None
    or the bridge says that it will not help. `asked` is what is asked, or kept alive; `later` is
    wanted while something else waits. `alive` says that a keepalive waits.
    """

    dialect: Dialect
    keepalive: float
    response_wait: float
    asked: Association
    again: float | None = None
    later: Association | None = None
    alive: bool = False
    state: VsiState = VsiState.UNASSOCIATED
    phase: Phase = Phase.SETTLED
    deadline: float | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it: a station then forgets the VSI."""
        return (
            self.state is VsiState.UNASSOCIATED
            and self.phase is Phase.SETTLED
            and self.deadline is None
        )


def step(machine: StationVsi, event: Event, now: float) -> tuple[StationVsi, tuple[Output, ...]]:
    """The machine after `event`, and what comes of it, in order."""
    match event:
        case Wanted(association):
            if machine.phase is Phase.WAITING:
                return replace(machine, later=association), ()
            return _ask(machine, association)
        case Sent():
            if machine.phase is not Phase.READY:
                return machine, ()
            until = now + machine.response_wait
            return replace(machine, phase=Phase.WAITING, deadline=until), ()
        case Said(association):
            return _said(machine, association, now)
    if machine.deadline is None or now < machine.deadline:
        return machine, ()
    if machine.phase is Phase.WAITING:
        return _lost(machine, "no answer", now)
    alive = machine.state is not VsiState.UNASSOCIATED
    return replace(machine, phase=Phase.READY, deadline=None, alive=alive), (Say(),)


def _ask(
    machine: StationVsi, association: Association, before: tuple[Output, ...] = ()
) -> tuple[StationVsi, tuple[Output, ...]]:
    asking = replace(
        machine, asked=association, later=None, alive=False, phase=Phase.READY, deadline=None
    )
    return asking, (*before, Say())


def _said(
    machine: StationVsi, said: Association, now: float
) -> tuple[StationVsi, tuple[Output, ...]]:
    asked = machine.asked
    if said.problem or said.vsi != asked.vsi:
        return machine, ()
    waits = machine.phase is Phase.WAITING and said.command is asked.command
    ratified = machine.dialect is Dialect.RATIFIED
    if said.command is Command.DE_ASSOCIATE and not (
        said.status.acknowledge if ratified else waits
    ):
        why = "de-associated by the bridge"
        if machine.phase is Phase.READY and not machine.alive:  # it is about what was before
            moved = (Moved(machine.state, VsiState.UNASSOCIATED, why),)
            ready = replace(machine, state=VsiState.UNASSOCIATED)
            return ready, () if machine.state is VsiState.UNASSOCIATED else moved
        return _lost(machine, why, now)
    if not waits or said.status.acknowledge is not ratified:
        return machine, ()
    if said.status.code:
        return _refused(machine, said, now)
    if said.command is not Command.DE_ASSOCIATE and not _fits(asked, said):
        return _lost(machine, "answered with another filter", now)
    return _settle(machine, _STATES[said.command], replace(said, status=asked.status), now)


def _refused(
    machine: StationVsi, said: Association, now: float
) -> tuple[StationVsi, tuple[Output, ...]]:
    why = f"refused: {code_name(machine.dialect, said.status.code)}"
    ratified = machine.dialect is Dialect.RATIFIED
    if ratified and said.status.keep and machine.state is VsiState.ASSOCIATED:
        if machine.alive:  # the two do not agree on what there is
            return _ask(machine, replace(machine.asked, command=Command.DE_ASSOCIATE))
        kept = replace(machine, phase=Phase.SETTLED, deadline=now + machine.keepalive)
        return kept, (Moved(machine.state, machine.state, why),)
    return _lost(machine, why, now, hopeless=ratified and said.status.hard)


def _settle(
    machine: StationVsi, after: VsiState, granted: Association, now: float
) -> tuple[StationVsi, tuple[Output, ...]]:
    alive = after is not VsiState.UNASSOCIATED
    settled = replace(
        machine,
        asked=granted,
        state=after,
        alive=False,
        phase=Phase.SETTLED,
        deadline=now + machine.keepalive if alive else None,
    )
    moved = (Moved(machine.state, after, "granted"),) if after is not machine.state else ()
    return _ask(settled, machine.later, moved) if machine.later else (settled, moved)


def _lost(
    machine: StationVsi, why: str, now: float, *, hopeless: bool = False
) -> tuple[StationVsi, tuple[Output, ...]]:
    """Unassociated: for good, or until it is asked for again."""
    moved = (Moved(machine.state, VsiState.UNASSOCIATED, why),)
    wanted = machine.later or machine.asked
    again = None if hopeless or wanted.command is Command.DE_ASSOCIATE else machine.again
    gone = replace(
        machine,
        asked=wanted,
        later=None,
        alive=False,
        state=VsiState.UNASSOCIATED,
        phase=Phase.SETTLED,
        deadline=None if again is None else now + again,
    )
    if machine.later and machine.later.command is not Command.DE_ASSOCIATE:
        return _ask(gone, machine.later, moved)
    return gone, moved


def _fits(asked: Association, granted: Association) -> bool:
    """Whether what is granted is what was asked for, a VID in place of the null VID allowed."""
    return len(asked.filters) == len(granted.filters) and all(
        (one.mac, one.group) == (other.mac, other.group) and one.vid in (0, other.vid)
        for one, other in zip(asked.filters, granted.filters, strict=True)
    )
