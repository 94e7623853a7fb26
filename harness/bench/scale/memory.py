"""Memory that a guest takes: the kernel's for its link and its open tap, and our own."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack

from harness.bench.measurement import Measurement
from harness.bench.scale.budget import (
    Progress,
    ScaleBudget,
    counted,
    crowd,
    figure,
    need_taps,
    room_for,
)
from harness.bench.scale.canary import Canary
from harness.kernel.limits import allow_descriptors
from harness.kernel.memory import settled_kernel_memory
from harness.kernel.netns import all_at_once
from harness.kernel.taps import Tap
from harness.testbed import Testbed
from harness.testbed.wiring import Wiring

__all__ = ["weighings"]

# Fewer guests than this drown in what the kernel does meanwhile.
_FEWEST = 100
_STILL = 1 << 16  # bytes: less than that is the machine's other business
_PRECISION = 512  # bytes for each guest


def weighings(
    budget: ScaleBudget, progress: Progress, missing: MutableMapping[str, str]
) -> Iterator[Measurement]:
    """KiB for each guest; and what opening its tap takes, without traffic."""
    need_taps()
    for guests in budget.guests:
        if guests < _FEWEST:
            continue
        weights = []
        for at in range(budget.weighings):
            progress(f"memory of {counted(guests, 'guest')}, {at + 1} of {budget.weighings}")
            with room_for(guests):
                weights.append(_weighed(guests))
        link, tap, opening = ([x / guests for x in each] for each in zip(*weights, strict=True))
        for what, found in ("link", link), ("open tap", tap):
            kib = [x / 1024 for x in found]
            yield figure(f"kernel memory, {what}", guests, "guest", "KiB/guest", kib)
        yield figure("taps opened", guests, "guest", "ms/guest", [x * 1e3 for x in opening])
        progress(f"our own memory for {counted(guests, 'guest')}")
        with room_for(guests):
            own = _own(guests) / guests / 1024
        note = "what the interpreter has allocated; resident, it is about twice that"
        yield figure("own memory, testbed", guests, "guest", "KiB/guest", [own], note=note)


def _weighed(guests: int) -> tuple[float, float, float]:
    """Bytes for the links, bytes for the open taps, seconds that opening took."""
    topology, still = crowd(guests), max(_STILL, guests * _PRECISION)
    with ExitStack() as afterwards:
        with Wiring(topology) as wiring, ExitStack() as undo:
            canary = afterwards.enter_context(Canary(wiring.host))
            wiring.build_network()
            nothing = settled_kernel_memory(still=still)
            wiring.add_guests(topology.guests)
            links = settled_kernel_memory(still=still)
            allow_descriptors(guests)
            taps: list[Tap] = []
            # Each waits for an RCU grace period (tap_put_queue).
            undo.callback(lambda: all_at_once(tap.close for tap in taps))
            started = time.perf_counter()
            for guest in topology.guests:
                taps.append(Tap.open(wiring.host, guest.name, mac=guest.mac))
            opening = time.perf_counter() - started
            opened = settled_kernel_memory(still=still)
        canary.wait()
    return links - nothing, opened - links, opening


def _own(guests: int) -> int:
    """Bytes that the interpreter has allocated for a testbed, its topology included."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        with Testbed(crowd(guests)):
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        return after - before
    finally:
        tracemalloc.stop()
