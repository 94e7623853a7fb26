"""vdptool: a client of lldpad's besides libvirt, which associates what has no guest.

It speaks the ratified dialect only, and of a refusal it tells no more than that the VSI is
de-associated. It reads a manager id of digits as hexadecimal ones, of a UUID's first octets:
libvirt's 11 is its "0b".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from harness.kernel.processes import find_program
from harness.vsi.facts import Command, FilterFormat, FilterInfo, Vsi
from harness.vsi.station.lldpad import Lldpad

__all__ = ["ToldVsi", "VdpTool"]

_MODES = {
    Command.PRE_ASSOCIATE: "preassoc",
    Command.PRE_ASSOCIATE_RR: "preassoc-rr",
    Command.ASSOCIATE: "assoc",
    Command.DE_ASSOCIATE: "deassoc",
}
_COMMANDS = {mode: command for command, mode in _MODES.items()}
_LINE = re.compile(r"\t(\w+) = (.*)")
_WITHIN = 15.0  # seconds; it waits for five itself


@dataclass(frozen=True)
class ToldVsi:
    """A VSI as lldpad tells of it; `manager` and `filters` are in its own spelling."""

    command: Command
    manager: str
    type_id: int
    type_version: int
    instance: UUID
    filters: tuple[str, ...] = field(default=())


class VdpTool:
    """vdptool on the links of `lldpad`. Raises UnfitError where it is not installed."""

    def __init__(self, lldpad: Lldpad) -> None:
        find_program("vdptool")
        self._lldpad = lldpad

    def ask(
        self,
        link: str,
        command: Command,
        vsi: Vsi,
        filters: Sequence[FilterInfo],
        *,
        form: FilterFormat = FilterFormat.MAC_VID,
        hints: str = "none",
        wait: bool = True,
    ) -> ToldVsi | None:
        """What lldpad tells of the VSI when the bridge has answered; None after five seconds.

        It is de-associated where the bridge has refused. `hints` is about a guest that migrates:
        none, from (here) or to (here). Without `wait` it is None at once. Raises CommandError when
        lldpad refuses the request, which with `wait` takes five seconds too.
        """
        mode = _MODES[command]
        words = [
            f"mode={mode}",
            f"mgrid2={UUID(bytes=vsi.manager)}",
            f"typeid={vsi.type_id}",
            f"typeidver={vsi.type_version}",
            f"uuid={vsi.uuid}",
            f"hints={hints}",
            *(f"filter={_filter(one, form)}" for one in filters),
        ]
        told = self._run("-T", *["-W"] * wait, "-i", link, "-V", mode, *_configuration(words))
        return next((x for x in told if x.instance.bytes == vsi.instance), None)

    def vsis(self, link: str, command: Command = Command.ASSOCIATE) -> tuple[ToldVsi, ...]:
        """Those on a link for which `command` was the last. Raises CommandError."""
        return self._run("-t", "-i", link, "-V", _MODES[command], "-c")

    def _run(self, *words: str) -> tuple[ToldVsi, ...]:
        finished = self._lldpad.run(["vdptool", *words], timeout=_WITHIN).checked()
        told: list[list[tuple[str, str]]] = []
        for line in finished.stdout.splitlines():
            found = _LINE.fullmatch(line)
            if found is None:
                told.append([])
            elif told:
                told[-1].append((found[1], found[2]))
        return tuple(_told(one) for one in told if one)


def _configuration(words: Sequence[str]) -> list[str]:
    return [part for word in words for part in ("-c", word)]


def _filter(entry: FilterInfo, form: FilterFormat) -> str:
    match form:
        case FilterFormat.VID:
            return str(entry.vid)
        case FilterFormat.MAC_VID:
            return f"{entry.vid}-{entry.mac.hex(':')}"
        case FilterFormat.GROUP_VID:
            return f"{entry.vid}--{entry.group}"
        case FilterFormat.GROUP_MAC_VID:
            return f"{entry.vid}-{entry.mac.hex(':')}-{entry.group}"


def _told(pairs: Sequence[tuple[str, str]]) -> ToldVsi:
    said = dict(pairs)
    return ToldVsi(
        _COMMANDS[said["mode"]],
        said["mgrid2"],
        int(said["typeid"]),
        int(said["typeidver"]),
        UUID(said["uuid"]),
        tuple(value for key, value in pairs if key == "filter"),
    )
