"""What a benchmark run measures: quick or full, and what of it was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.bench import rivals, scale
from harness.bench.frames import GSO
from harness.bench.measurement import Test
from harness.bench.paths import PATHS, Carrier, PathSpec, Way
from harness.bench.rivals import Budget
from harness.bench.scale import ScaleBudget
from harness.errors import UsageError
from harness.parts import Mode

__all__ = ["FULL", "QUICK", "SIZES", "Entry", "Plan", "Selection", "fitted"]

SIZES = ("64", "128", "256", "512", "1024", "1280", "1518")
"""RFC 2544, 9.1: bytes of an Ethernet frame, check sequence included."""
JUMBO = "9018"
_AROUND = 18  # bytes: Ethernet header and check sequence
_LARGEST_MTU = 65_521  # bytes
_SHORTEST, _LONGEST = 64, _LARGEST_MTU + _AROUND  # bytes, check sequence included


@dataclass(frozen=True)
class Selection:
    """What of a plan is wanted; what is empty or None is as the plan has it.

    `rate` is the load of latency trials in frames per second.
    """

    tests: tuple[Test, ...] = ()
    paths: tuple[str, ...] = ()
    """Parts of their names."""
    frames: tuple[str, ...] = ()
    rounds: int | None = None
    rate: float | None = None
    guests: tuple[int, ...] = ()
    queues: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        *,
        tests: Sequence[str] = (),
        paths: Sequence[str] = (),
        frames: Sequence[str] = (),
        rounds: int | None = None,
        rate: float | None = None,
        guests: Sequence[int] = (),
        queues: Sequence[int] = (),
    ) -> Selection:
        """What somebody has asked for in words. Raises UsageError naming what is allowed."""
        known = [test.value for test in Test]
        for name in tests:
            if name not in known:
                raise UsageError(f"there is no test {name}; allowed: {', '.join(known)}")
        names = [spec.name for spec in PATHS]
        for part in paths:
            if not any(part.lower() in name.lower() for name in names):
                raise UsageError(f"no path has {part} in its name; there are: {'; '.join(names)}")
        for frame in frames:
            if frame.upper() != GSO and not (frame.isdigit() and _fits(int(frame))):
                raise UsageError(
                    f"frames of {frame} bytes; allowed: {_SHORTEST} to {_LONGEST:,}, or {GSO}"
                )
        return cls(
            tuple(map(Test, tests)),
            tuple(paths),
            tuple(dict.fromkeys(frame.upper() for frame in frames)),
            rounds,
            rate,
            tuple(dict.fromkeys(guests)),
            tuple(dict.fromkeys(queues)),
        )

    def wants(self, test: Test) -> bool:
        """Whether this test shall be made."""
        return not self.tests or test in self.tests

    def wants_path(self, name: str) -> bool:
        """Whether this path shall be measured."""
        return not self.paths or any(part.lower() in name.lower() for part in self.paths)


@dataclass(frozen=True)
class Entry:
    """One subject: a test on a path with frames of one size; `variant` where that is not all."""

    test: Test
    path: PathSpec
    frame: str
    variant: str = ""
    load: float = 0.0


@dataclass(frozen=True)
class Plan:
    """How much is measured. Seconds are of one sample, or one trial of a sample."""

    name: str
    paths: tuple[PathSpec, ...]
    """Unless others are selected."""
    rounds: int
    """Of forwarding: what two runs are compared by wants many."""
    loaded_every: int
    """Every how many rounds the tests are made that take longer."""
    frames: tuple[str, ...]
    """Of the paths in `thorough`; the others get those in `few`."""
    few: tuple[str, ...]
    thorough: tuple[str, ...]
    guests: tuple[int, ...]
    queues: tuple[int, ...]
    queue_lengths: tuple[int, ...]
    """Of the receiver (txqueuelen), for back-to-back frames."""
    loads: tuple[float, ...]
    """Of latency trials: shares of the throughput."""
    losses: tuple[float, ...]
    """Loads of the loss curve: shares of what the sender can send."""
    forwarding_seconds: float
    trial_seconds: float
    latency_seconds: float
    rivals: Budget
    scale: ScaleBudget
    selection: Selection = field(default=Selection())

    def only(self, selection: Selection) -> Plan:
        """The same, of what is selected."""
        return replace(self, selection=selection, rounds=selection.rounds or self.rounds)

    def entries(self) -> Iterator[Entry]:
        """Everything that is measured round by round, in order."""
        chosen = self.selection
        for spec in PATHS if chosen.paths else self.paths:
            if not chosen.wants_path(spec.name):
                continue
            thorough = spec.name in self.thorough
            frames = chosen.frames or (self.frames if thorough else self.few)
            for frame in frames:
                yield Entry(Test.FORWARDING, spec, frame)
            if thorough or chosen.paths:
                yield from self._loaded(spec, chosen.frames or self.few)
        yield from self._variants()

    def _loaded(self, spec: PathSpec, frames: tuple[str, ...]) -> Iterator[Entry]:
        """The tests that want a core each for sender and receiver."""
        for frame in frames:
            yield Entry(Test.THROUGHPUT, spec, frame)
            rate = self.selection.rate
            if rate:
                yield Entry(Test.LATENCY, spec, frame, f"{rate:,.0f} frames/s")
            else:
                for load in self.loads:
                    yield Entry(Test.LATENCY, spec, frame, f"{load:.0%} of throughput", load)
        yield Entry(Test.LOSS, spec, frames[0], "full load")
        lengths = self.queue_lengths if spec.tap_receives else (0,)
        for length in lengths:
            yield Entry(Test.BURST, replace(spec, queue=length), frames[0])

    def _variants(self) -> Iterator[Entry]:
        """More guests, more queues: on the first path, or on those asked for that can have them."""
        chosen = self.selection
        frame = (chosen.frames or self.frames)[0]
        wanted: list[tuple[dict[str, Any], str]] = [
            *(({"guests": n}, f"{n:,} guests") for n in chosen.guests or self.guests),
            *(({"queues": n}, f"{n} queues") for n in chosen.queues or self.queues),
        ]
        asked = chosen.guests or chosen.queues
        specs = [spec for spec in PATHS if chosen.wants_path(spec.name)]
        for change, variant in wanted:
            refused: UsageError | None = None
            possible = 0
            for spec in specs if asked else [spec for spec in specs if spec is PATHS[0]]:
                try:
                    more = replace(spec, **change)
                except UsageError as error:
                    refused = error
                else:
                    possible += 1
                    yield Entry(Test.FORWARDING, more, frame, variant)
            if refused and not possible:
                raise refused


def fitted(spec: PathSpec, frame: str) -> PathSpec:
    """The path with what frames of that size need: an MTU, offloads."""
    if frame == GSO:
        return replace(spec, gso=True, mtu=_LARGEST_MTU)
    return replace(spec, mtu=max(spec.mtu, int(frame) - _AROUND))


def _fits(length: int) -> bool:
    return _SHORTEST <= length <= _LONGEST


QUICK = Plan(
    name="quick",
    paths=(
        PathSpec(),
        PathSpec(mode=Mode.VEPA),
        PathSpec(way=Way.GUEST_TO_EXTERNAL),
        PathSpec(way=Way.EXTERNAL_TO_GUEST),
        PathSpec(way=Way.GUEST_TO_EXTERNAL, mode=Mode.PASSTHRU),
        PathSpec(carrier=Carrier.BRIDGE_TAP),
        PathSpec(carrier=Carrier.BRIDGE_VETH),
        PathSpec(carrier=Carrier.MACVLAN),
    ),
    rounds=15,
    loaded_every=5,
    frames=("64", "1518", GSO),
    few=("64",),
    thorough=(PATHS[0].name,),
    guests=(),
    queues=(),
    queue_lengths=(500,),
    loads=(0.5,),
    losses=(0.25, 0.5, 0.75, 1.0),
    forwarding_seconds=0.02,
    trial_seconds=0.025,
    latency_seconds=0.05,
    rivals=rivals.QUICK,
    scale=scale.QUICK,
)
"""Within 20 seconds."""

FULL = Plan(
    name="full",
    paths=PATHS,
    rounds=15,
    loaded_every=3,
    frames=(*SIZES, JUMBO, GSO),
    few=("64", "1518", GSO),
    thorough=tuple(PATHS[i].name for i in (0, 1, 4, 5)),
    guests=(10, 100, 1000),
    queues=(2, 4),
    queue_lengths=(100, 500, 1000),
    loads=(0.5, 0.9),
    losses=(0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    forwarding_seconds=0.06,
    trial_seconds=0.2,
    latency_seconds=0.5,
    rivals=rivals.FULL,
    scale=scale.FULL,
)
"""Within 15 minutes."""
