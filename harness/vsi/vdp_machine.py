"""The bridge's VDP machine of one VSI (IEEE 802.1Q-2018, 41.5.2).

    unassociated ──request→ asks for the type ──granted→ pre-associated, …-rr, associated
          ↑                        │ refused                      │ the same again: kept alive
          └────────────────────────┴──── de-associate, keepalive over, withdrawn, reset

A request is pending from when it arrives until it is decided on or the resource wait delay is over;
meanwhile the VSI is in the state that it was in. No clock: the time comes with what happens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from harness.vsi.facts import Association, Command, Dialect, FilterInfo, Refusal, Status
from harness.vsi.numbers import refusal_code

__all__ = [
    "Ask",
    "Decision",
    "Moved",
    "Passed",
    "Reply",
    "Request",
    "Reset",
    "VsiMachine",
    "VsiState",
    "Withdraw",
    "answered",
    "step",
]


class VsiState(StrEnum):
    """What a VSI is to the bridge."""

    UNASSOCIATED = "unassociated"
    PRE_ASSOCIATED = "pre-associated"
    PRE_ASSOCIATED_RR = "pre-associated-rr"
    """With resources reserved."""
    ASSOCIATED = "associated"


_STATES = {
    Command.PRE_ASSOCIATE: VsiState.PRE_ASSOCIATED,
    Command.PRE_ASSOCIATE_RR: VsiState.PRE_ASSOCIATED_RR,
    Command.ASSOCIATE: VsiState.ASSOCIATED,
    Command.DE_ASSOCIATE: VsiState.UNASSOCIATED,
}


@dataclass(frozen=True, slots=True)
class Request:
    """The station asks."""

    association: Association


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of the pending request: granted where `code` is 0.

    `filters` are granted in place of those asked for. `keep` leaves a VSI that is associated as it
    was; `hard` says that asking again will not help.
    """

    code: int = 0
    keep: bool = False
    hard: bool = False
    filters: tuple[FilterInfo, ...] | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The bridge wants the VSI gone, and tells the station."""

    why: str


@dataclass(frozen=True, slots=True)
class Reset:
    """The bridge has forgotten the VSI, as after a power cut: it tells nobody."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The bridge is to decide on this request."""

    association: Association


@dataclass(frozen=True, slots=True)
class Reply:
    """To be sent to the station; `alive` where it only answers a keepalive."""

    association: Association
    alive: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """The VSI is in another state, and why."""

    before: VsiState
    after: VsiState
    why: str


Event = Request | Decision | Passed | Withdraw | Reset
Output = Ask | Reply | Moved


@dataclass(frozen=True, slots=True)
class VsiMachine:
    """One VSI. `keepalive` and `resource_wait` are the bridge's, in seconds.

    `asked` is the request that it owes its state to, `granted` the answer to that; `pending` waits
    for a decision until `deadline`, which otherwise ends the keepalive.
    """

    dialect: Dialect
    keepalive: float
    resource_wait: float
    state: VsiState = VsiState.UNASSOCIATED
    asked: Association | None = None
    granted: Association | None = None
    pending: Association | None = None
    deadline: float | None = None


def step(machine: VsiMachine, event: Event, now: float) -> tuple[VsiMachine, tuple[Output, ...]]:
    """The machine after `event`, and what comes of it, in order."""
    match event:
        case Request(association):
            return _request(machine, association, now)
        case Decision():
            return _decide(machine, event, now) if machine.pending else (machine, ())
        case Withdraw(why):
            return _withdraw(machine, why)
        case Reset():
            return _leave(machine, "reset")
    if machine.deadline is None or now < machine.deadline:
        return machine, ()
    if machine.pending:
        code = refusal_code(machine.dialect, Refusal.UNKNOWN_MANAGER)
        return _decide(machine, Decision(code, keep=machine.state is VsiState.ASSOCIATED), now)
    return _withdraw(machine, "no keepalive")


def answered(association: Association, dialect: Dialect, decision: Decision) -> Association:
    """The answer to a request; draft 0.2 has nothing but the code (41.2.3)."""
    status = decision.code
    if dialect is Dialect.RATIFIED:
        status |= 0x40 | decision.keep << 5 | decision.hard << 4
    filters = association.filters if decision.filters is None else decision.filters
    return replace(association, status=Status(status), filters=filters, problem="")


def _request(
    machine: VsiMachine, association: Association, now: float
) -> tuple[VsiMachine, tuple[Output, ...]]:
    if association.command is Command.DE_ASSOCIATE:
        reply = Reply(answered(association, machine.dialect, Decision()))
        machine, moved = _leave(machine, "asked for")
        return machine, (reply, *moved)
    if machine.pending:
        return machine, ()  # one at a time: its answer is underway
    if machine.granted and _same(machine, association):
        alive = replace(machine, deadline=now + machine.keepalive)
        again = Decision(filters=machine.granted.filters)
        return alive, (Reply(answered(association, machine.dialect, again), alive=True),)
    waiting = replace(machine, pending=association, deadline=now + machine.resource_wait)
    return waiting, (Ask(association),)


def _same(machine: VsiMachine, association: Association) -> bool:
    """Whether it asks for what there is: a station repeats what it asked or what was granted."""
    return any(
        known is not None
        and (known.command, known.vsi, known.filter_format, known.filters)
        == (
            association.command,
            association.vsi,
            association.filter_format,
            association.filters,
        )
        for known in (machine.asked, machine.granted)
    )


def _decide(
    machine: VsiMachine, decision: Decision, now: float
) -> tuple[VsiMachine, tuple[Output, ...]]:
    asked = machine.pending
    assert asked is not None
    reply = answered(asked, machine.dialect, decision)
    if decision.code == 0:
        after = _STATES[asked.command]
        moved = (Moved(machine.state, after, "asked for"),) if after is not machine.state else ()
        settled = replace(
            machine,
            state=after,
            asked=asked,
            granted=reply,
            pending=None,
            deadline=now + machine.keepalive,
        )
        return settled, (Reply(reply), *moved)
    if decision.keep and machine.state is VsiState.ASSOCIATED:
        kept = replace(machine, pending=None, deadline=now + machine.keepalive)
        return kept, (Reply(reply),)
    machine, gone = _leave(machine, "refused")
    return machine, (Reply(reply), *gone)


def _withdraw(machine: VsiMachine, why: str) -> tuple[VsiMachine, tuple[Output, ...]]:
    """De-associate from the bridge's side: a command, so nothing in its status (41.5.2)."""
    last = machine.granted or machine.pending
    if last is None:
        return machine, ()
    notice = replace(last, command=Command.DE_ASSOCIATE, status=Status(), problem="")
    machine, moved = _leave(machine, why)
    return machine, (Reply(notice), *moved)


def _leave(machine: VsiMachine, why: str) -> tuple[VsiMachine, tuple[Output, ...]]:
    gone = VsiMachine(machine.dialect, machine.keepalive, machine.resource_wait)
    if machine.state is VsiState.UNASSOCIATED:
        return gone, ()
    return gone, (Moved(machine.state, VsiState.UNASSOCIATED, why),)
