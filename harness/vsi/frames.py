"""ECPDUs and VDP TLVs, bytes to facts and back, as fast as Python does it.

    Ethernet | version operation subtype sequence | manager id | association … | end     ratified
    Ethernet | OUI 0 subtype mode sequence        | OUI-TLV association …      | end     draft 0.2

`read` never raises: what cannot be read is told of in `faults`, a TLV that breaks a rule is an
Association with a `problem`. `harness.vsi.layers` shows the same frames field by field.
"""

from __future__ import annotations

import struct

from harness.vsi.facts import (
    Association,
    Command,
    Dialect,
    EcpFrame,
    FilterFormat,
    FilterInfo,
    IdFormat,
    LldpFrame,
    Malformed,
    Status,
    Vsi,
)
from harness.vsi.lldpdu import read_lldp, write_lldp
from harness.vsi.numbers import (
    COMMANDS,
    DRAFT_COMMANDS,
    DRAFT_OUI,
    ETHERTYPE_ECP,
    ETHERTYPE_ECP_DRAFT,
    VDP_SUBTYPE,
)
from harness.vsi.tlvs import ORGANIZATIONAL, tlv, tlvs_of

__all__ = ["read", "size", "write"]

_SHORT = struct.Struct("!H")
_HEADER = struct.Struct("!HH")
_DRAFT_HEADER = struct.Struct("!3sBHBH")
_ASSOCIATION = struct.Struct("!BHBBB16sBH")
_DRAFT_ASSOCIATION = struct.Struct("!3sBBBBHBB16sBH")
_ENTRIES = {
    FilterFormat.VID: struct.Struct("!H"),
    FilterFormat.MAC_VID: struct.Struct("!6sH"),
    FilterFormat.GROUP_VID: struct.Struct("!IH"),
    FilterFormat.GROUP_MAC_VID: struct.Struct("!I6sH"),
}
_TYPES = {command: number for number, command in COMMANDS.items()}
_MODES = {command: number for number, command in DRAFT_COMMANDS.items()}
_ID_FORMATS = frozenset(IdFormat)
_MANAGER = 5
_DRAFT_VDP = 2
_HEADER_AT = 14
_LEAST_FRAME = 60  # IEEE 802.3, 4A.4.2: minFrameSize without FCS


def read(frame: bytes) -> EcpFrame | LldpFrame | Malformed | None:
    """What a control frame says; None for a frame that is none. Never raises."""
    ethertype = frame[12:14]
    if ethertype == b"\x89\x40":
        return _read_ratified(frame)
    if ethertype == b"\x88\xb7":
        return _read_draft(frame)
    if ethertype == b"\x88\xcc":
        return read_lldp(frame)
    return None


def write(frame: EcpFrame | LldpFrame) -> bytes:
    """The octets of a frame, of the least length or more.

    Raises ValueError where a field is too large for its place, or where the associations of a
    ratified frame have several managers.
    """
    if isinstance(frame, LldpFrame):
        return write_lldp(frame)
    ratified = frame.dialect is Dialect.RATIFIED
    try:
        head = _ratified_head(frame) if ratified else _draft_head(frame)
        tlvs = b"".join(map(_ratified_tlv if ratified else _draft_tlv, frame.associations))
    except struct.error as error:
        raise ValueError(f"a field does not fit: {error}") from None
    end = b"\0\0" if not frame.acknowledge else b""
    return (frame.dst + frame.src + head + tlvs + end).ljust(_LEAST_FRAME, b"\0")


def size(association: Association) -> int:
    """How many octets its TLV has, in the dialect that takes more."""
    entry = _ENTRIES.get(association.filter_format)  # type: ignore[call-overload]
    return 2 + _DRAFT_ASSOCIATION.size + len(association.filters) * (entry.size if entry else 0)


# ---------------------------------------------------------------------- reading


def _read_ratified(frame: bytes) -> EcpFrame | Malformed:
    if len(frame) < _HEADER_AT + _HEADER.size:
        return Malformed(f"ECPDU of {len(frame)} octets is cut off in its header")
    word, sequence = _HEADER.unpack_from(frame, _HEADER_AT)
    operation, subtype = word >> 10 & 3, word & 0x3FF
    if word >> 12 != 1:
        return Malformed(f"ECP version {word >> 12} is not known")
    if operation > 1:
        return Malformed(f"ECP operation {operation} is not known")
    found: tuple[Association, ...] = ()
    faults: tuple[str, ...] = ()
    if not operation and subtype == VDP_SUBTYPE:
        found, faults = _ratified_tlvs(frame, _HEADER_AT + _HEADER.size)
    return EcpFrame(
        Dialect.RATIFIED, frame[6:12], frame[:6], sequence, bool(operation), found, subtype, faults
    )


def _ratified_tlvs(frame: bytes, start: int) -> tuple[tuple[Association, ...], tuple[str, ...]]:
    """The associations of a VDPDU: a manager id, then what it manages (41.1, 41.4)."""
    found: list[Association] = []
    faults: list[str] = []
    manager, problem = b"", "it comes before any VSI manager id"
    tlvs, cut_off = tlvs_of(frame, start)
    for kind, at, length in tlvs:
        if kind in COMMANDS:
            if length < _ASSOCIATION.size:
                faults.append(f"TLV {kind} of {length} octets is too short for an association")
            else:
                found.append(_ratified_association(frame, at, kind, length, manager, problem))
        elif kind == _MANAGER:
            if length != 16:
                problem = "its VSI manager id has not 16 octets"
                faults.append(f"VSI manager id of {length} octets")
            elif manager:
                problem = "a second VSI manager id comes before it"
                faults.append("a second VSI manager id")
            else:
                manager, problem = frame[at : at + 16], ""
        elif kind != ORGANIZATIONAL:
            faults.append(f"TLV {kind} is not known")
    return tuple(found), (*faults, *cut_off)


def _ratified_association(
    frame: bytes, at: int, kind: int, length: int, manager: bytes, problem: str
) -> Association:
    status, high, low, version, id_format, instance, form, count = _ASSOCIATION.unpack_from(
        frame, at
    )
    vsi = Vsi(manager or bytes(16), high << 8 | low, version, instance, id_format)
    if not problem and id_format not in _ID_FORMATS:
        problem = f"VSI id format {id_format} is not known"
    return _with_filters(
        frame,
        at + _ASSOCIATION.size,
        length - _ASSOCIATION.size,
        count,
        Association(COMMANDS[kind], vsi, (), form, Status(status), problem),
    )


def _with_filters(
    frame: bytes, at: int, length: int, count: int, association: Association
) -> Association:
    """The same with its filter info, which must be as long as its format and number say."""
    form, problem = association.filter_format, association.problem
    filters: tuple[FilterInfo, ...] = ()
    entry = _ENTRIES.get(form)  # type: ignore[call-overload]  # any number may come
    if problem:
        pass
    elif entry is None:
        problem = f"filter info format {form} is not known"
    elif count * entry.size != length:
        problem = f"{count} entries of filter info do not take {length} octets"
    elif not count and association.command is not Command.DE_ASSOCIATE:
        problem = "it has no filter info"
    else:
        field = memoryview(frame)[at : at + length]
        filters = tuple([_filter(form, values) for values in entry.iter_unpack(field)])
    return Association(
        association.command, association.vsi, filters, form, association.status, problem
    )


def _filter(form: int, values: tuple[int | bytes, ...]) -> FilterInfo:
    word = values[-1]
    assert isinstance(word, int)
    pcp = word >> 12 & 7 if word & 0x8000 else None
    if form == FilterFormat.MAC_VID:
        return FilterInfo(word & 0xFFF, values[0], None, pcp)  # type: ignore[arg-type]
    if form == FilterFormat.VID:
        return FilterInfo(word & 0xFFF, b"", None, pcp)
    mac = values[1] if form == FilterFormat.GROUP_MAC_VID else b""
    return FilterInfo(word & 0xFFF, mac, values[0], pcp)  # type: ignore[arg-type]


def _read_draft(frame: bytes) -> EcpFrame | Malformed | None:
    if len(frame) < _HEADER_AT + _DRAFT_HEADER.size:
        return Malformed(f"ECPDU of {len(frame)} octets is cut off in its header")
    oui, _, subtype, mode, sequence = _DRAFT_HEADER.unpack_from(frame, _HEADER_AT)
    if oui != DRAFT_OUI:
        return None  # the ethertype is anybody's who has an OUI
    if mode > 1:
        return Malformed(f"ECP mode {mode} is not known")
    found: tuple[Association, ...] = ()
    faults: tuple[str, ...] = ()
    if not mode:
        found, faults = _draft_tlvs(frame, _HEADER_AT + _DRAFT_HEADER.size)
    return EcpFrame(
        Dialect.DRAFT, frame[6:12], frame[:6], sequence, bool(mode), found, subtype, faults
    )


def _draft_tlvs(frame: bytes, start: int) -> tuple[tuple[Association, ...], tuple[str, ...]]:
    found: list[Association] = []
    faults: list[str] = []
    tlvs, cut_off = tlvs_of(frame, start)
    for kind, at, length in tlvs:
        if kind != ORGANIZATIONAL:
            faults.append(f"TLV {kind} is not known")
        elif frame[at : at + 4] == DRAFT_OUI + bytes([_DRAFT_VDP]):
            if length < _DRAFT_ASSOCIATION.size:
                faults.append(f"TLV {kind} of {length} octets is too short for an association")
            else:
                association = _draft_association(frame, at, length)
                if isinstance(association, str):
                    faults.append(association)
                else:
                    found.append(association)
    return tuple(found), (*faults, *cut_off)


def _draft_association(frame: bytes, at: int, length: int) -> Association | str:
    _, _, mode, response, manager, high, low, version, instance, form, count = (
        _DRAFT_ASSOCIATION.unpack_from(frame, at)
    )
    if mode not in DRAFT_COMMANDS:
        return f"VDP mode {mode} is not known"
    vsi = Vsi(bytes([manager]) + bytes(15), high << 8 | low, version, instance)
    return _with_filters(
        frame,
        at + _DRAFT_ASSOCIATION.size,
        length - _DRAFT_ASSOCIATION.size,
        count,
        Association(DRAFT_COMMANDS[mode], vsi, (), form, Status(response)),
    )


# ---------------------------------------------------------------------- writing


def _ratified_head(frame: EcpFrame) -> bytes:
    word = 1 << 12 | frame.acknowledge << 10 | frame.subtype & 0x3FF
    head = _SHORT.pack(ETHERTYPE_ECP) + _HEADER.pack(word, frame.sequence)
    managers = {association.vsi.manager for association in frame.associations}
    if len(managers) > 1:
        raise ValueError("the associations of one VDPDU have one VSI manager")
    return head + b"".join(tlv(_MANAGER, manager) for manager in managers)


def _draft_head(frame: EcpFrame) -> bytes:
    head = _DRAFT_HEADER.pack(DRAFT_OUI, 0, frame.subtype, frame.acknowledge, frame.sequence)
    return _SHORT.pack(ETHERTYPE_ECP_DRAFT) + head


def _ratified_tlv(association: Association) -> bytes:
    vsi = association.vsi
    fixed = _ASSOCIATION.pack(
        association.status.value,
        vsi.type_id >> 8,
        vsi.type_id & 0xFF,
        vsi.type_version,
        vsi.id_format,
        vsi.instance,
        association.filter_format,
        len(association.filters),
    )
    return tlv(_TYPES[association.command], fixed + _filters(association))


def _draft_tlv(association: Association) -> bytes:
    vsi = association.vsi
    fixed = _DRAFT_ASSOCIATION.pack(
        DRAFT_OUI,
        _DRAFT_VDP,
        _MODES[association.command],
        association.status.value,
        vsi.manager[0],
        vsi.type_id >> 8,
        vsi.type_id & 0xFF,
        vsi.type_version,
        vsi.instance,
        association.filter_format,
        len(association.filters),
    )
    return tlv(ORGANIZATIONAL, fixed + _filters(association))


def _filters(association: Association) -> bytes:
    if not association.filters:
        return b""
    form = FilterFormat(association.filter_format)
    entry = _ENTRIES[form]
    parts = []
    for item in association.filters:
        if not 0 <= item.vid < 4096 or (item.pcp is not None and not 0 <= item.pcp < 8):
            raise ValueError(f"no VID and priority: {item}")
        word = item.vid | (0 if item.pcp is None else 0x8000 | item.pcp << 12)
        values: list[int | bytes] = [word]
        if form in (FilterFormat.MAC_VID, FilterFormat.GROUP_MAC_VID):
            values.insert(0, item.mac)
        if form in (FilterFormat.GROUP_VID, FilterFormat.GROUP_MAC_VID):
            values.insert(0, item.group or 0)
        parts.append(entry.pack(*values))
    return b"".join(parts)
