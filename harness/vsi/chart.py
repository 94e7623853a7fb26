"""A sequence chart, as text, of what passed between a station and a switch.

    seconds  station                                              switch
      3.372  │─── ECP 1 associate 09b11c53… 52:54:00:aa:00:01 ───────▶│
             │                                ● 09b11c53… associated  │
             │◀── ack 1 ──────────────────────────────────────────────│

What is said again is not shown again: an LLDPDU that brings no news is counted where it was news,
and exchanges that repeat each other but for their sequence, as keepalives do, are shown once.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from harness.vsi.chartwords import FrameWords
from harness.vsi.events import Event, EventKind
from harness.vsi.live.trace import Passed

__all__ = ["chart"]

_NARROWEST = 60
_TIME = 11  # columns
_BLOCK = 8  # the longest exchange that is looked for: its frames and notes
_DATA = "data "
_LOST = "dropped: "
_SILENT = (EventKind.HEARD, EventKind.SENT)
_MOVE = re.compile(r"(\S+) → (\S+): (.*)")


@dataclass(frozen=True, slots=True)
class _Row:
    """A line: an arrow where `outgoing` is said, else a note at the switch's side.

    `key` is what it has in common with its like; `times` says how many it stands for.
    """

    at: float
    text: str
    key: str
    outgoing: bool | None = None
    lost: str = ""
    times: int = 1


@dataclass(slots=True)
class _Rows:
    """Rows in their order; `news` are the places of the last LLDPDU of either side."""

    rows: list[_Row] = field(default_factory=list)
    news: dict[bool, int] = field(default_factory=dict)

    def add(self, row: _Row) -> None:
        """Another row; one that only repeats an LLDPDU is counted there."""
        if row.outgoing is not None and row.key.startswith("LLDP"):
            place = self.news.get(row.outgoing)
            if place is not None and self.rows[place].key == row.key:
                before = self.rows[place]
                self.rows[place] = replace(before, times=before.times + 1)
                return
            self.news[row.outgoing] = len(self.rows)
        self.rows.append(row)


def chart(
    trace: Iterable[Passed],
    events: Iterable[tuple[str, Event]] = (),
    *,
    port: str | None = None,
    station: str = "station",
    switch: str = "switch",
    width: int = 100,
    data: bool = True,
) -> str:
    """The chart of `trace` and `events` as a switch has them, those of one `port` if it is named.

    Its lines have at most `width` columns, 60 at the least. Frames that are no control frames are
    left out where `data` is False.
    """
    width = max(width, _NARROWEST)
    rows = _Rows()
    for row in _rows(trace, events, port, data=data):
        rows.add(row)
    room = width - _TIME - 2
    lines = [f"{'seconds':>{_TIME - 2}}  {station:<{room + 2 - len(switch)}}{switch}"]
    before = ""
    for row in _folded(rows.rows):
        time = f"{row.at:.3f}"
        lines.append(f"{time if time != before else '':>{_TIME - 2}}  {_drawn(row, room)}")
        before = time
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _rows(
    trace: Iterable[Passed], events: Iterable[tuple[str, Event]], port: str | None, *, data: bool
) -> Iterator[_Row]:
    """The frames in their order, what the switch made of them before what it then said."""
    notes = deque(
        event
        for name, event in sorted(events, key=lambda one: one[1].at)
        if port in (None, name) and event.kind not in _SILENT
    )
    words = FrameWords()
    for passed in trace:
        if port not in (None, passed.port):
            continue
        while notes and (notes[0].at, not passed.outgoing) < (passed.at, True):
            yield _note_row(notes.popleft())
        row = _frame_row(passed, words)
        if data or not row.key.startswith(_DATA):
            yield row
    yield from map(_note_row, notes)


def _frame_row(passed: Passed, words: FrameWords) -> _Row:
    text, key = words.of(passed.octets, outgoing=passed.outgoing)
    if not text:
        text = f"{passed.octets[6:12].hex(':')} to {passed.octets[:6].hex(':')}"
        key = _DATA + text
    lost = passed.fate.removeprefix(_LOST) if passed.fate.startswith(_LOST) else ""
    return _Row(passed.at, text, f"{key} {lost}", passed.outgoing, lost)


def _note_row(event: Event) -> _Row:
    text = _note(event)
    return _Row(event.at, text, f"note {text}")


def _note(event: Event) -> str:
    about = f"{event.vsi.uuid[:8]}… " if event.vsi else ""
    moved = _MOVE.fullmatch(event.text)
    if event.kind is EventKind.MOVED and moved:
        why = "" if moved[3] == "asked for" else f": {moved[3]}"
        return f"● {about}{moved[2]}{why}"
    kind = "" if event.kind in (EventKind.MOVED, EventKind.RELAY) else f"{event.kind}: "
    return f"{about}{kind}{event.text}"


def _folded(rows: list[_Row]) -> Iterator[_Row]:
    """The rows, of exchanges that repeat each other the first, and how many followed."""
    place = 0
    while place < len(rows):
        length, times = _repeats(rows, place)
        end = place + length * times
        if length == 1:
            yield replace(rows[place], times=sum(row.times for row in rows[place:end]))
        else:
            yield from rows[place : place + length]
            if times > 1:
                last = rows[end - 1].at
                again = f"the same {length} lines {times - 1} times more, until {last:.3f}"
                yield _Row(rows[place + length].at, again, "")
        place = end


def _repeats(rows: list[_Row], place: int) -> tuple[int, int]:
    """How long the exchange is that begins there and repeats itself, and how often it comes.

    One of several lines begins with what the station says of itself.
    """
    keys = [(row.key, row.outgoing) for row in rows[place:]]
    begins = rows[place].outgoing is False and not rows[place].key.startswith("ack")
    for length in range(1, _BLOCK + 1 if begins else 2):
        times = 1
        while keys[length * times : length * (times + 1)] == keys[:length]:
            times += 1
        if times > 1 and (length == 1 or times > 2):
            return length, times
    return 1, 1


def _drawn(row: _Row, room: int) -> str:
    """The row between the lifelines of the two, which are `room` columns apart."""
    text = row.text + (f" ×{row.times}" if row.times > 1 else "")
    if row.outgoing is None:
        return f"│{_short(text, room - 4):>{room - 2}}  │"
    if row.lost:
        text = f"{text} ✗ {row.lost}"
        shaft = f"─── {_short(text, room - 6)} "
        return f"│{shaft:<{room}}│" if not row.outgoing else f"│{shaft[3:] + '───':>{room}}│"
    shaft = f"─── {_short(text, room - 6)} "
    if row.outgoing:
        return f"│◀{shaft[1:]:─<{room - 1}}│"
    return f"│{shaft:─<{room - 1}}▶│"


def _short(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"
