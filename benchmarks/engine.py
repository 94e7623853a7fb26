"""Times ways to send and to receive frames, and prints docs/performance.md's table of them.

    sudo .venv/bin/python benchmarks/engine.py

Guest to guest in bridge mode, on one core: a batch is sent, then it is received, so each is
timed by itself. All ways take turns. C is the same with write(2) and read(2); `C / way` above 1
means that the way is faster than C.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path as File

from harness.bench.ends import Path
from harness.bench.frames import GSO
from harness.bench.jobs import slots_for
from harness.bench.paths import PATHS, open_path
from harness.bench.plan import fitted
from harness.bench.trial import spec_for
from harness.kernel.engine import (
    BlockReceiver,
    Pool,
    ReadReceiver,
    RingSender,
    UringReceiver,
    UringSender,
    WriteSender,
)
from harness.kernel.packets import ETH_P_ALL, end_socket

BLOCKS, ROUNDS = 7, 40  # ways take turns in blocks of rounds, so that each runs with warm caches
SO_SNDBUFFORCE = 32  # which Python does not name

Send = Callable[[int], object]
Receive = Callable[[int], int]  # the argument: how many are expected


def main() -> None:
    """Measure, print."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"Linux {platform.release()}, Python {platform.python_version()}\n")
    print("| frames | way | ns per frame, median | quarter to quarter | C / way |")
    print("|---|---|---|---|---|")
    for frame in "64", "1518", GSO:
        with open_path(fitted(PATHS[0], frame)) as path:
            taps(path, frame)
    for frame in "64", "1518":
        with open_path(fitted(PATHS[0], frame)) as path:
            sockets(path, frame)


# ---------------------------------------------------------------------- the ways


def write_loop(fd: int, pool: Pool) -> Send:
    """What one writes first."""
    frames = [pool.frame(slot) for slot in range(pool.slots)]

    def send(count: int) -> None:
        for frame in frames[:count]:
            os.write(fd, frame)

    return send


def readv_loop(fd: int, length: int) -> Receive:
    """What one writes first: into a buffer that is kept."""
    buffers = [bytearray(length)]

    def receive(expected: int) -> int:
        got = 0
        try:
            while got < expected:
                os.readv(fd, buffers)
                got += 1
        except BlockingIOError:
            pass
        return got

    return receive


def sendmmsg(fd: int, pool: Pool) -> Send:
    """sendmmsg(2), which takes sockets only."""
    libc = ctypes.CDLL(None, use_errno=True)
    base = ctypes.addressof(ctypes.c_char.from_buffer(pool.buffer))
    vectors = bytearray(16 * pool.slots)
    messages = bytearray(64 * pool.slots)
    at = ctypes.addressof(ctypes.c_char.from_buffer(vectors))
    for slot in range(pool.slots):
        struct.pack_into("=QQ", vectors, 16 * slot, base + slot * pool.stride, pool.length)
        struct.pack_into("=QIxxxxQQ", messages, 64 * slot, 0, 0, at + 16 * slot, 1)
    place = (ctypes.c_char * len(messages)).from_buffer(messages)

    def send(count: int) -> None:
        if libc.sendmmsg(fd, place, count, 0) != count:
            raise OSError(ctypes.get_errno(), "sendmmsg")

    send.keep = (vectors, messages, pool)  # type: ignore[attr-defined]
    return send


# ---------------------------------------------------------------------- measuring


def taps(path: Path, frame: str) -> None:
    """Ways for tap descriptors."""
    spec = spec_for(path, frame)
    length = spec.size
    slots = slots_for(length)
    pool, at = Pool.of(spec, slots), spec.number_at
    fd, other = path.a.fd, path.b.fd
    with ExitStack() as undo:
        uring = undo.enter_context(UringReceiver(other, length, number_at=at))
        senders = {
            "write loop": write_loop(fd, pool),
            "write, looped in C by the interpreter": undo.enter_context(WriteSender(fd, pool)).send,
            "io_uring": undo.enter_context(UringSender(fd, pool)).send,
        }
        receivers = {
            "readv loop": readv_loop(other, length),
            "read, looped in C by the interpreter": undo.enter_context(
                ReadReceiver(other, length, number_at=at)
            ).receive,
            "io_uring": uring.receive,
            "io_uring, each into its own buffer": undo.enter_context(
                UringReceiver(other, length, number_at=at, stamped=True)
            ).receive,
        }
        program = undo.enter_context(yardstick())
        c = partial(in_c, program, path, pool)
        for name, ns, theirs in alternate(senders, receivers, uring.receive, slots, c):
            row(frame, name, ns, theirs)


def sockets(path: Path, frame: str) -> None:
    """Ways for packet sockets: on the link of a, and listening on the link of b."""
    spec = spec_for(path, frame)
    length, at = spec.size, spec.number_at
    pool = Pool.of(spec, 256)
    a, b = path.a, path.b
    assert a.ns
    assert b.ns
    with ExitStack() as undo:
        bypassing = undo.enter_context(end_socket(a.ns, a.link))
        ringed = undo.enter_context(end_socket(a.ns, a.link))
        queued = undo.enter_context(
            a.ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        )
        queued.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 25)
        queued.bind((a.link, 0))
        listening = undo.enter_context(
            b.ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        )
        drain = undo.enter_context(UringReceiver(b.fd, length, number_at=at)).receive
        senders = {
            "packet socket, write loop": write_loop(bypassing.fileno(), pool),
            "packet socket, sendmmsg": sendmmsg(bypassing.fileno(), pool),
            "packet socket, io_uring": undo.enter_context(
                UringSender(bypassing.fileno(), pool)
            ).send,
            "packet socket, io_uring, no PACKET_QDISC_BYPASS": undo.enter_context(
                UringSender(queued.fileno(), pool)
            ).send,
            "packet socket, TX ring": undo.enter_context(RingSender(ringed, pool)).send,
        }
        for name, ns, _ in alternate(senders, {}, drain, 256):
            row(frame, name, ns, [])
        ring = undo.enter_context(BlockReceiver(listening, length, number_at=at))
        listening.bind((b.link, ETH_P_ALL))
        row(frame, "receive: TPACKET_V3 ring, by block", by_block(ring, senders, drain), [])


def alternate(
    senders: dict[str, Send],
    receivers: dict[str, Receive],
    drain: Receive,
    batch: int,
    c: Callable[[], tuple[list[float], list[float]]] | None = None,
) -> Iterator[tuple[str, list[float], list[float]]]:
    """Each way with its nanoseconds per frame, and C's in the same blocks."""
    figures: dict[str, list[float]] = {}
    theirs: tuple[list[float], list[float]] = ([], [])
    usual = next(iter(senders.values()))

    def timed(name: str, work: Callable[[], object]) -> None:
        start = time.perf_counter_ns()
        work()
        figures.setdefault(name, []).append((time.perf_counter_ns() - start) / batch)

    def take(receive: Receive) -> None:
        got = 0
        while got < batch:
            got += receive(batch - got)

    for _ in range(BLOCKS):
        for name, send in senders.items():
            for _ in range(ROUNDS):
                timed(f"send: {name}", partial(send, batch))
                take(drain)
        for name, receive in receivers.items():
            for _ in range(ROUNDS):
                usual(batch)
                timed(f"receive: {name}", partial(take, receive))
        if c:
            for kept, more in zip(theirs, c(), strict=True):
                kept += more
    for name, ns in figures.items():
        yield name, ns, theirs[name.startswith("receive")]


def by_block(ring: BlockReceiver, senders: dict[str, Send], drain: Receive) -> list[float]:
    """Nanoseconds per frame of looking at full blocks; the kernel has done the rest before."""
    send = senders["packet socket, io_uring"]
    figures = []
    for _ in range(ROUNDS):
        got, spent = 0, 0
        for _ in range(8):
            send(256)
            while drain(256):
                pass
        while got < 8 * 256:
            start = time.perf_counter_ns()
            more = ring.receive()
            spent += time.perf_counter_ns() - start
            got += more
            if not more:
                ring.wait(0.1)
        figures.append(spent / got)
    return figures


@contextmanager
def yardstick() -> Iterator[File]:
    """The C program, compiled."""
    compiler = shutil.which("cc") or sys.exit("a C compiler is needed: apt install gcc")
    with tempfile.TemporaryDirectory() as folder:
        program = File(folder, "engine")
        source = File(__file__).with_name("engine.c")
        subprocess.run([compiler, "-O2", "-o", str(program), str(source)], check=True)
        yield program


def in_c(program: File, path: Path, pool: Pool) -> tuple[list[float], list[float]]:
    """Nanoseconds per frame of C's sending and receiving, one block."""
    done = subprocess.run(
        [str(program), *map(str, (path.a.fd, path.b.fd, pool.length, pool.slots, ROUNDS))],
        input=b"".join(pool.frame(slot) for slot in range(pool.slots)),
        pass_fds=(path.a.fd, path.b.fd),
        capture_output=True,
        check=True,
    )
    lines = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    sending, receiving = zip(*lines, strict=True)
    return list(sending), list(receiving)


def row(frame: str, name: str, ns: list[float], c: list[float]) -> None:
    """One line of the table."""
    low, middle, high = statistics.quantiles(ns, n=4)
    ratio = f"{statistics.median(c) / middle:.2f}" if c else ""
    print(f"| {frame} | {name} | {middle:,.0f} | {low:,.0f} – {high:,.0f} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
