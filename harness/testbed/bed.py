"""A topology, live: send a stimulus, see who receives it, and hold that against the model."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import DifferenceError, StrayFrameError
from harness.kernel.features import Backend, probe
from harness.kernel.stock import Stock
from harness.stimulus import Stimulus
from harness.testbed.causes import causes, stray_causes
from harness.testbed.endpoints import (
    DEADLINE,
    LOST_AFTER,
    Endpoint,
    Seen,
    TapEndpoint,
    Wanted,
)
from harness.testbed.evidence import Evidence
from harness.testbed.gather import gather
from harness.testbed.live import LOST_SOON, LiveNetwork
from harness.testbed.shots import Shot, make_shot
from harness.testbed.verdict import Barrier, Observation, Verdict, judge
from harness.testbed.volley import load
from harness.topology import Topology

if TYPE_CHECKING:
    from scapy.supersocket import SuperSocket

__all__ = ["Testbed"]

_IDENT = struct.Struct("<I").pack_into
_AWAITED_FOR = 1.0
_MOST_STRAYS = 1000


class Testbed(LiveNetwork):
    """A live topology. Use it in a `with` statement.

    A testbed is used by the thread that opened it, which must stay on one CPU: sender and
    softirq then share one backlog, which the barrier rests on. A thread that is not pinned is
    pinned for as long as the testbed lives.

    Whoever brings up many testbeds hands each the same `stock`: namespaces made ahead.
    `on_verdict`, when set, is called with every verdict and the seconds it took. A stimulus
    that differs is sent once more, for evidence, when `wants_evidence()` says so.

    Raises KernelError when the kernel refuses a part of the topology.
    """

    __test__ = False  # not a test class, whatever pytest makes of the name

    def __init__(
        self, topology: Topology, *, backend: Backend = Backend.TAP, stock: Stock | None = None
    ) -> None:
        self.on_verdict: Callable[[Verdict, float], object] | None = None
        self.wants_evidence: Callable[[], bool] = lambda: False
        self.behaviours = probe().behaviours
        self._shots: dict[Stimulus, Shot] = {}
        super().__init__(topology, backend=backend, stock=stock)

    def _configure(self) -> None:
        self._shots.clear()
        super()._configure()

    def _shot(self, stimulus: Stimulus) -> Shot:
        shot = self._shots.get(stimulus)
        if shot is None:
            # An unknown sender is for make_shot to refuse.
            end = self.endpoints.get(stimulus.sender)
            send = end.send if end else bytes
            shot = make_shot(self.topology, stimulus, send, self._endpoint_of, self.behaviours)
            self._shots[stimulus] = shot
        return shot

    def _fire(self, shot: Shot, *, patience: float = LOST_AFTER) -> tuple[Seen, list[str]]:
        """Send, then read everybody up to the sentinel; also whose sentinel was lost.

        Raises StrayFrameError when a copy of an earlier stimulus turns up.
        """
        try:
            return self._fired(shot, patience)
        except StrayFrameError as error:
            raise self._stray(error) from error

    def _stray(self, error: StrayFrameError) -> StrayFrameError:
        """The error with its likely causes, after which the testbed can be used again.

        Every copy that has come is read past, and the switch learns anew.
        """
        told = "; ".join(stray_causes(self.wiring, self._own_taps()))
        self._dirty = True
        for _ in range(_MOST_STRAYS):
            self._ident += 1000  # past whatever was sent before it was broken off
            try:
                self._barrier({0: {}})  # wanting nothing that exists: the deaf are read as well
                break
            except StrayFrameError:
                continue
        return StrayFrameError(f"{error}; likely cause: {told}")

    def settle(self) -> None:
        """Let whatever is still on its way arrive, and read past it. Raises StrayFrameError."""
        try:
            self._barrier({})
        except StrayFrameError as error:
            raise self._stray(error) from error

    def _own_taps(self) -> dict[str, int]:
        return {n: e.tap.fd for n, e in self.endpoints.items() if isinstance(e, TapEndpoint)}

    def _fired(self, shot: Shot, patience: float) -> tuple[Seen, list[str]]:
        if self._dirty:
            self.prime()
        self._dirty = shot.misleads
        seen: Seen = {}
        self._ident = ident = self._ident + 1
        _IDENT(shot.buffer, shot.ident_at, ident)
        shot.send(shot.buffer)
        wanted = {ident: seen}
        lost = self._barrier(wanted, rounds=shot.rounds, group=shot.group, patience=patience)
        if shot.awaited:
            self._await(shot, wanted, ident)
        return seen, lost

    def _await(self, shot: Shot, wanted: Wanted, ident: int) -> None:
        """Where a deadline decides: only "nothing" is taken early, what must come is waited for."""
        give_up = time.monotonic() + _AWAITED_FOR
        for endpoint, observer, copies in shot.awaited:
            while len(wanted[ident].get(observer, ())) < copies and time.monotonic() < give_up:
                endpoint.collect(0, wanted, DEADLINE)

    def agrees(self, stimulus: Stimulus) -> bool:
        """Send `stimulus` and say whether every observer saw what was predicted, to the byte.

        The whole of a verdict without its explanation; a `maybe` arrival counts as agreed.
        """
        shot = self._shot(stimulus)
        seen, lost = self._fire(shot)
        if seen == shot.expected and not lost:
            return True
        return not self._judge(shot, seen, lost).differences

    def burst(self, stimuli: Sequence[Stimulus]) -> list[Verdict]:
        """Send all of `stimuli`, then one barrier for all; the verdicts that differ.

        The cheapest way to many verdicts. No stimulus may mislead the switch (a stolen source).
        """
        try:
            return self._volleys(stimuli)
        except StrayFrameError as error:
            raise self._stray(error) from error

    def _volleys(self, stimuli: Sequence[Stimulus]) -> list[Verdict]:
        if self._dirty:
            self.prime()
        differing = []
        for volley in load(self.topology, stimuli, self.behaviours):
            wanted: dict[int, Seen] = {}
            for ident, shot in enumerate(volley.loaded, self._ident + 1):
                wanted[ident] = {}
                _IDENT(shot.buffer, shot.ident_at, ident)
                self.endpoints[shot.stimulus.sender].send(shot.buffer)
            self._ident += len(wanted)
            lost = self._barrier(wanted, rounds=volley.rounds, group=volley.group)
            for shot, (ident, seen) in zip(volley.loaded, wanted.items(), strict=True):
                if seen != shot.expected or lost:
                    verdict = self._late(shot.stimulus, ident, wanted, lost)
                    differing += [verdict] if verdict.differences else []
        return differing

    def _late(self, stimulus: Stimulus, ident: int, wanted: Wanted, lost: list[str]) -> Verdict:
        """The verdict on a stimulus of a volley, its last copies waited for where need be."""
        shot = self._shot(stimulus)
        if shot.awaited:
            self._await(shot, wanted, ident)
        return self._judge(shot, wanted[ident], lost)

    def observe(self, stimulus: Stimulus) -> Observation:
        """Send `stimulus` and see who receives it. Raises StimulusError."""
        shot = self._shot(stimulus)
        return self._observation(shot, *self._fire(shot))

    def verdict(self, stimulus: Stimulus) -> Verdict:
        """Send `stimulus` and hold what was seen against the model and the promises."""
        started = time.perf_counter()
        shot = self._shot(stimulus)
        seen, lost = self._fire(shot)
        verdict = self._judge(shot, seen, lost)
        seconds = time.perf_counter() - started
        if verdict.differences:
            verdict = replace(verdict, causes=causes(verdict, self.wiring, self._own_taps()))
            if self.wants_evidence():
                verdict = replace(verdict, evidence=self._evidence(verdict, shot))
            self._dirty = True  # whatever it was may have misled the switch
        if self.on_verdict:
            self.on_verdict(verdict, seconds)
        return verdict

    def _evidence(self, verdict: Verdict, shot: Shot) -> Evidence:
        def idle() -> None:
            if self._dirty:
                self.prime()
            self._barrier({}, rounds=shot.rounds, group=shot.group, patience=LOST_SOON)

        def again() -> Verdict:
            return self._judge(shot, *self._fire(shot, patience=LOST_SOON))

        return gather(verdict, self.wiring, idle=idle, again=again)

    def check(self, stimulus: Stimulus) -> Verdict:
        """The verdict; raises DifferenceError with the whole explanation when it differs."""
        verdict = self.verdict(stimulus)
        if verdict.differences:
            raise DifferenceError(str(verdict))
        return verdict

    def send(self, sender: str, *, to: str) -> Observation:
        """`observe` of the plain stimulus: ``"b" in bed.send("a", to="b")``."""
        return self.observe(Stimulus(sender, to))

    def scapy(self, station: str) -> SuperSocket:
        """The station's end as a scapy socket, for `send`, `sniff(opened_socket=…)` and `sr1`.

        It reads what `observe` would: use one or the other. Raises KeyError for no station.
        """
        # scapy takes half a second to import: only those who ask for it wait.
        from harness.testbed.scapysocket import LinkSocket, TapSocket

        endpoint = self.endpoints[station]
        if isinstance(endpoint, TapEndpoint):
            return TapSocket(endpoint.tap)
        opened = LinkSocket(self.wiring.namespace_of(station), station)
        self._undo.callback(opened.close)
        return opened

    def _judge(self, shot: Shot, seen: Seen, lost: list[str]) -> Verdict:
        observation = self._observation(shot, seen, lost)
        return judge(self.topology, shot.stimulus, shot.prediction, observation)

    def _observation(self, shot: Shot, seen: Seen, lost: list[str]) -> Observation:
        arrivals = {name: tuple(seen.get(name, ())) for name in self.topology.observers}
        in_order = {endpoint.name for endpoint, vouched in self._deaf[shot.group] if vouched}
        barriers = {}
        for name in self.topology.observers:
            endpoint = self._endpoint_of(name)
            if endpoint.name in lost:
                barriers[name] = Barrier.LOST
            elif endpoint.expects_sentinel:
                barriers[name] = Barrier.SENTINEL
            elif endpoint.name in in_order:
                barriers[name] = Barrier.ORDER
            else:
                barriers[name] = Barrier.DEADLINE
        return Observation(arrivals, barriers)

    def _endpoint_of(self, observer: str) -> Endpoint:
        station, _, part = observer.partition(".")
        return self.endpoints[f"{station}.wire" if part in ("in", "out") else station]
