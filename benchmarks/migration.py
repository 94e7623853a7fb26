"""Times live migration and counts what is lost on the way; prints docs/migration.md's table.

    sudo .venv/bin/python benchmarks/migration.py [--rounds N] [--only WORD]

Each line is a guest of its own that goes to and fro between two hosts. An external host asks it
for an echo every 10 ms. What led the switch back to the old host is told frame by frame.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections import Counter
from dataclasses import dataclass

from harness.errors import GuestError, HairpinError
from harness.guests.migration.move import Migration, Order, Variant, migrate
from harness.guests.migration.pair import HostPair
from harness.guests.tiny.image import image
from harness.parts import Mode

MODES = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)
ANNOUNCED = 0.7  # seconds after which QEMU has announced the guest for the last time
OLD = 10.0  # seconds after which a link has configured itself


@dataclass(frozen=True)
class Line:
    """A line of the table. `age` is for how long the guest stays before it moves on."""

    mode: Mode
    variant: Variant = Variant.CLIENT
    ipv6: bool = False
    age: float = 0.0

    def __str__(self) -> str:
        ipv6 = "off" if not self.ipv6 else "on, old link" if self.age else "on, young link"
        return f"| {self.mode} | {ipv6} | {self.variant} "


LINES = [
    *(Line(mode) for mode in MODES),
    *(Line(mode, ipv6=True) for mode in MODES),
    *(Line(mode, ipv6=True, age=OLD) for mode in MODES),
    *(Line(Mode.VEPA, variant) for variant in Variant if variant is not Variant.CLIENT),
]


def measured(line: Line, *, rounds: int) -> list[Migration]:
    """So many migrations of one guest."""
    found = []
    with HostPair(image(), ipv6=line.ipv6) as pair:
        guest = pair.start("roamer", line.mode)
        for _ in range(rounds):
            time.sleep(line.age)  # what is measured depends on it
            moved = migrate(pair, guest, Order(variant=line.variant), settle=ANNOUNCED)
            if problems := moved.guest.unlike():
                raise GuestError(guest.name, "migrate", "; ".join(problems))
            found.append(moved)
            guest = moved.guest
    return found


def span(figures: list[float], digits: int) -> str:
    """Least, median and most."""
    three = min(figures), statistics.median(figures), max(figures)
    return "–".join(f"{x:.{digits}f}" for x in three)


def row(line: Line, found: list[Migration]) -> str:
    """One line of the table."""
    seen = [x.delivery for x in found]
    led = [x.pulled_back for x in found]
    frames = Counter(move.frame for moves in led for move in moves)
    why = ", ".join(f"{count} × {frame}" for frame, count in frames.items())
    back = f"{sum(map(bool, led))} of {len(found)}" + (f" ({why})" if why else "")
    cells = [
        span([x.seconds for x in found], 2),
        span([x.lost for x in seen], 0),
        span([x.longest_gap for x in seen], 2),
        span([x.rarps for x in seen], 0),
        span([x.gratuitous_arps for x in seen], 0),
        back,
    ]
    odd = sum(x.duplicates + x.reordered for x in seen)
    return f"{line}| " + " | ".join(cells) + (f" | {odd} doubled or out of order |" * bool(odd))


def main() -> None:
    """Measure line by line, print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--only", default="", help="lines that contain this")
    arguments = parser.parse_args()
    release = platform.release()
    print(f"Linux {release}, {os.cpu_count()} CPUs, TCG, {arguments.rounds} rounds a line\n")
    print("| mode | IPv6 in the hosts | way | seconds | lost | longest gap, s | RARP ", end="")
    print("| gratuitous ARP | led back |\n|---|---|---|---|---|---|---|---|---|")
    loads, late = [], 0.0
    for line in LINES:
        if arguments.only not in str(line):
            continue
        try:
            found = measured(line, rounds=arguments.rounds)
        except HairpinError as error:
            print(f"{line}| {error}", flush=True)
            continue
        loads.append(os.getloadavg()[0])
        late = max(late, *(x.delivery.late for x in found))
        print(f"{row(line, found)} |", flush=True)
    if loads:
        print(f"\nLoad average {span(loads, 1)}; the sender was {late * 1e3:.0f} ms late at worst.")


if __name__ == "__main__":
    main()
