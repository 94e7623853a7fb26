"""A benchmark run with a measurement of every test, as a shared machine gives it."""

import io
import math
from random import Random

import pytest
from rich.console import Console

from harness.bench.measurement import Better, Cost, Limit, Measurement, Run, Test

PATHS = {
    "macvtap bridge, direct": 520e3,
    "macvtap vepa, hairpin": 310e3,
    "macvtap bridge → external": 430e3,
    "bridge + tap": 260e3,
}
FRAMES = {"64": 1.0, "512": 0.97, "1518": 0.9, "GSO": 0.21}
ENGINE = "engine"
RIVALS = {ENGINE: 1.0, "C loop": 1.01, "trafgen": 0.62, "iperf3": 0.31, "scapy": 0.011}
NUMBERS = (1, 10, 100, 1000)
ROUNDS = 7


class Machine:
    """Draws samples of a speed, and the references next to them; `noise` is each one's own."""

    def __init__(self, seed=1, *, noise=0.05, drift=0.2):
        self.random = Random(seed)
        self.noise = noise
        self.drift = drift

    def samples(self, value, *, rounds=ROUNDS, slower=1.0):
        """``(samples, references)`` around `value`, a rate."""
        pace = [math.exp(self.random.gauss(0, self.drift)) for _ in range(rounds)]
        own = [math.exp(self.random.gauss(0, self.noise)) for _ in range(rounds)]
        samples = tuple(value * slower * p * o for p, o in zip(pace, own, strict=True))
        return samples, tuple(1.1e6 * p for p in pace)

    def times(self, value, *, rounds=ROUNDS):
        """``(samples, references)`` around `value`, a time."""
        rates, references = self.samples(1 / value, rounds=rounds)
        return tuple(1 / x for x in rates), references


def forwarding(machine, slower):
    for path, rate in PATHS.items():
        for frame, share in FRAMES.items():
            samples, references = machine.samples(rate * share, slower=slower.get(path, 1.0))
            yield Measurement(
                Test.FORWARDING,
                path,
                frame,
                "frames/s",
                samples,
                references=references,
                limited_by=Limit.KERNEL,
                cost=Cost(85.0, 1e9 / samples[0] - 85, 5400 if frame == "64" else None),
            )


def throughput(machine, slower):
    for path, rate in list(PATHS.items())[:2]:
        samples, references = machine.samples(rate * 1.4, slower=slower.get(path, 1.0))
        yield Measurement(
            Test.THROUGHPUT,
            path,
            "64",
            "frames/s",
            samples,
            references=references,
            limited_by=Limit.RECEIVER,
            note="resolution 1 %",
        )


def latency(machine):
    tail = (
        (0, 5),
        (50, 9.1),
        (75, 11),
        (90, 14.2),
        (99, 41),
        (99.9, 210),
        (99.99, 900),
        (100, 2400),
    )
    for i, path in enumerate(PATHS):
        samples, references = machine.times(9.1e-6 * (1 + i / 4))
        yield Measurement(
            Test.LATENCY,
            path,
            "64",
            "s",
            samples,
            better=Better.LOWER,
            references=references,
            limited_by=Limit.KERNEL,
            curve=tuple((x, y * (1 + i / 4)) for x, y in tail),
        )


def losses(machine):
    for path, rate in PATHS.items():
        offered = [rate * 1.4 * (0.5 + i / 10) for i in range(12)]
        yield Measurement(
            Test.LOSS,
            path,
            "64",
            "share",
            (0.0, 0.001, 0.002, 0.0, 0.001),
            better=Better.LOWER,
            limited_by=Limit.QUEUE,
            curve=tuple((x, max(0.0, 1 - rate * 1.4 / x)) for x in offered),
        )


def bursts(machine):
    for path in list(PATHS)[:2]:
        yield Measurement(
            Test.BURST, path, "64", "frames", (500.0,) * ROUNDS, limited_by=Limit.QUEUE
        )


def by_number(machine):
    for test, what in ((Test.ADDRESSES, "addresses"), (Test.FAN_OUT, "guests")):
        for path, rate in list(PATHS.items())[:2]:
            for n in NUMBERS:
                value = rate / (1 + n / 400)
                samples, references = machine.samples(value)
                yield Measurement(
                    test, path, "64", "frames/s", samples, references=references,
                    curve=((float(n), value),), limited_by=Limit.KERNEL, variant=f"{n:,} {what}",
                )  # fmt: skip
    for path, each in (("guests up", 0.9), ("guests up, ip -batch", 1.0), ("removed", 0.4)):
        for n in NUMBERS:
            value = each * (1 + 3 / n)
            samples, references = machine.times(value)
            yield Measurement(
                Test.SCALE, path, "", "ms/guest", samples, variant=f"{n:,} guests",
                better=Better.LOWER, references=references, curve=((float(n), value),),
            )  # fmt: skip
    yield Measurement(
        Test.SCALE, "kernel memory", "", "KiB/guest", (65.1,), variant="1,000 guests",
        better=Better.LOWER, curve=((1000.0, 65.1),),
    )  # fmt: skip


def rivals(machine):
    for frame in ("64", "1518"):
        pace = [math.exp(machine.random.gauss(0, machine.drift)) for _ in range(5)]
        for name, share in RIVALS.items():
            samples = tuple(
                480e3 * share * p * math.exp(machine.random.gauss(0, machine.noise)) for p in pace
            )
            yield Measurement(
                Test.RIVAL,
                "macvtap bridge, direct",
                frame,
                "frames/s",
                samples,
                variant=name,
                beside="" if name == ENGINE else ENGINE,
            )


def noisy():
    samples = (1e5, 4e5, 2e5, 6e5, 1.5e5, 5e5, 3e5)
    return Measurement(
        Test.FORWARDING, "veth + bridge", "64", "frames/s", samples, references=(1.1e6,) * ROUNDS
    )


def make_run(seed=1, *, slower=None, noise=0.05, drift=0.2, **more):
    """A run; `slower` maps paths to the share of their speed that is left."""
    machine = Machine(seed, noise=noise, drift=drift)
    measurements = (
        *forwarding(machine, slower or {}),
        noisy(),
        *throughput(machine, slower or {}),
        *latency(machine),
        *losses(machine),
        *bursts(machine),
        *by_number(machine),
        *rivals(machine),
    )
    given = {
        "kernel": "6.18.44",
        "machine": "x86_64",
        "date": "2026-01-02T03:04:05Z",
        "command": "hairpin bench --quick",
        "engine": "io_uring",
        "cpus": 2,
        "seconds": 18.3,
        "measurements": measurements,
        "missing": {"ipvlan": "this kernel has no ipvlan", "vhost-net": "no /dev/vhost-net"},
    }
    return Run(**given | more)


@pytest.fixture(name="make_run", scope="session")
def run_maker():
    """``make_run(seed, slower={path: share}, …)``."""
    return make_run


@pytest.fixture
def printed():
    """``printed(function, thing, width=…)``: what it prints where there is no terminal."""

    def text(function, thing, *, width=120, **console):
        file = io.StringIO()
        function(thing, Console(file=file, width=width, highlight=False, **console))
        return file.getvalue()

    return text
