"""Our end of the driver's socket: what is shown on a screen, and what is done there."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import CommandError, UnfitError
from harness.guests.tools.desktop.screen import Screen
from harness.resource import Resource

__all__ = ["Reader", "Thing", "Widget"]

_DRIVER = Path(__file__).with_name("driver.py")
_PYTHON = "/usr/bin/python3"  # the distribution's, for which it packages gi
_ANSWER_WITHIN = 60.0  # seconds; the driver's own deadlines are shorter

Thing = dict[str, Any]
"""A description of what is looked for: role, name, label, text, enabled, editable, in."""


@dataclass(frozen=True)
class Widget:
    """Something that is shown, `depth` levels below what was asked about.

    `label` is the text of what labels it, `chosen` what is chosen in a combo box.
    """

    depth: int
    role: str
    name: str
    text: str
    label: str
    chosen: str
    checked: bool
    enabled: bool


class Reader(Resource):
    """Reads and works the windows of a screen. Use it in a `with` statement.

    Raises UnfitError where Python's bindings of AT-SPI are missing, CommandError when the
    driver does not come up. Its methods wait for what they are about, and raise CommandError when
    that is not shown in time.
    """

    def __init__(self, screen: Screen) -> None:
        self._undo = ExitStack()
        script = screen.toolbox.write("driver.py", _DRIVER.read_text())
        ours, theirs = socket.socketpair()
        try:
            self._undo.enter_context(ours)
            ours.settimeout(_ANSWER_WITHIN)
            with theirs:
                self._process = screen.spawn(
                    [_PYTHON, script, str(theirs.fileno())], descriptors=(theirs.fileno(),)
                )
            self._undo.callback(self._process.close)
            self._lines = self._undo.enter_context(ours.makefile("rw", encoding="utf-8"))
            self._hear("start")
        except BaseException:
            self.close()
            raise

    def _ask(self, do: str, **request: Any) -> Any:
        self._lines.write(json.dumps({"do": do, **request}) + "\n")
        self._lines.flush()
        return self._hear(do)

    def _hear(self, do: str) -> Any:
        try:
            line = self._lines.readline()
        except TimeoutError:
            line = ""
        if not line:
            self._process.close()
            raise CommandError(
                f"driver of AT-SPI: {do}", "it has ended or is silent", self._process.stderr
            )
        answer = json.loads(line)
        if "unfit" in answer:
            raise UnfitError(
                f"Python has no AT-SPI here ({answer['unfit']})",
                remedy="apt install python3-gi gir1.2-atspi-2.0",
            )
        if "ok" not in answer:
            problem = answer.get("missing") or answer["failed"]
            raise CommandError(f"driver of AT-SPI: {do}", problem, "")
        return answer["ok"]

    def wait(self, *wanted: Thing, within: float = 15.0) -> int:
        """Which of these is shown first, by its place."""
        place: int = self._ask("wait", any=wanted, within=within)
        return place

    def wait_gone(self, what: Thing, *, within: float = 15.0) -> None:
        """Wait until this is not shown any more."""
        self._ask("wait_gone", what=what, within=within)

    def tree(self, what: Thing) -> list[Widget]:
        """All that is shown inside of it, in the order of reading."""
        return [Widget(**x) for x in self._ask("tree", what=what)]

    def choices(self, what: Thing) -> list[str]:
        """What a combo box offers, whether it is open or not."""
        names: list[str] = self._ask("choices", what=what)
        return names

    def choose(self, tab: Thing) -> None:
        """Open the page of a tab."""
        self._ask("choose", what=tab)

    def select(self, cell: Thing) -> None:
        """Select the row of a table that this cell is in."""
        self._ask("select", what=cell)

    def write(self, what: Thing, text: str) -> None:
        """Replace the text of an entry or editor."""
        self._ask("write", what=what, text=text)

    def press(self, what: Thing) -> None:
        """Click a button or the like."""
        self._ask("press", what=what)

    def click(self, what: Thing) -> None:
        """Click the mouse on it: for what opens a dialog and is no button."""
        self._ask("click", what=what)

    def close(self) -> None:
        """End the driver; idempotent."""
        self._undo.close()
