"""Control frames in a few words, for a chart: what an ECPDU says depends on what went before."""

from __future__ import annotations

from harness.vsi.facts import Association, Command, Dialect, EcpFrame, EvbMode, LldpFrame, Malformed
from harness.vsi.frames import read
from harness.vsi.lldp_machine import RELAY_BIT
from harness.vsi.numbers import code_name, seconds
from harness.vsi.words import filter_words

__all__ = ["FrameWords"]


class FrameWords:
    """Words for the frames of one port, in their order."""

    def __init__(self) -> None:
        self._asked: dict[bytes, Command] = {}
        self._last: dict[bool, tuple[int, bytes]] = {}
        self._copies: dict[bool, int] = {}

    def of(self, octets: bytes, *, outgoing: bool) -> tuple[str, str]:
        """Words for a frame, and the same without its sequence; both empty for any other frame."""
        found = read(octets)
        if found is None:
            return "", ""
        if isinstance(found, Malformed):
            text = f"malformed: {found.reason}"
            return text, text
        if isinstance(found, LldpFrame):
            text = _lldp(found, outgoing=outgoing)
            return text, text
        if found.acknowledge:
            return f"ack {found.sequence}", "ack"
        copy = self._copy(found, octets, outgoing=outgoing)
        words = self._associations(found, outgoing=outgoing) + copy
        return f"ECP {found.sequence} {words}", f"ECP {words}"

    def _copy(self, frame: EcpFrame, octets: bytes, *, outgoing: bool) -> str:
        """The number of a copy, from the second on."""
        again = self._last.get(outgoing) == (frame.sequence, octets)
        self._last[outgoing] = (frame.sequence, octets)
        self._copies[outgoing] = self._copies[outgoing] + 1 if again else 1
        return f" (copy {self._copies[outgoing]})" if again else ""

    def _associations(self, frame: EcpFrame, *, outgoing: bool) -> str:
        told = [self._association(one, frame.dialect, outgoing) for one in frame.associations]
        if len(told) == 1 and not outgoing:
            told[0] += _asked(frame.associations[0])
        more = len(told) - 1
        told = [told[0] + (f" and {more} more" if more else "")] if told else []
        told += [f"malformed: {fault}" for fault in frame.faults]
        return "; ".join(told) or "without any association"

    def _association(self, one: Association, dialect: Dialect, outgoing: bool) -> str:  # noqa: FBT001
        instance = one.vsi.instance
        name = f"{one.vsi.uuid[:8]}…"
        if not outgoing:
            self._asked[instance] = one.command
            return f"{one.command} {name}"
        ratified = dialect is Dialect.RATIFIED
        # In a draft's TLV nothing tells an answer from a command but that it was asked for.
        asked = self._asked.get(instance) is one.command
        if not (one.status.acknowledge if ratified else asked):
            return f"{one.command} {name}, by the switch"
        code = one.status.code if ratified else one.status.value
        if not code:
            return f"VDP {one.command} {name}: success"
        flags = (", keep" * one.status.keep + ", hard" * one.status.hard) if ratified else ""
        return f"VDP {one.command} {name}: refused ({code}), {code_name(dialect, code)}{flags}"


def _asked(one: Association) -> str:
    if one.problem:
        return f", invalid: {one.problem}"
    return f" {filter_words(one.filters)}" if one.filters else ""


def _lldp(frame: LldpFrame, *, outgoing: bool) -> str:
    if frame.ttl == 0:
        return "LLDP: goodbye"
    told = []
    evb = frame.evb
    if evb:
        if evb.mode == EvbMode.STATION:
            relay = "requested" if evb.rr_request else "not requested"
        else:
            relay = "on" if evb.rr_control else "possible" if evb.rr_capable else "impossible"
        told.append(f"reflective relay {relay}, RKA {seconds(evb.rka):.3g} s")
    if frame.draft:
        on, off = ("on", "off") if outgoing else ("requested", "not requested")
        relay = on if frame.draft.cmode & RELAY_BIT else off
        told.append(f"draft 0.2, reflective relay {relay}" if not evb else f"draft 0.2: {relay}")
    told += [f"malformed: {fault}" for fault in frame.faults]
    return f"LLDP EVB: {'; '.join(told)}" if told else "LLDP: no EVB TLV"
