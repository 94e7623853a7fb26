"""What passed the switch, as a file for Wireshark: one interface for each port."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.pcapng import Captured, Interface, pcapng
from harness.vsi.live.trace import Passed

__all__ = ["capture_of"]


def capture_of(ports: Sequence[str], frames: Iterable[Passed], *, started: float) -> bytes:
    """The whole file. `started` is when the clock of `frames` was 0, in seconds of the epoch."""
    numbers = {port: number for number, port in enumerate(ports)}
    return pcapng(
        [Interface(port) for port in ports],
        [captured(passed, numbers[passed.port], started=started) for passed in frames],
        application="hairpin",
    )


def captured(passed: Passed, interface: int, *, started: float) -> Captured:
    """A frame as it stands in such a file."""
    comment = "" if passed.fate == "control" else passed.fate
    moment = int((started + passed.at) * 1e9)
    return Captured(interface, moment, passed.octets, comment, outbound=passed.outgoing)
