"""All contestants in turn, round by round: A B C D A B C D …, and what that gives.

A machine that is slow for a while is so for all of a round, and a ratio is taken within one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median

from harness.bench.crew import Crew
from harness.bench.measurement import Limit, Measurement, Test
from harness.bench.rivals.captures import (
    BLOCKS_FROM_TRAFGEN,
    NETSNIFF,
    TCPDUMP,
    TRAFGEN,
    BlockCapture,
    NetsniffCapture,
    TcpdumpCapture,
)
from harness.bench.rivals.cloop import C_LOOP, CLoop
from harness.bench.rivals.engine import (
    ENGINE,
    ENGINE_BLOCKS,
    ENGINE_SOCKET,
    PacketEngine,
    TapEngine,
)
from harness.bench.rivals.scapys import SCAPY_SEND, SCAPY_SNIFF, ScapySend, ScapySniff
from harness.bench.rivals.shared import SharedPath
from harness.bench.rivals.streams import (
    IPERF_TCP,
    IPERF_UDP,
    NETPERF,
    IperfTcp,
    IperfUdp,
    NetperfTcp,
)
from harness.bench.rivals.turns import Contestant, Cores, Figure, Load, Turn
from harness.errors import CommandError, KernelError, UnfitError
from harness.resource import Resource

__all__ = ["FULL", "PATH", "QUICK", "Budget", "Rivals"]

PATH = "guest → guest, bridge"

_ON_SOCKETS: tuple[Callable[[SharedPath, Load], Contestant], ...] = (
    PacketEngine,
    ScapySend,
    ScapySniff,
    BlockCapture,
    NetsniffCapture,
    TcpdumpCapture,
)

_QUICK_ON_SOCKETS = _ON_SOCKETS[:-1]


@dataclass(frozen=True)
class Budget:
    """How long: seconds of a turn, how many rounds, and whether everything takes part."""

    seconds: float
    rounds: int
    whole: bool


_LOST = 0.01  # of the frames: more, and it is no accident
_SLOWER = 0.75  # times the engine's figure

QUICK = Budget(seconds=0.05, rounds=5, whole=False)
FULL = Budget(seconds=0.5, rounds=7, whole=True)

# A rival to that part of the engine which does the same; compared in the frames that both have.
_AGAINST = {
    **{f"{C_LOOP}, {cores}": f"{ENGINE}, {cores}" for cores in Cores},
    TRAFGEN: ENGINE_SOCKET,
    NETSNIFF: BLOCKS_FROM_TRAFGEN,
    TCPDUMP: BLOCKS_FROM_TRAFGEN,
    SCAPY_SEND: ENGINE_SOCKET,
    SCAPY_SNIFF: ENGINE_BLOCKS,
    IPERF_TCP: f"{ENGINE}, {Cores.TWO}",
    IPERF_UDP: f"{ENGINE}, {Cores.TWO}",
    NETPERF: f"{ENGINE}, {Cores.TWO}",
}


def contestants(path: SharedPath, *, whole: bool) -> list[Contestant]:
    """Who takes part, those that are compared side by side.

    Unless the `whole` is wanted: everybody, but not in every frame size, and from tap to tap on
    one core only, where figures are steadiest.
    """
    found: list[Contestant] = []
    for load in Load:
        for cores in Cores if whole else (Cores.ONE,):
            found += [TapEngine(path, load, cores), CLoop(path, load, cores)]
        if load is Load.GSO:
            if not whole:
                found += [TapEngine(path, load, Cores.TWO)]  # as those who follow
            found += [IperfTcp(path, load), NetperfTcp(path, load)]
        elif whole or load is Load.SMALL:
            if load is Load.FULL:
                found += [IperfUdp(path, load)]
            found += [kind(path, load) for kind in (_ON_SOCKETS if whole else _QUICK_ON_SOCKETS)]
    return found


@dataclass
class _Score:
    """What one contestant has done so far."""

    contestant: Contestant
    turns: list[Turn] = field(default_factory=list)
    out: bool = False

    def play(self, seconds: float) -> None:
        """Have another turn. Raises as a turn does."""
        self.turns.append(self.contestant.turn(seconds))

    def measurements(self) -> Iterator[Measurement]:
        """One for each of its figures, if it ever had a turn."""
        if not self.turns:
            return
        for variant, figure in self.contestant.figures.items():
            yield Measurement(
                test=Test.RIVAL,
                path=PATH,
                frame=self.contestant.load.value,
                unit=figure.unit,
                samples=tuple(turn.figure(figure) for turn in self.turns),
                variant=variant,
                limited_by=_loser(self.turns, figure),
                beside=_AGAINST.get(variant, ""),
                note=_note(self.turns),
            )


def _loser(turns: Sequence[Turn], figure: Figure) -> Limit | None:
    """The receiver, of what is received, if frames were lost as a rule."""
    lost = figure is Figure.RECEIVED and median(turn.lost for turn in turns) > _LOST
    return Limit.RECEIVER if lost else None


def _limit(measured: Measurement, engine: float) -> Limit:
    """Who is slower than the engine on the same path is held up by itself, not by the path."""
    return Limit.SENDER if measured.value < _SLOWER * engine else Limit.KERNEL


def _note(turns: Sequence[Turn]) -> str:
    """What a median turn sent and lost, where that is more than its figure says already."""
    said = []
    lost = median(turn.lost for turn in turns)
    worst = max(turn.lost for turn in turns)
    if worst:
        said.append(f"{lost:.2%} lost, {worst:.2%} at worst")
    said += [note for note in (turns[-1].note,) if note]
    return "; ".join(said)


class Rivals(Resource):
    """A comparison. Use it in a `with` statement; what has been measured can be had at any time.

    `missing` says of whoever cannot take part, or no longer, why. Raises KernelError when there
    is no path to compare them on.
    """

    def __init__(
        self, budget: Budget, crew: Crew, *, missing: MutableMapping[str, str] | None = None
    ) -> None:
        self.budget = budget
        self.missing = {} if missing is None else missing
        self._scores: list[_Score] = []
        with ExitStack() as undo:
            path = undo.enter_context(SharedPath(crew))
            for contestant in contestants(path, whole=budget.whole):
                undo.enter_context(contestant)
                score = _Score(contestant)
                self._scores.append(score)
                self._attempt(score, contestant.prepare)
            self._undo = undo.pop_all()

    def _attempt(self, score: _Score, work: Callable[[], object]) -> None:
        """Do `work`; if it fails, its contestant is out."""
        try:
            work()
        except (CommandError, KernelError, UnfitError) as error:
            score.out = True
            name = next(iter(score.contestant.figures))
            self.missing[name] = " ".join(str(error).split())

    def play(self) -> Iterator[tuple[int, Contestant, Turn]]:
        """Play every turn of every round; each is told once it is over, its round first, from 1."""
        for number in range(1, self.budget.rounds + 1):
            for score in self._scores:
                if score.out:
                    continue
                self._attempt(score, partial(score.play, self.budget.seconds))
                if not score.out:
                    yield number, score.contestant, score.turns[-1]

    @property
    def contestants(self) -> int:
        """How many there are."""
        return sum(not score.out for score in self._scores)

    def measurements(self) -> tuple[Measurement, ...]:
        """What has been measured so far."""
        found = [x for score in self._scores for x in score.measurements()]
        values = {(x.frame, x.variant): x.value for x in found}
        return tuple(
            replace(x, limited_by=_limit(x, values.get((x.frame, x.beside), 0.0)))
            if x.limited_by is None
            else x
            for x in found
        )

    def close(self) -> None:
        """End every contestant and take the path down; idempotent."""
        self._undo.close()
