"""What bridge and station agree on by LLDP (IEEE 802.1Q, Annex D.2 and clause 40): reflective
relay, and the timers of ECP and VDP.

    bridge                                        station
      | -- EVB: reflective relay capable ------------> |
      | <------------ EVB: reflective relay requested- |
      | -- EVB: reflective relay enabled ------------> |    frames may come back

Of retries and exponents the larger of both sides' is in use. Draft 0.2 agrees on reflective relay
alone, its timers are fixed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.vsi.facts import Dialect, DraftEvb, Evb, EvbMode, LldpFrame
from harness.vsi.numbers import NEAREST_CUSTOMER_BRIDGE, seconds

__all__ = [
    "DRAFT_TIMERS",
    "RELAY_BIT",
    "EvbMachine",
    "EvbPolicy",
    "EvbTimers",
    "Forgotten",
    "Heard",
    "LinkUp",
    "Passed",
    "RelayChanged",
    "SendLldp",
    "TimersChanged",
    "VsisChanged",
    "bridge_tlv",
    "draft_tlv",
    "hurried",
    "negotiated",
    "relays",
    "step",
    "timers_from",
    "timers_of",
]

_FAST = 4  # txFastInit, IEEE 802.1AB 9.2.5.19
_FAST_INTERVAL = 1.0  # msgFastTx
_STANDARD = 0x80
RELAY_BIT = 0x40
"""Reflective relay, in the modes of draft 0.2's EVB TLV."""


@dataclass(frozen=True, slots=True)
class EvbTimers:
    """Seconds: `ack` is ECP's ackTimer; the others are VDP's, as the bridge waits.

    `station_keepalive` is how often a station is to repeat itself.
    """

    ack: float
    retries: int
    resource_wait: float
    station_keepalive: float
    keepalive: float

    @property
    def response_wait(self) -> float:
        """How long a station waits for the answer to a request that it has sent (41.5.5.9)."""
        return 1.5 * ((1 + 2 * self.retries) * self.ack + self.resource_wait)


DRAFT_TIMERS = EvbTimers(0.5, 3, 10.0, 10.0, 1.5 * (10.0 + 7 * 0.5))
"""lldpad's constants (include/qbg_ecp.h, include/qbg_vdp.h)."""


@dataclass(frozen=True, slots=True)
class EvbPolicy:
    """What the bridge is willing to do, and what it asks for. `rte`, `rwd`, `rka` are exponents.

    A dialect that is not spoken is not announced. `interval` and `ttl` are LLDP's, in seconds.
    """

    reflective_relay: bool = True
    groups: bool = False
    retries: int = 3
    rte: int = 14
    rwd: int = 20
    rka: int = 20
    draft_rte: int = 15
    most_vsis: int = 1024
    dialects: frozenset[Dialect] = frozenset(Dialect)
    interval: float = 30.0
    ttl: int = 120


@dataclass(frozen=True, slots=True)
class EvbMachine:
    """The bridge's end of a link; `station` and `draft` are what it heard last, until `expires`."""

    policy: EvbPolicy
    address: bytes
    station: Evb | None = None
    draft: DraftEvb | None = None
    vsis: int = 0
    fast: int = _FAST
    next_send: float = 0.0
    expires: float | None = None

    @property
    def deadline(self) -> float:
        """When something is to be done next."""
        return self.next_send if self.expires is None else min(self.next_send, self.expires)


@dataclass(frozen=True, slots=True)
class Heard:
    """An LLDPDU of the station."""

    frame: LldpFrame


@dataclass(frozen=True, slots=True)
class VsisChanged:
    """As many VSIs are configured now; draft 0.2 tells the station."""

    count: int


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The link came up, or the bridge was started again: nothing is known of the station."""


@dataclass(frozen=True, slots=True)
class Passed:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class SendLldp:
    """To be sent."""

    frame: LldpFrame


@dataclass(frozen=True, slots=True)
class RelayChanged:
    """Reflective relay is on, or off."""

    on: bool


@dataclass(frozen=True, slots=True)
class TimersChanged:
    """The ratified dialect's timers are others."""

    timers: EvbTimers


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The station has said nothing for as long as it said that its word would hold, or goodbye."""


Output = SendLldp | RelayChanged | TimersChanged | Forgotten


def step(
    machine: EvbMachine, event: Heard | VsisChanged | LinkUp | Passed, now: float
) -> tuple[EvbMachine, tuple[Output, ...]]:
    """The machine after `event`, and what comes of it, in order."""
    before = machine
    outputs: list[Output] = []
    if isinstance(event, LinkUp):
        machine = EvbMachine(machine.policy, machine.address, vsis=machine.vsis, next_send=now)
    elif isinstance(event, VsisChanged):
        machine = replace(machine, vsis=event.count)
    elif isinstance(event, Heard):
        machine, forgotten = _heard(machine, event.frame, now)
        outputs += forgotten
    elif machine.expires is not None and now >= machine.expires:
        machine = _forget(machine, now)
        outputs.append(Forgotten())
    if relays(machine) is not relays(before):
        outputs.append(RelayChanged(relays(machine)))
    if timers_of(machine) != timers_of(before):
        outputs.append(TimersChanged(timers_of(machine)))
    if now >= machine.next_send:
        wait = _FAST_INTERVAL if machine.fast else machine.policy.interval
        machine = replace(machine, fast=max(machine.fast - 1, 0), next_send=now + wait)
        outputs.append(SendLldp(_announcement(machine)))
    return machine, tuple(outputs)


def _heard(
    machine: EvbMachine, frame: LldpFrame, now: float
) -> tuple[EvbMachine, tuple[Output, ...]]:
    if frame.ttl == 0:
        return (_forget(machine, now), (Forgotten(),)) if machine.expires else (machine, ())
    station = frame.evb if frame.evb and frame.evb.mode == EvbMode.STATION else None
    news = (station, frame.draft) != (machine.station, machine.draft)
    machine = replace(machine, station=station, draft=frame.draft, expires=now + frame.ttl)
    if news:  # IEEE 802.1AB 9.1.1: a neighbour's news is answered at once
        machine = replace(machine, fast=_FAST, next_send=now)
    return machine, ()


def _forget(machine: EvbMachine, now: float) -> EvbMachine:
    return replace(machine, station=None, draft=None, expires=None, fast=_FAST, next_send=now)


def hurried(machine: EvbMachine, now: float) -> EvbMachine:
    """The machine, about to send several LLDPDUs in quick succession (IEEE 802.1AB, 9.2.5.19)."""
    return replace(machine, fast=_FAST, next_send=now)


def relays(machine: EvbMachine) -> bool:
    """Whether reflective relay is agreed upon."""
    if not machine.policy.reflective_relay:
        return False
    asked = machine.station is not None and machine.station.rr_request
    drafted = machine.draft is not None and bool(machine.draft.cmode & RELAY_BIT)
    spoken = machine.policy.dialects
    return (asked and Dialect.RATIFIED in spoken) or (drafted and Dialect.DRAFT in spoken)


def timers_of(machine: EvbMachine) -> EvbTimers:
    """The ratified dialect's timers (41.5.5, 43.3): of each side's exponents the larger."""
    return timers_from(bridge_tlv(machine))


def timers_from(evb: Evb) -> EvbTimers:
    """The timers that an EVB TLV stands for."""
    sending = (1 + 2 * evb.retries) * seconds(evb.rte)
    keepalive = seconds(evb.rka)
    return EvbTimers(
        ack=seconds(evb.rte),
        retries=evb.retries,
        resource_wait=seconds(evb.rwd),
        station_keepalive=keepalive,
        keepalive=1.5 * (sending + keepalive),  # as lldpad's vdp22_timeout
    )


def bridge_tlv(machine: EvbMachine) -> Evb:
    """What the bridge says in the ratified dialect."""
    policy, station = machine.policy, machine.station
    own = Evb(
        mode=EvbMode.BRIDGE,
        rr_capable=policy.reflective_relay,
        bridge_groups=policy.groups,
        retries=policy.retries,
        rte=policy.rte,
        rwd=policy.rwd,
        rka=policy.rka,
    )
    if station is None:
        return own
    said = replace(
        own,
        rr_control=policy.reflective_relay and station.rr_request,
        rr_request=station.rr_request,
        rr_status=station.rr_status,
        station_groups=station.station_groups,
    )
    return negotiated(said, station)


def negotiated(own: Evb, heard: Evb) -> Evb:
    """`own` with the larger of both sides' timers, and whether that is the other's.

    IEEE 802.1Q, Annex D.2: both sides come to the same.
    """
    return replace(
        own,
        retries=max(own.retries, heard.retries),
        rte=max(own.rte, heard.rte),
        remote_rwd=heard.rwd >= own.rwd,
        rwd=max(own.rwd, heard.rwd),
        remote_rka=heard.rka >= own.rka,
        rka=max(own.rka, heard.rka),
    )


def draft_tlv(machine: EvbMachine) -> DraftEvb:
    """What the bridge says in draft 0.2."""
    policy = machine.policy
    able = _STANDARD | (RELAY_BIT if policy.reflective_relay else 0)
    relay = machine.draft is not None and machine.draft.cmode & able & RELAY_BIT
    return DraftEvb(
        smode=able,
        cmode=RELAY_BIT if relay else _STANDARD,
        svsi=min(policy.most_vsis, 0xFFFF),
        cvsi=min(machine.vsis, 0xFFFF),
        rte=policy.draft_rte,
    )


def _announcement(machine: EvbMachine) -> LldpFrame:
    spoken = machine.policy.dialects
    return LldpFrame(
        src=machine.address,
        dst=NEAREST_CUSTOMER_BRIDGE,
        chassis=b"\x04" + machine.address,
        port=b"\x03" + machine.address,
        ttl=machine.policy.ttl,
        evb=bridge_tlv(machine) if Dialect.RATIFIED in spoken else None,
        draft=draft_tlv(machine) if Dialect.DRAFT in spoken else None,
    )
