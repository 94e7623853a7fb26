"""Getting a path ready: what a sender may rely on, proved by frames that arrive.

A link that has been brought up sends nothing until linkwatch has seen its carrier, a switch
floods what it has not learned, and one queue is as good as full once probes lie in it. So probes
are sent, each unlike every other, until one has arrived; then the queues are emptied.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count

from harness.bench.ends import BROADCAST, End, EndKind, Path
from harness.bench.paths.making import address, source_addresses
from harness.bench.paths.spec import PathSpec
from harness.errors import KernelError
from harness.kernel.engine import FrameSpec
from harness.kernel.links import set_queue_length
from harness.kernel.linkstate import link_state
from harness.kernel.netns import NetNS
from harness.kernel.syscalls import current_cpu

__all__ = ["ready_path"]

_WITHIN = 5.0  # seconds; a carrier is up after a fraction of a millisecond
_ROUND = 0.002  # seconds until another probe is sent
_MARK_AT, _MARK = 44, 16  # in the frame, behind the headers
_LONGEST = 1 << 16
_AT_ONCE = 64  # frames that fit into every queue
# A link that is, or was, down; a queue or backlog without room.
_NOT_YET = (errno.ENETDOWN, errno.EAGAIN, errno.ENOBUFS, errno.EIO)
_marks = count(1)


def ready_path(
    undo: ExitStack,
    spec: PathSpec,
    ends: Sequence[End],
    namespaces: Mapping[str, NetNS],
    *,
    sources: Sequence[str] = (),
) -> Path:
    """The path between the first two of the ends; the rest hear what is broadcast.

    Frames of it arrive, both ways, and nothing lies in its queues. `sources` are in place of
    those that the spec asks for. Raises KernelError (ETIMEDOUT) when frames do not arrive.
    """
    a, b, *others = ends
    path = Path(
        name=spec.name,
        a=a,
        b=b,
        undo=undo,
        others=tuple(others),
        queue=_queue_length(b, spec),
        mtu=spec.mtu,
        sources=tuple(map(address, sources or source_addresses(spec.sources))),
        ip_only=spec.by_ip,
        namespaces=dict(namespaces),
    )
    _get_ready(path)
    return path


def _queue_length(end: End, spec: PathSpec) -> int:
    """How many frames the end's (first) queue holds, as Path says."""
    if end.socket is None:
        assert end.ns is not None
        return link_state(end.ns, end.link).txqueuelen
    room = end.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    longest = _LONGEST if spec.gso else spec.mtu
    return room // (2 * longest + 1024)  # skb->truesize is less, however the frame was made


def _get_ready(path: Path) -> None:
    with _on_one_cpu():
        if not path.ip_only:
            _reach(path, path.b, [path.a], [path.a.mac], [path.b.mac])
        sources = path.sources or (path.a.mac,)
        _reach(path, path.a, [path.b], [path.b.mac], sources)
        for first in range(0, len(path.sources), _AT_ONCE):
            for source in path.sources[first : first + _AT_ONCE]:
                _write(path.a, _frame(path, path.a, [path.b.mac], [source]))
            _reach(path, path.a, [path.b], [path.b.mac], sources)
        if path.others:
            # What was flooded before, or waits in the broadcast queue, comes before this.
            _reach(path, path.a, [path.b, *path.others], [BROADCAST], sources)
        for end in (path.a, path.b, *path.others):
            _drain(end)
    _begin_anew(path)


@contextmanager
def _on_one_cpu() -> Iterator[None]:
    """One backlog for everything that is sent: first in, first out."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {current_cpu()})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _reach(
    path: Path,
    sender: End,
    receivers: Sequence[End],
    targets: Sequence[bytes],
    sources: Sequence[bytes],
) -> None:
    """Send probes until the one sent last has arrived at every receiver."""
    give_up = time.monotonic() + _WITHIN
    missing = list(receivers)
    while missing:
        if time.monotonic() > give_up:
            links = ", ".join(end.link for end in missing)
            why = f"{sender.link} is not heard at {links} after {_WITHIN:g} s"
            raise KernelError(f"open the path {path.name}", errno.ETIMEDOUT, why)
        probe = _frame(path, sender, targets, sources)
        _write(sender, probe)
        mark = _mark(probe, sender.header)
        missing = [end for end in receivers if not _arrives(end, mark)]


def _frame(path: Path, sender: End, targets: Sequence[bytes], sources: Sequence[bytes]) -> bytes:
    frame = FrameSpec(
        targets=tuple(targets[:1]),
        sources=tuple(sources[:1]),
        header=bytes(sender.header),
        flows=int(path.ip_only),
    ).frame(0)
    at = sender.header + _MARK_AT
    return frame[:at] + next(_marks).to_bytes(_MARK, "big") + frame[at + _MARK :]


def _mark(frame: bytes, header: int) -> bytes:
    return frame[header + _MARK_AT : header + _MARK_AT + _MARK]


def _write(end: End, frame: bytes) -> None:
    try:
        os.write(end.fd, frame)
    except OSError as error:
        if error.errno not in _NOT_YET:
            raise


def _arrives(end: End, mark: bytes) -> bool:
    """Read until the probe with that mark is there, or too long is nothing; whether it is."""
    waiting = select.poll()
    for fd in end.descriptors:
        waiting.register(fd, select.POLLIN)
    while ready := waiting.poll(_ROUND * 1000):
        for fd, _ in ready:
            frame = _read(fd)
            if frame is not None and _mark(frame, end.header) == mark:
                return True
    return False


def _read(fd: int) -> bytes | None:
    try:
        return os.read(fd, _LONGEST)
    except OSError as error:
        if error.errno not in _NOT_YET:
            raise
        return b"" if error.errno == errno.ENETDOWN else None


def _drain(end: End) -> None:
    for fd in end.descriptors:
        while _read(fd) is not None:
            pass


def _begin_anew(path: Path) -> None:
    """Have taps' queues made anew: one that was read from gives places back late (ptr_ring)."""
    ns = path.b.ns
    if path.b.kind is not EndKind.TAP or ns is None:
        return
    names = [end.link for end in (path.b, *path.others)]
    indexes = ns.run(lambda: {name: socket.if_nametoindex(name) for name in names})
    # A length that is the same already changes nothing (dev_change_tx_queue_len).
    ns.rtnl.transact(
        set_queue_length(name, index=index, frames=frames)
        for frames in (path.queue + 1, path.queue)
        for name, index in indexes.items()
    )
