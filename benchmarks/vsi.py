"""Times the EVB codec and scapy's layers on a captured request, and a bridge with 1,000 VSIs.

    .venv/bin/python benchmarks/vsi.py

Frames a second of one thread: the median of nine rounds, and the range they lie in.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from scapy.layers.l2 import Ether

from harness.vsi import layers
from harness.vsi.bridge import Bridge
from harness.vsi.facts import Association, Command, Dialect, EcpFrame, FilterInfo, Vsi, manager_of
from harness.vsi.frames import read, write

VSIS = 1000
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


def round_of_keepalives() -> Callable[[], object]:
    """All of 1,000 VSIs kept alive once: each request read, acknowledged and answered."""
    bridge, clock = Bridge(), itertools.count()
    octets = [
        Association(
            Command.ASSOCIATE,
            Vsi(manager_of(11), 7, 2, number.to_bytes(16, "big")),
            (FilterInfo(0, number.to_bytes(6, "big")),),
        )
        for number in range(1, VSIS + 1)
    ]

    def work() -> None:
        for association in octets:
            number = next(clock)
            asked = EcpFrame(
                Dialect.RATIFIED,
                bytes(6),
                bytes(6),
                number % 0xFFFF + 1,
                associations=(association,),
            )
            for frame in bridge.receive(write(asked), number / 1000).frames:
                said = read(frame)
                if isinstance(said, EcpFrame) and not said.acknowledge:
                    ack = replace(said, acknowledge=True, associations=())
                    bridge.receive(write(ack), number / 1000)
        assert len(bridge.vsis) == VSIS

    return work


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
    found = [VSIS * rate for rate in rates(round_of_keepalives(), times=2)]
    middle = statistics.median(found)
    print(f"bridge    keeps alive     {middle:9,.0f}/s  {min(found):,.0f}–{max(found):,.0f}")


if __name__ == "__main__":
    main()
