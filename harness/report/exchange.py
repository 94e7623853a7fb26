"""What stations and our switch said to each other, as a person reads it after a run.

One text file for each exchange, with its sequence chart and what the logs say; the most telling
ones on the terminal, and a line for each failure that a user was told of.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from harness.report.page import FAINT, Page, count

__all__ = ["Exchange", "print_exchanges", "write_exchange"]

_NAMED = re.compile(r"[^\w.-]+")
_STAMP = re.compile(r"^[\d:.\s-]+")


@dataclass(frozen=True)
class Exchange:
    """One exchange: `chart` is harness.vsi.chart's.

    `told` is what the user of libvirt was told, `seconds` after the start of the guest; `logs` has
    what each log says of it, by whose it is. Of those that are `shown` the chart goes to the
    terminal as well.
    """

    title: str
    chart: str
    told: str = ""
    seconds: float = 0.0
    logs: tuple[tuple[str, str], ...] = ()
    shown: bool = False


def write_exchange(exchange: Exchange, folder: Path) -> Path:
    """Write it as a file of its own in `folder`, which is made when need be."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (_NAMED.sub("-", exchange.title).strip("-") + ".txt")
    parts = [exchange.title, exchange.chart.rstrip()]
    if exchange.told:
        parts.append(f"The user is told, after {exchange.seconds:.1f} s:\n{exchange.told}")
    parts += [f"{whose}:\n{_once(said)}" for whose, said in exchange.logs if said]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def _once(log: str) -> str:
    """Each line where it came first, and how often it came.

    libvirt asks lldpad eight times a second.
    """
    first: dict[str, str] = {}
    times: Counter[str] = Counter()
    for line in log.splitlines():
        said = _STAMP.sub("", line)
        first.setdefault(said, line)
        times[said] += 1
    return "\n".join(
        f"{line} ×{times[said]}" if times[said] > 1 else line for said, line in first.items()
    )


def print_exchanges(
    exchanges: Iterable[Exchange], console: Console, folder: Path | None = None
) -> None:
    """The charts that are to be shown, who was told what, and where all of them lie."""
    page = Page(console, console.options.ascii_only)
    found = list(exchanges)
    for exchange in (x for x in found if x.shown):
        page.title(exchange.title)
        for line in exchange.chart.splitlines():
            page.line((line, ""))
    told = [x for x in found if x.told]
    if told:
        page.title("What the user of libvirt is told")
        for exchange in told:
            page.prose(f"{exchange.title}, after {exchange.seconds:.1f} s:")
            page.prose(exchange.told, style=FAINT, indent=4)
    if folder is not None:
        page.line()
        page.prose(f"{count(len(found), 'exchange')}, with libvirt's and lldpad's logs: {folder}")
