"""Searches of RFC 2544 against a device whose limits are known."""

from types import SimpleNamespace

import pytest

from harness.bench import rfc2544
from harness.bench.measurement import Limit
from harness.bench.rfc2544 import BURST_CAP, longest_burst, loss_curve, throughput

SENDER = 1_000_000.0  # frames per second, when nothing holds it back


class Device:
    """Carries `capacity` frames per second, holds `queue`; `hiccups` trials lose one frame more."""

    def __init__(self, *, capacity=SENDER, queue=500, hiccups=()):
        self.capacity = capacity
        self.queue = queue
        self.hiccups = set(hiccups)
        self.trials = 0

    def run_trial(self, crew, path, spec, *, rate=0.0, frames=0, seconds=0.0):
        sent_rate = min(rate or SENDER, SENDER)
        sent = frames or round(sent_rate * seconds)
        passed = self.queue + sent * min(1.0, self.capacity / sent_rate)
        lost = max(0, sent - round(passed)) + (self.trials in self.hiccups)
        self.trials += 1
        return SimpleNamespace(
            offered=rate,
            sent=SimpleNamespace(rate=sent_rate, frames=sent),
            lost=lost,
            loss=lost / sent,
            kept_up=not rate or sent_rate >= 0.98 * rate,
            limited_by=Limit.QUEUE if lost else Limit.KERNEL,
        )


@pytest.fixture
def device(monkeypatch):
    def make(**limits):
        device = Device(**limits)
        monkeypatch.setattr(rfc2544, "run_trial", device.run_trial)
        return device

    return make


PATH = SimpleNamespace(queue=500)


@pytest.mark.parametrize("capacity", [50_000, 333_000, 777_777, 990_000])
def test_throughput(device, capacity):
    """Within the resolution, from below."""
    device(capacity=capacity, queue=0)
    found = throughput(None, PATH, None, seconds=1, resolution=0.01)
    assert capacity - 0.01 * SENDER <= found.value <= capacity
    assert found.limited_by is Limit.QUEUE


def test_throughput_of_the_sender(device):
    """When nothing is lost at the sender's own rate there is nothing to search for."""
    there = device()
    found = throughput(None, PATH, None, seconds=1, resolution=0.01)
    assert (found.value, found.limited_by, there.trials) == (SENDER, Limit.KERNEL, 1)


def test_one_hiccup_is_forgiven(device):
    """A trial that loses something is made again; three in a row are believed."""
    device(hiccups={0, 1})
    assert throughput(None, PATH, None, seconds=1, resolution=0.01).value == SENDER
    device(hiccups=range(1000), queue=0)
    assert throughput(None, PATH, None, seconds=1, resolution=0.01).value < 0.02 * SENDER


def test_loss_curve(device):
    """Share lost of what was offered, load by load."""
    device(capacity=500_000, queue=0)
    curve = loss_curve(None, PATH, None, loads=(0.25, 0.5, 1.0), seconds=1)
    assert curve == ((250_000, 0), (500_000, 0), (1_000_000, 0.5))


@pytest.mark.parametrize(("capacity", "queue"), [(0, 500), (0, 100), (0, 3000), (500_000, 500)])
def test_longest_burst(device, capacity, queue):
    """The queue, and what is taken out of it meanwhile; to 5 %."""
    there = device(capacity=capacity, queue=queue)
    longest = queue / (1 - capacity / SENDER)
    found = longest_burst(None, PATH, None)
    assert 0.95 * longest - 1 <= found.value <= longest + 1
    assert found.limited_by is Limit.QUEUE
    assert there.trials < 60


def test_burst_without_end(device):
    device()
    assert longest_burst(None, PATH, None).value == BURST_CAP
