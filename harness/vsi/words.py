"""Control frames in words, a line each."""

from __future__ import annotations

from harness.vsi.events import Event, EventKind
from harness.vsi.facts import (
    Association,
    Command,
    Dialect,
    EcpFrame,
    FilterInfo,
    LldpFrame,
    Malformed,
    Vsi,
)
from harness.vsi.lldp_machine import RELAY_BIT
from harness.vsi.numbers import code_name, seconds
from harness.vsi.types import VsiType

__all__ = ["filter_words", "frame_words", "note_words", "type_words"]

_DRAFT = {Dialect.RATIFIED: "", Dialect.DRAFT: " (draft 0.2)"}
_SHOWN = 2  # entries of filter info


def frame_words(frame: EcpFrame | LldpFrame | Malformed) -> str:
    """What a control frame says. Each association of an ECPDU is told, as is what is wrong."""
    if isinstance(frame, Malformed):
        return f"malformed: {frame.reason}"
    if isinstance(frame, LldpFrame):
        return _lldp(frame)
    head = f"ECP {'ack' if frame.acknowledge else 'request'} {frame.sequence}"
    told = [_association(one, frame.dialect) for one in frame.associations]
    if not told and not frame.acknowledge:
        told = ["without any association"]
    told += [f"malformed: {fault}" for fault in frame.faults]
    return head + _DRAFT[frame.dialect] + ("  " + "; ".join(told) if told else "")


def note_words(event: Event) -> str:
    """What happened, where that is not a frame."""
    about = f"VSI {event.vsi.uuid}: " if event.vsi else ""
    kind = "" if event.kind in (EventKind.MOVED, EventKind.RELAY) else f"{event.kind}: "
    return f"{about}{kind}{event.text}"


def type_words(vsi: Vsi) -> str:
    """Manager, type and version, as manager/type/version."""
    manager = vsi.manager.hex() if vsi.manager_id is None else vsi.manager_id
    return f"{manager}/{vsi.type_id}/{vsi.type_version}"


def filter_words(filters: tuple[FilterInfo, ...], kind: VsiType | None = None) -> str:
    """The addresses and VIDs of filter info, the first of many."""
    told = []
    for one in filters[:_SHOWN]:
        parts = [one.mac.hex(":")] if one.mac else []
        if one.group is not None:
            parts.append(f"group {one.group}")
        if one.vid or not one.mac:
            parts.append(f"VID {one.vid}")
        elif kind is not None and kind.vlan:
            parts.append(f"VLAN {kind.vlan}")
        told.append(" ".join(parts))
    more = len(filters) - _SHOWN
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _association(one: Association, dialect: Dialect) -> str:
    """The outcome comes first: the rest may be cut off where there is no room."""
    words = f"{one.command}{_status(one, dialect)} {one.vsi.uuid}"
    if one.command is not Command.DE_ASSOCIATE:
        words += f" type {type_words(one.vsi)}"
    if one.filters:
        words += f" {filter_words(one.filters)}"
    return words + (f", invalid: {one.problem}" if one.problem else "")


def _status(one: Association, dialect: Dialect) -> str:
    """Whether it is an answer; in a draft's TLV success looks like a request."""
    status = one.status
    ratified = dialect is Dialect.RATIFIED
    if ratified and not status.acknowledge:
        bits = [*(["M"] if status.migrating_to else []), *(["S"] if status.migrating_from else [])]
        return f" ({' and '.join(bits)} bit)" if bits else ""
    code = status.code if ratified else status.value
    if not code:
        return " granted" if ratified else ""
    flags = ", keep" * (ratified and status.keep) + ", hard" * (ratified and status.hard)
    return f" REFUSED ({code} {code_name(dialect, code)}{flags})"


def _lldp(frame: LldpFrame) -> str:
    if frame.ttl == 0:
        return f"LLDP {frame.src.hex(':')} says goodbye"
    told = [f"LLDP {frame.src.hex(':')}"]
    evb = frame.evb
    if evb:
        is_station = evb.mode == 2
        word = "requested" if is_station else "enabled"
        on = evb.rr_request if is_station else evb.rr_control
        able = "" if is_station or evb.rr_capable else " impossible"
        timers = f"R {evb.retries}, RTE {seconds(evb.rte):.2g} s, RWD {seconds(evb.rwd):.3g} s, "
        told.append(
            f"EVB {'station' if is_station else 'bridge'}: reflective relay"
            f"{able or (' ' if on else ' not ') + word}, {timers}RKA {seconds(evb.rka):.3g} s"
        )
    if frame.draft:
        on = bool(frame.draft.cmode & RELAY_BIT)
        told.append(f"draft 0.2: reflective relay {'on' if on else 'off'}")
    if not (evb or frame.draft):
        told.append("no EVB TLV")
    told += [f"malformed: {fault}" for fault in frame.faults]
    return "  ".join([told[0], "; ".join(told[1:])])
