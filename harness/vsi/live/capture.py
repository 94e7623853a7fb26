"""What passed the switch, as a file for Wireshark: one interface for each port."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.errors import KernelError, UsageError
from harness.pcapng import Captured, Interface, packet_block, pcapng
from harness.resource import Resource
from harness.vsi.frames import read
from harness.vsi.live.trace import Passed
from harness.vsi.words import frame_words

__all__ = ["CaptureFile", "capture_of"]


def capture_of(ports: Sequence[str], frames: Iterable[Passed], *, started: float) -> bytes:
    """The whole file. `started` is when the clock of `frames` was 0, in seconds of the epoch."""
    numbers = {port: number for number, port in enumerate(ports)}
    return pcapng(
        [Interface(port) for port in ports],
        [_captured(passed, numbers[passed.port], started) for passed in frames],
        application="hairpin",
    )


class CaptureFile(Resource):
    """The file `path`, to which frames are added as they pass. Raises UsageError.

    `started` is as in `capture_of`; None: what is added first passes now.
    """

    def __init__(self, path: Path, ports: Sequence[str], *, started: float | None = None) -> None:
        self.path = path
        self._started = started
        self._numbers = {port: number for number, port in enumerate(ports)}
        try:
            self._file = path.open("wb")
            self._file.write(capture_of(ports, (), started=0.0))
            self._file.flush()
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from error

    def add(self, passed: Passed) -> None:
        """Another frame. Raises KernelError, as do `flush` and `close`: no room."""
        if self._started is None:
            self._started = time.time() - passed.at
        number = self._numbers[passed.port]
        with self._told():
            self._file.write(packet_block(_captured(passed, number, self._started)))

    def flush(self) -> None:
        """Have the file contain all that was added."""
        with self._told():
            self._file.flush()

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._told():
            self._file.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise KernelError(f"write {self.path}", error.errno or 0) from error


def _captured(passed: Passed, interface: int, started: float) -> Captured:
    found = read(passed.octets) if passed.fate == "control" else None
    comment = passed.fate if found is None else frame_words(found)
    moment = int((started + passed.at) * 1e9)
    return Captured(interface, moment, passed.octets, comment, outbound=passed.outgoing)
