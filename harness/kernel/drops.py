"""Where the kernel threw a frame away, and why: the tracepoint skb:kfree_skb.

tracefs says what the tracepoint looks like; its hits come through perf_event_open(2), which
belongs to a descriptor and goes with it. An instance of one's own in tracefs would do as well,
but has a name that outlives a killed process.

Only the calling thread's CPU is listened to. Sender, softirq and broadcast queue of a testbed
share it, and what other CPUs drop is somebody else's. On this one, what other processes send is
dropped on their own time: softirqs run in whoever raised them, or in a kernel thread.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import struct
import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.errors import KernelError
from harness.kernel.syscalls import current_cpu, detached_mount, open_tracepoint
from harness.resource import Resource

__all__ = ["Drop", "DropTrace"]

_EVENT = "events/skb/kfree_skb"
_PAGES = 64  # of records: some thousand drops between two readings

# struct perf_event_mmap_page, and struct perf_event_header: type, misc, size of the record.
_HEAD_TAIL = struct.Struct("=QQ")
_HEAD_AT = 1024
_TAIL_AT = _HEAD_AT + 8
_RECORD = struct.Struct("=IHH")
_RECORD_SAMPLE = 9
_WHO = struct.Struct("=II")  # process and thread, 0 where they are of no namespace of ours
_RAW_AT = _RECORD.size + _WHO.size + 4  # behind the raw record's own size

_FIELD = re.compile(r"field:.*?(\w+);\s*offset:(\d+);\s*size:(\d+);")
_REASON = re.compile(r'\{ (\w+), "(\w+)" \}')
_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True)
class Drop:
    """One place where frames were thrown away.

    `reason` is the kernel's SKB_DROP_REASON without that prefix, empty before Linux 5.17;
    `location` the function that let go of the frame, empty where symbols are kept secret.
    """

    reason: str
    location: str

    def __str__(self) -> str:
        where = f"in {self.location}" if self.location else "in a function that is kept secret"
        return f"{self.reason} {where}" if self.reason else where


@dataclass(frozen=True)
class _Format:
    """The tracepoint's number, its fields (offset and struct code) and the reasons' names."""

    number: int
    fields: dict[str, tuple[int, str]]
    reasons: dict[int, str]

    def field(self, record: bytes, name: str) -> int:
        """That field of a raw record; 0 where this kernel has no such field."""
        if name not in self.fields:
            return 0
        offset, code = self.fields[name]
        (value,) = struct.unpack_from(f"={code}", record, offset)
        return int(value)


def _parse_format(number: int, text: str) -> _Format:
    """From events/…/format: fields by name, and what __print_symbolic calls each reason."""
    fields = {
        name: (int(offset), _UNSIGNED[int(size)])
        for name, offset, size in _FIELD.findall(text)
        if int(size) in _UNSIGNED
    }
    reasons = {int(n): name for n, name in _REASON.findall(text) if n.isdigit()}
    return _Format(number, fields, reasons)


@cache
def _format() -> _Format:
    """Raises OSError."""
    root = detached_mount("tracefs")
    try:
        return _parse_format(int(_read(root, f"{_EVENT}/id")), _read(root, f"{_EVENT}/format"))
    finally:
        os.close(root)


def _read(root: int, path: str) -> str:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=root)) as file:
        return file.read()


@cache
def _symbols() -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Addresses of the kernel's functions, ascending, and their names; empty where secret."""
    try:
        lines = Path("/proc/kallsyms").read_bytes().splitlines()
    except OSError:
        return (), ()
    # address, type, name and perhaps [module]
    found = [(int(address, 16), name.decode()) for address, _, name, *_ in map(bytes.split, lines)]
    found = sorted(pair for pair in found if pair[0])
    return tuple(address for address, _ in found), tuple(name for _, name in found)


def _function(address: int) -> str:
    """Name of the function that `address` lies in, without what the compiler put behind it."""
    addresses, names = _symbols()
    at = bisect_right(addresses, address)
    return names[at - 1].partition(".")[0] if at else ""


class DropTrace(Resource):
    """Drops on the calling thread's CPU, by it or the kernel's own threads, from now on.

    Use it in a `with` statement.

    Raises KernelError where that is not allowed (it takes root) or the kernel has no such
    tracepoint.
    """

    def __init__(self) -> None:
        with ExitStack() as undo:
            try:
                self._format = _format()
                self._fd = open_tracepoint(self._format.number, cpu=current_cpu())
                undo.callback(os.close, self._fd)
                size = (1 + _PAGES) * mmap.PAGESIZE
                self._map = mmap.mmap(self._fd, size)
            except OSError as error:
                raise KernelError("trace drops", error.errno or 0, _advice(error)) from error
            undo.pop_all()

    def take(self, protocols: Collection[int]) -> Counter[Drop]:
        """Drops since the last time, of frames whose skb->protocol is one of `protocols`."""
        found: Counter[Drop] = Counter()
        for record in self._records():
            if self._format.field(record, "protocol") in protocols:
                number = self._format.field(record, "reason")
                reason = self._format.reasons.get(number, f"reason {number}" if number else "")
                found[Drop(reason, _function(self._format.field(record, "location")))] += 1
        return found

    def _records(self) -> Iterator[bytes]:
        """Our raw records that have not been read, oldest first; all room is given back."""
        size = _PAGES * mmap.PAGESIZE
        head, tail = _HEAD_TAIL.unpack_from(self._map, _HEAD_AT)
        # The ring twice in a row, so that no record is torn where it begins anew.
        ring = self._map[mmap.PAGESIZE :] * 2
        while tail < head:
            at = tail % size
            kind, _, length = _RECORD.unpack_from(ring, at)
            if kind == _RECORD_SAMPLE and _ours(*_WHO.unpack_from(ring, at + _RECORD.size)):
                yield ring[at + _RAW_AT : at + length]
            tail += length
        struct.pack_into("=Q", self._map, _TAIL_AT, head)

    def close(self) -> None:
        """Stop; idempotent."""
        if self._fd >= 0:
            self._map.close()
            os.close(self._fd)
        self._fd = -1


def _ours(process: int, thread: int) -> bool:
    """Whether that thread may have worked on our frames: ourselves, or the kernel."""
    if thread in (0, threading.get_native_id()):
        return True
    try:
        # Of the kernel's own threads alone this is empty (ksoftirqd, kworker).
        return not Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def _advice(error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.EACCES):
        return "that takes root"
    if error.errno in (errno.ENODEV, errno.ENOENT):
        return "this kernel has no tracepoint skb:kfree_skb"
    return error.strerror or ""
