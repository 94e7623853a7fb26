"""The station's side of what is agreed on by LLDP: it asks for reflective relay, and takes the
timers that both sides can live with (IEEE 802.1Q, Annex D.2). `harness.vsi.lldp_machine` is the
bridge's side, and draws the exchange.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from harness.vsi.facts import Dialect, DraftEvb, Evb, EvbMode, LldpFrame
from harness.vsi.lldp_machine import (
    DRAFT_TIMERS,
    EvbPolicy,
    EvbTimers,
    Forgotten,
    Heard,
    Output,
    Passed,
    RelayChanged,
    SendLldp,
    TimersChanged,
    negotiated,
    timers_from,
)
from harness.vsi.numbers import NEAREST_CUSTOMER_BRIDGE

__all__ = ["EvbStation", "goodbye", "relays", "step", "timers_of"]

_FAST = 4  # txFastInit, IEEE 802.1AB 9.2.5.19
_FAST_INTERVAL = 1.0  # msgFastTx
_RELAY, _STANDARD = 0x40, 0x80
_UNKNOWN = 3  # of reflective relay's status


@dataclass(frozen=True, slots=True)
class EvbStation:
    """The station's end of a link; `bridge` and `draft` are what it heard last, until `expires`.

    Of the policy, `reflective_relay` says that the station requests it; one dialect is spoken.
    One that is `silent` has said goodbye, and says nothing more.
    """

    policy: EvbPolicy
    address: bytes
    dialect: Dialect
    bridge: Evb | None = None
    draft: DraftEvb | None = None
    fast: int = _FAST
    next_send: float = 0.0
    expires: float | None = None
    silent: bool = False

    @property
    def deadline(self) -> float:
        """When something is to be done next."""
        sends = math.inf if self.silent else self.next_send
        return sends if self.expires is None else min(sends, self.expires)


def step(
    station: EvbStation, event: Heard | Passed, now: float
) -> tuple[EvbStation, tuple[Output, ...]]:
    """The machine after `event`, and what comes of it, in order."""
    before = station
    outputs: list[Output] = []
    if isinstance(event, Heard) and event.frame.ttl:
        frame = event.frame
        evb = frame.evb if frame.evb and frame.evb.mode == EvbMode.BRIDGE else None
        news = (evb, frame.draft) != (station.bridge, station.draft)
        station = replace(station, bridge=evb, draft=frame.draft, expires=now + frame.ttl)
        if news:  # IEEE 802.1AB 9.1.1: a neighbour's news is answered at once
            station = replace(station, fast=_FAST, next_send=now)
    elif station.expires is not None and (isinstance(event, Heard) or now >= station.expires):
        station = replace(station, bridge=None, draft=None, expires=None, fast=_FAST, next_send=now)
        outputs.append(Forgotten())
    if relays(station) is not relays(before):
        outputs.append(RelayChanged(relays(station)))
    if timers_of(station) != timers_of(before):
        outputs.append(TimersChanged(timers_of(station)))
    if now >= station.next_send and not station.silent:
        wait = _FAST_INTERVAL if station.fast else station.policy.interval
        station = replace(station, fast=max(station.fast - 1, 0), next_send=now + wait)
        outputs.append(SendLldp(_announcement(station)))
    return station, tuple(outputs)


def relays(station: EvbStation) -> bool:
    """Whether reflective relay is agreed upon: requested, and the bridge says that it is on."""
    if not station.policy.reflective_relay:
        return False
    if station.dialect is Dialect.DRAFT:
        return station.draft is not None and bool(station.draft.cmode & _RELAY)
    return station.bridge is not None and station.bridge.rr_control


def timers_of(station: EvbStation) -> EvbTimers:
    """The timers in use: of each side's exponents the larger; draft 0.2's are fixed."""
    if station.dialect is Dialect.DRAFT:
        return DRAFT_TIMERS
    return timers_from(_evb(station))


def goodbye(station: EvbStation) -> LldpFrame:
    """The LLDPDU that says that the station's word holds no longer."""
    return replace(_announcement(station), ttl=0, evb=None, draft=None)


def _evb(station: EvbStation) -> Evb:
    policy, bridge = station.policy, station.bridge
    own = Evb(
        mode=EvbMode.STATION,
        rr_request=policy.reflective_relay,
        rr_status=_UNKNOWN,
        station_groups=policy.groups,
        retries=policy.retries,
        rte=policy.rte,
        rwd=policy.rwd,
        rka=policy.rka,
    )
    if bridge is None:
        return own
    said = replace(
        own,
        rr_capable=bridge.rr_capable,
        rr_control=bridge.rr_control,
        bridge_groups=bridge.bridge_groups,
        rr_status=int(bridge.rr_control),
    )
    return negotiated(said, bridge)


def _announcement(station: EvbStation) -> LldpFrame:
    address, policy = station.address, station.policy
    ratified = station.dialect is Dialect.RATIFIED
    draft = DraftEvb(
        smode=_RELAY,
        cmode=_RELAY if policy.reflective_relay else _STANDARD,
        rte=policy.draft_rte,
    )
    return LldpFrame(
        src=address,
        dst=NEAREST_CUSTOMER_BRIDGE,
        chassis=b"\x04" + address,
        port=b"\x03" + address,
        ttl=policy.ttl,
        evb=_evb(station) if ratified else None,
        draft=None if ratified else draft,
    )
