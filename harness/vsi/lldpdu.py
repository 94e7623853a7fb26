"""LLDPDUs with an EVB TLV in either dialect, bytes to facts and back (IEEE 802.1AB, 8)."""

from __future__ import annotations

import struct

from harness.vsi.facts import DraftEvb, Evb, EvbMode, LldpFrame, Malformed
from harness.vsi.numbers import DRAFT_OUI, ETHERTYPE_LLDP, IEEE_OUI
from harness.vsi.tlvs import ORGANIZATIONAL, tlv, tlvs_of

__all__ = ["read_lldp", "write_lldp"]

_SHORT = struct.Struct("!H")
_DRAFT = struct.Struct("!BBBBHHB")
_EVB_PREFIX = IEEE_OUI + b"\x0d"
_DRAFT_PREFIX = DRAFT_OUI + b"\0"
_EVB_SIZE = 5
_CHASSIS, _PORT, _TTL = 1, 2, 3
_TLVS_AT = 14
_MODES = {mode.value: mode for mode in EvbMode}
_LEAST_FRAME = 60


def read_lldp(frame: bytes) -> LldpFrame | Malformed:
    """What an LLDPDU says of EVB. Never raises."""
    places, faults = tlvs_of(frame, _TLVS_AT)
    tlvs = [(kind, frame[at : at + length]) for kind, at, length in places]
    if [kind for kind, _ in tlvs[:3]] != [_CHASSIS, _PORT, _TTL]:
        return Malformed("LLDPDU does not begin with chassis id, port id and time to live")
    chassis, port, ttl = (value for _, value in tlvs[:3])
    if len(chassis) < 2 or len(port) < 2 or len(ttl) < 2:
        return Malformed("LLDPDU has a chassis id, port id or time to live that is too short")
    evb, draft = None, None
    for kind, value in tlvs[3:]:
        if kind in (_CHASSIS, _PORT, _TTL):
            return Malformed(f"LLDPDU has TLV {kind} twice")
        if kind != ORGANIZATIONAL:
            continue
        if value.startswith(_EVB_PREFIX):
            if len(value) < 4 + _EVB_SIZE or evb:
                faults.append("a second EVB TLV" if evb else f"EVB TLV of {len(value)} octets")
            else:
                evb = _evb(value[4:])
        elif value.startswith(_DRAFT_PREFIX):
            if len(value) < 4 + _DRAFT.size or draft:
                faults.append("a second EVB TLV" if draft else f"EVB TLV of {len(value)} octets")
            else:
                draft = DraftEvb(*_DRAFT.unpack_from(value, 4))
    seconds = _SHORT.unpack_from(ttl)[0]
    return LldpFrame(frame[6:12], frame[:6], chassis, port, seconds, evb, draft, tuple(faults))


def _evb(value: bytes) -> Evb:
    bridge, station, retries, mode, rka = value[:_EVB_SIZE]
    return Evb(
        mode=_MODES.get(mode >> 6, mode >> 6),
        rr_capable=bool(bridge & 2),
        rr_control=bool(bridge & 1),
        bridge_groups=bool(bridge & 4),
        rr_request=bool(station & 4),
        rr_status=station & 3,
        station_groups=bool(station & 8),
        retries=retries >> 5,
        rte=retries & 31,
        remote_rwd=bool(mode & 32),
        rwd=mode & 31,
        remote_rka=bool(rka & 32),
        rka=rka & 31,
    )


def write_lldp(frame: LldpFrame) -> bytes:
    """The octets of an LLDPDU. Raises ValueError where a field is too large for its place."""
    try:
        tlvs = [
            tlv(_CHASSIS, frame.chassis),
            tlv(_PORT, frame.port),
            tlv(_TTL, _SHORT.pack(frame.ttl)),
        ]
        if frame.draft:
            draft = frame.draft
            tlvs.append(tlv(ORGANIZATIONAL, _DRAFT_PREFIX + _packed_draft(draft)))
        if frame.evb:
            tlvs.append(tlv(ORGANIZATIONAL, _EVB_PREFIX + _packed_evb(frame.evb)))
    except struct.error as error:
        raise ValueError(f"a field does not fit: {error}") from None
    head = frame.dst + frame.src + _SHORT.pack(ETHERTYPE_LLDP)
    return (head + b"".join(tlvs) + b"\0\0").ljust(_LEAST_FRAME, b"\0")


def _packed_draft(draft: DraftEvb) -> bytes:
    return _DRAFT.pack(
        draft.smode, draft.scap, draft.cmode, draft.ccap, draft.svsi, draft.cvsi, draft.rte
    )


def _packed_evb(evb: Evb) -> bytes:
    if max(evb.rte, evb.rwd, evb.rka) > 31 or evb.retries > 7:
        raise ValueError(f"an exponent is at most 31, retries at most 7: {evb}")
    return bytes(
        [
            evb.bridge_groups << 2 | evb.rr_capable << 1 | evb.rr_control,
            evb.station_groups << 3 | evb.rr_request << 2 | evb.rr_status,
            evb.retries << 5 | evb.rte,
            evb.mode << 6 | evb.remote_rwd << 5 | evb.rwd,
            evb.remote_rka << 5 | evb.rka,
        ]
    )
