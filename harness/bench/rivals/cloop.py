"""The C loop: the yardstick for the frame engine, compiled once into the scratch folder."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from harness.bench.ends import End
from harness.bench.rivals.shared import SharedPath
from harness.bench.rivals.turns import Contestant, Cores, Load, Turn
from harness.bench.rivals.work import Progress, Sent, Stop
from harness.errors import CommandError, UnfitError
from harness.kernel.engine import Pool
from harness.kernel.processes import Process

__all__ = ["C_LOOP", "CLoop", "parse_yardstick"]

C_LOOP = "C loop"
_SOURCE = Path(__file__).with_name("yardstick.c")
_PROGRAM = "yardstick"
_COMPILES_WITHIN = 60.0
_LATE = 10.0  # seconds beyond its own that one may take


def parse_yardstick(said: str) -> Sent:
    """What the yardstick says in the end. Raises ValueError when it says something else."""
    ready, sent, received, nanoseconds = said.split()
    if ready != "ready":
        raise ValueError(f"the yardstick said {said!r}")
    return Sent(int(sent), int(nanoseconds) / 1e9, int(received))


class CLoop(Contestant):
    """write(2) and read(2) from tap to tap, in C, on the same frames as the engine."""

    def __init__(self, path: SharedPath, load: Load, cores: Cores) -> None:
        self.path = path
        self.load = load
        self.cores = cores
        self.name = f"{C_LOOP}, {cores}"
        self.figures = {self.name: load.delivered}

    def prepare(self) -> None:
        """Compile it, unless that has been done. Raises UnfitError without a compiler."""
        folder = self.path.scratch_path
        if Path(folder, _PROGRAM).exists():
            return
        compiler = self.path.family.spawn(
            self.path.namespace("a"),
            ["cc", "-O2", "-o", f"{folder}/{_PROGRAM}", str(_SOURCE)],
            descriptors=(self.path.scratch,),
            environment=os.environ | {"TMPDIR": folder},  # its own files go there too
        )
        try:
            compiler.wait(_COMPILES_WITHIN).checked()
        except CommandError as error:
            raise UnfitError(
                f"cc cannot compile the C loop ({error.said.splitlines()[0]})",
                remedy="apt install gcc libc6-dev",
            ) from error

    def turn(self, seconds: float) -> Turn:
        """See Contestant."""
        with ExitStack() as stack:
            a, b = stack.enter_context(self.path.taps(self.load.header))
            pool = self.load.pool(a.mac, b.mac)
            frames = _in_memory(pool)
            stack.callback(os.close, frames)
            take_turns = self._alternate if self.cores is Cores.ONE else self._side_by_side
            done = take_turns(stack, a, b, frames, seconds)
        return Turn.counted(
            self.load, sent=done.frames, received=done.received, seconds=done.seconds
        )

    def _side_by_side(self, stack: ExitStack, a: End, b: End, frames: int, seconds: float) -> Sent:
        load, pool = self.load, self.load.pool(a.mac, b.mac)
        progress = stack.enter_context(Progress())
        stop = stack.enter_context(Stop())
        receiver = self._start(stack, "b", "receive", (b.fd, progress.fd, stop.fd), pool.length)
        receiver.wait_until(lambda: receiver.stdout.startswith("ready"))
        sender = self._start(
            stack,
            "a",
            "send",
            (a.fd, progress.fd, frames),
            *(pool.length, pool.stride, pool.slots, load.batch, load.window, seconds),
        )
        sent = self._outcome(sender, seconds)
        stop.close()
        return replace(sent, received=self._outcome(receiver).received)

    def _alternate(self, stack: ExitStack, a: End, b: End, frames: int, seconds: float) -> Sent:
        pool = self.load.pool(a.mac, b.mac)
        layout = (pool.length, pool.stride, pool.slots)
        both = self._start(stack, "a", "both", (a.fd, b.fd, frames), *layout, seconds)
        return self._outcome(both, seconds)

    def _start(
        self,
        stack: ExitStack,
        station: str,
        verb: str,
        descriptors: tuple[int, ...],
        *numbers: float,
    ) -> Process:
        program = f"{self.path.scratch_path}/{_PROGRAM}"
        words = [program, verb, *map(str, descriptors), *map(str, numbers)]
        return stack.enter_context(self.path.spawn(station, words, descriptors=descriptors))

    def _outcome(self, process: Process, seconds: float = 0.0) -> Sent:
        return parse_yardstick(process.wait(seconds + _LATE).checked().stdout)


def _in_memory(pool: Pool) -> int:
    """Descriptor of a file in memory with the pool's frames, as they lie in it."""
    fd = os.memfd_create("frames", os.MFD_CLOEXEC)
    os.write(fd, pool.buffer)
    return fd
