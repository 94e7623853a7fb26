"""The switch and what passes a link, as a person reads them.

port  instance                              type          state       VLAN  addresses          left
tap0  9c9b2f64-26f4-4b2a-8d0c-1c2f3a4b5c6d  11/1193047/2  associated   100  52:54:00:00:00:01  16 s
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.report.page import BOLD, FAINT, Page, count
from harness.vsi.events import Event, EventKind
from harness.vsi.facts import Malformed
from harness.vsi.live.known import KnownVsi
from harness.vsi.words import filter_words, frame_words, note_words, type_words

__all__ = ["Line", "SwitchState", "SwitchView", "clock", "event_line", "print_line", "print_state"]

_DATA = ("forwarded", "reflected")
_STYLES = {EventKind.FAULT: "yellow", EventKind.REFUSED: "red"}
_STATES = {"associated": "green", "unassociated": "red"}
_MOST_LINES = 14
_OVERHEAD = 7  # lines of the view that are always there
_WIDE, _NARROW = 108, 92  # columns: all of it, and without the half of it


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened: when (seconds of the epoch), where, which way, and in words."""

    at: float
    port: str
    way: str
    text: str
    style: str = ""


@dataclass(frozen=True)
class SwitchState:
    """What the switch knows at one moment: VSIs by port, relay by port, frames by fate."""

    seconds: float
    vsis: Mapping[str, Sequence[KnownVsi]]
    relaying: Mapping[str, bool]
    counts: Mapping[tuple[str, bool, str], int]


def clock(at: float) -> str:
    """The time of day, to the millisecond."""
    return time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at % 1 * 1000):03d}"


def event_line(port: str, event: Event, *, started: float) -> Line:
    """An event of the switch; "in" is from the station."""
    if event.frame is not None:
        way = "in" if event.kind is EventKind.HEARD else "out"
        text = frame_words(event.frame)
        bad = isinstance(event.frame, Malformed) or "REFUSED" in text or "malformed" in text
        return Line(started + event.at, port, way, text, "red" if bad else "")
    style = _STYLES.get(event.kind, "cyan")
    return Line(started + event.at, port, "", note_words(event), style)


def print_line(console: Console, line: Line) -> None:
    """It, on a line of its own, however long."""
    page = Page(console, console.options.ascii_only)
    page.line((clock(line.at), FAINT), (f" {line.port} {line.way:3} ", ""), (line.text, line.style))


def print_state(console: Console, state: SwitchState) -> None:
    """The whole of it: what there is at the end."""
    console.print(_associations(console, state, room=None))
    for text in _summary(state):
        console.print(Text(text), soft_wrap=True)


class SwitchView:
    """A part of the terminal that is drawn anew: VSIs, what happened last, counters."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: deque[Line] = deque(maxlen=_MOST_LINES)
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> SwitchView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, state: SwitchState, lines: Iterable[Line]) -> None:
        """Draw it, with these lines as the newest."""
        self._lines.extend(lines)
        self._live.update(self._drawn(state), refresh=True)

    def _drawn(self, state: SwitchState) -> RenderableType:
        console = self._console
        summary = _summary(state)
        room = max(console.height - len(summary) - len(state.relaying) - _OVERHEAD, 4)
        shown = min(max(room // 2, 2), _MOST_LINES)
        lines = [*self._lines][-shown:]
        return Group(
            _ports(state),
            Text(),
            _associations(console, state, room=room - shown),
            Text(),
            *(_cut(console, _happened(console, line)) for line in lines),
            Text(),
            *(_cut(console, Text(text, style=FAINT)) for text in summary),
            _cut(console, Text("Ctrl-C ends it.", style=FAINT)),
        )


def _ports(state: SwitchState) -> RenderableType:
    text = Text()
    for number, (port, on) in enumerate(state.relaying.items()):
        text.append("\n" if number else "").append(port, style=BOLD)
        text.append(f"  reflective relay {'on' if on else 'off'}", style="green" if on else "")
        text.append(f"  {count(len(state.vsis[port]), 'VSI')}")
    return text


def _associations(console: Console, state: SwitchState, *, room: int | None) -> RenderableType:
    every = [(port, one) for port, known in state.vsis.items() for one in known]
    if not every:
        return Text("No VSI is known.", style=FAINT)
    table = Table(box=None, pad_edge=False, header_style=FAINT)
    columns = _COLUMNS if console.width >= _WIDE else _COLUMNS[:-1]
    for name in columns:
        right = name in ("VLAN", "time left")
        table.add_column(
            name, justify="right" if right else "left", no_wrap=True, overflow=_overflow(console)
        )
    fitting = every if room is None or len(every) <= room else every[: room - 1]
    for port, one in fitting:
        uuid = one.vsi.uuid if console.width >= _NARROW else one.vsi.uuid[:8]
        doing = f"{one.state}{', asks' if one.pending else ''}"
        row = (
            port,
            uuid,
            type_words(one.vsi),
            Text(doing, style=_STATES.get(one.state, "yellow")),
            str(one.vlan) if one.vlan else "-",
            filter_words(one.filters),
            "" if one.left is None else f"{max(one.left, 0):.0f} s",
            str(one.dialect),
        )
        table.add_row(*row[: len(columns)])
    if len(fitting) == len(every):
        return table
    return Group(table, Text(f"and {len(every) - len(fitting):,} more", style=FAINT))


_COLUMNS = ("port", "instance", "type", "state", "VLAN", "filters", "time left", "dialect")


def _summary(state: SwitchState) -> list[str]:
    """Counters, in a line each."""
    control: Counter[str] = Counter()
    data: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for (_, outgoing, fate), number in state.counts.items():
        if fate.startswith("dropped"):
            dropped[fate.removeprefix("dropped: ")] += number
        elif fate in _DATA:
            data[fate] += number * (not outgoing)
        else:
            control["out" if outgoing else "in"] += number
    head = (
        f"{state.seconds:,.0f} s: {control['in']:,} control frames in, {control['out']:,} out; "
        f"{data['forwarded']:,} frames forwarded, {data['reflected']:,} reflected, "
        f"{sum(dropped.values()):,} dropped"
    )
    return [head] + [f"  dropped, {number:,}: {why}" for why, number in dropped.most_common(3)]


def _happened(console: Console, line: Line) -> Text:
    words = Page(console, console.options.ascii_only).encodable(line.text)
    head = (clock(line.at), FAINT), f" {line.port} {line.way:3} "
    return Text.assemble(*head, (words, line.style))


def _cut(console: Console, text: Text) -> Text:
    """As much of a line as there is room for."""
    text.truncate(console.width, overflow=_overflow(console))
    return text


def _overflow(console: Console) -> Literal["crop", "ellipsis"]:
    return "crop" if console.options.ascii_only else "ellipsis"
