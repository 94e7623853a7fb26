"""Times the EVB codec and scapy's layers on a captured request, in each dialect.

    .venv/bin/python benchmarks/vsi.py

Frames a second of one thread: the median of nine rounds, and the range they lie in.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from scapy.layers.l2 import Ether

from harness.vsi import layers
from harness.vsi.facts import EcpFrame
from harness.vsi.frames import read, write

DATA = Path(__file__).parents[1] / "tests/unit/vsi/data"


def request(dialect: str) -> bytes:
    """The first captured request that has an association."""
    for line in (DATA / f"{dialect}.frames").read_text().splitlines():
        octets = b"" if line.startswith("#") else bytes.fromhex(line.split()[2])
        found = read(octets)
        if isinstance(found, EcpFrame) and found.associations:
            return octets
    raise SystemExit(f"no request in {dialect}.frames")


def rates(work: Callable[[], object], *, times: int) -> list[float]:
    """How often a second, nine times over."""
    found = []
    for _ in range(9):
        started = time.perf_counter()
        for _ in range(times):
            work()
        found.append(times / (time.perf_counter() - started))
    return found


def main() -> None:
    """Print a line for each."""
    assert layers.__all__, "the layers are bound by importing them"
    for dialect in ("ratified", "draft"):
        octets = request(dialect)
        facts = read(octets)
        assert isinstance(facts, EcpFrame)
        for what, work, times in (
            ("codec reads", lambda octets=octets: read(octets), 2000),
            ("codec writes", lambda facts=facts: write(facts), 2000),
            ("scapy dissects", lambda octets=octets: Ether(octets), 100),
        ):
            found = rates(work, times=times)
            middle = statistics.median(found)
            print(f"{dialect:9} {what:15} {middle:9,.0f}/s  {min(found):,.0f}–{max(found):,.0f}")


if __name__ == "__main__":
    main()
