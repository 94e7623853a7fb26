"""A topology, live: send a stimulus, see who receives it, and hold that against the model."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.errors import DifferenceError, KernelError, StrayFrameError
from harness.frames import Frame, Kind, ident_offset, payload
from harness.kernel.features import Backend
from harness.kernel.netns import on_thread
from harness.kernel.packets import plain_socket
from harness.kernel.stock import Stock
from harness.kernel.syscalls import current_cpu
from harness.kernel.taps import Tap
from harness.model.bridge import behind, primed
from harness.parts import BROADCAST_MAC, NOWHERE_MAC, Guest
from harness.resource import Resource
from harness.stimulus import Stimulus
from harness.testbed.causes import causes, stray_causes
from harness.testbed.changes import settle, transition
from harness.testbed.endpoints import (
    DEADLINE,
    LOST_AFTER,
    Endpoint,
    RingEndpoint,
    Seen,
    TapEndpoint,
    Wanted,
)
from harness.testbed.ends import guest_end, ring_ends
from harness.testbed.evidence import Evidence
from harness.testbed.gather import gather
from harness.testbed.sentinels import hears, plan, vouched_for
from harness.testbed.shots import Loaded, Sentinels, Shot, launch, make_shot
from harness.testbed.verdict import Barrier, Observation, Verdict, judge
from harness.testbed.volley import load
from harness.testbed.wiring import Wiring
from harness.topology import Topology

if TYPE_CHECKING:
    from scapy.supersocket import SuperSocket

__all__ = ["Testbed"]

_LOST = Barrier.LOST
_IDENT = struct.Struct("<I").pack_into
_READY_WITHIN = 5.0  # seconds; a carrier is up after a fraction of a millisecond
_READY_ROUND = 0.002
_AWAITED_FOR = 1.0
# For evidence: who has proved lost once need not be waited for long. And in one barrier: all
# sentinels of a round set out together, so when one is lost the others have come, or are, too.
_LOST_SOON = 0.25
_MOST_STRAYS = 1000


class Testbed(Resource):
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
        self.topology = topology
        self.on_verdict: Callable[[Verdict, float], object] | None = None
        self.wants_evidence: Callable[[], bool] = lambda: False
        self.backend = backend
        self._ident = 0
        self._shots: dict[Stimulus, Shot] = {}
        self._senders: dict[str, socket.socket] = {}
        self._closing: list[Future[None]] = []
        self._dirty = False
        self._undo = ExitStack()
        try:
            self._pin()
            self.wiring = self._undo.enter_context(Wiring(topology, stock))
            self.endpoints: dict[str, Endpoint] = {}
            self._undo.callback(_close_all, self.endpoints)
            self._build()
            if not all(topology.has_carrier(station) for station in topology.plugged()):
                settle(self.wiring)
            self._configure()
            self._get_ready()
        except BaseException:
            self.close()
            raise

    def _pin(self) -> None:
        before = os.sched_getaffinity(0)
        if len(before) > 1:
            os.sched_setaffinity(0, {current_cpu()})
            self._undo.callback(os.sched_setaffinity, 0, before)

    # ------------------------------------------------------------------ building

    def _build(self) -> None:
        """Links and endpoints: stations by name; `LOWER.wire` and `LOWER.ipv4` only read.

        The rings wait for an RCU grace period while the links are made.
        """
        ends = list(ring_ends(self.topology, self.wiring, self.backend))
        waiting = [(end, end.place.ring()) for end in ends]
        try:
            self.wiring.build()
        finally:
            for end, ring in waiting:
                self.endpoints[end.name] = RingEndpoint(end, ring.result())
        for end, ring in waiting:
            ring.result().attach(
                end.link,
                unwanted=end.unwanted,
                protocol=end.protocol,
                outgoing=end.outgoing,
                only_index=end.only_index,
            )
        if self.backend is Backend.TAP:
            for guest in self.topology.guests:
                self._plug_in(guest)

    def _plug_in(self, guest: Guest) -> None:
        """Open a guest's end, which may have one in another namespace already."""
        if self.backend is Backend.TAP:
            place = self.wiring.namespace_of(guest.name)
            self.endpoints[guest.name] = TapEndpoint(Tap.open(place, guest.name, mac=guest.mac))
            return
        end = guest_end(self.wiring, guest)
        ring = end.place.ring().result()
        self.endpoints[guest.name] = RingEndpoint(end, ring)
        ring.attach(end.link, unwanted=end.unwanted)

    def _configure(self) -> None:
        """What follows from the topology: who is read when, sentinels, priming frames."""
        self._shots.clear()
        for name, endpoint in self.endpoints.items():
            endpoint.expects_sentinel = hears(self.topology, name)
        hearing = [(n, e) for n, e in self.endpoints.items() if e.expects_sentinel]
        self._others = [e for name, e in hearing if not self.topology.is_guest(name)]
        self._guests = [e for name, e in hearing if self.topology.is_guest(name)]
        self._deaf = {
            group: [
                (e, vouched_for(self.topology, name, group=group))
                for name, e in self.endpoints.items()
                if not e.expects_sentinel
            ]
            for group in (False, True)
        }
        self._sentinels = self._load()
        self._primes = self._make_primes()

    def _sender(self, link: str) -> socket.socket:
        if link not in self._senders:
            self._senders[link] = plain_socket(self.wiring.switch, link)
            self._undo.callback(self._senders[link].close)
        return self._senders[link]

    def _load(self) -> Sentinels:
        """Sentinels made ready: from the beacons, and from the switch's end of each wire."""
        sentinels, beacons = plan(self.topology), self.wiring.beacons

        def loaded(frames: Iterable[tuple[str, Frame]]) -> Loaded:
            return tuple(
                (
                    bytearray(f.to_bytes()),
                    ident_offset(f),
                    self._sender(link).send,
                )
                for link, f in frames
            )

        return Sentinels(
            loaded((beacons[switch], frame) for switch, frame in sentinels.others),
            loaded(sentinels.unicast),
            loaded(sentinels.group),
        )

    # ------------------------------------------------------------------ readiness, FDB

    def _make_primes(self) -> dict[str, bytes]:
        """For each station that can be heard on a wire, the frame that makes it known."""
        primes = {}
        for station, mac in self.topology.macs.items():
            port, _ = behind(self.topology, station)
            down = self.topology.is_guest(station) and not self.topology.guest(station).up
            if port is not None and not down and self.topology.has_carrier(port.to):
                # From outside only a broadcast is sure to be flooded to the wires.
                dst = BROADCAST_MAC if station in self.wiring.outside else NOWHERE_MAC
                primes[station] = Frame(dst, mac, payload=payload(Kind.PRIME)).to_bytes()
        return primes

    def _get_ready(self) -> None:
        """Wait until every station is heard and every observer reached, which primes the FDB."""
        wires = [
            e
            for e in self.endpoints.values()
            if isinstance(e, RingEndpoint) and e.name.endswith(".wire")
        ]
        if not wires:
            return
        give_up = time.monotonic() + _READY_WITHIN
        unheard = {
            s: bytes.fromhex(self.topology.macs[s].replace(":", "")) for s in self._audible()
        }
        while True:
            # All of them each time: a port that was not yet forwarding has learned nothing.
            for station, frame in self._primes.items():
                self.endpoints[station].send(frame)
            for wire in wires:
                wire.ring.wait(_READY_ROUND)
                heard = wire.drain_primes()
                unheard = {s: mac for s, mac in unheard.items() if mac not in heard}
            lost = [] if unheard else self._barrier({}, patience=_READY_ROUND)
            if not unheard and not lost:
                # Heard on the wire is not yet learned: the port may have been disabled still.
                self.prime()
                return
            if time.monotonic() > give_up:
                silent = ", ".join([*unheard, *lost])
                raise KernelError(
                    "bring the testbed up",
                    errno.ETIMEDOUT,
                    f"not heard or reached after {_READY_WITHIN:g} s: {silent}",
                )

    def _audible(self) -> Iterator[str]:
        """Stations whose priming frames come by a wire: one on their switch has a carrier."""
        topology = self.topology
        for station in self._primes:
            port, _ = behind(topology, station)
            if port and any(
                topology.is_lower(x) and topology.has_carrier(x)
                for x in topology.stations_on[topology.switch_of(port.to).name]
            ):
                yield station

    def become(self, topology: Topology) -> None:
        """Make this the testbed of `topology`, live.

        Guests may come, go and change, lower devices change address and state, switch ports their
        settings. Raises ValueError when the two differ in more, KernelError when the kernel
        refuses; the testbed then is of no use any more.
        """
        before = self.topology
        if topology == before:
            return
        transition(self.wiring, topology)
        self.topology = topology
        gone = []
        for guest in before.guests:
            stays = topology.is_guest(guest.name)
            moved = stays and topology.guest(guest.name).namespace != guest.namespace
            if not stays or (moved and self.backend is Backend.PACKET):
                gone.append(self.endpoints.pop(guest.name))
        for guest in topology.guests:
            if guest.name not in self.endpoints:
                self._plug_in(guest)
        for endpoint in gone:
            self._closing.append(on_thread(endpoint.close))
        known = self._primes
        self._configure()
        if self._primes != known:
            self._get_ready()
        elif primed(before) != primed(topology):
            self._dirty = True

    def prime(self) -> None:
        """Let the switch forget everything and hear every station again."""
        self.wiring.flush_fdb()
        for station, frame in self._primes.items():
            self.endpoints[station].send(frame)
        self._barrier({})
        self._dirty = False

    # ------------------------------------------------------------------ observing

    def _barrier(
        self, wanted: Wanted, *, rounds: int = 1, group: bool = True, patience: float = LOST_AFTER
    ) -> list[str]:
        """Sentinels, and reading up to them: first the others, then the guests.

        Copies of the stimuli go to what `wanted` has for them. Returns the endpoints that no
        sentinel has reached within `patience` seconds though it should have.
        """
        lost = []
        ident = self._ident
        for _ in range(rounds):
            ident += 1
            launch(self._sentinels.others, ident)
            for endpoint in self._others:
                if endpoint.collect(ident, wanted, patience) is _LOST:
                    lost.append(endpoint.name)
                    patience = min(patience, _LOST_SOON)
        launch(self._sentinels.group if group else self._sentinels.unicast, ident)
        for endpoint in self._guests:
            if endpoint.collect(ident, wanted, patience) is _LOST:
                lost.append(endpoint.name)
                patience = min(patience, _LOST_SOON)
        give_up = 0.0
        for endpoint, vouched in self._deaf[group] if wanted else ():
            if not vouched:
                # One deadline for all of them.
                give_up = give_up or time.monotonic() + DEADLINE
            endpoint.collect(ident, wanted, 0.0 if vouched else give_up - time.monotonic())
        self._ident = ident
        return lost

    def _shot(self, stimulus: Stimulus) -> Shot:
        shot = self._shots.get(stimulus)
        if shot is None:
            # An unknown sender is for make_shot to refuse.
            end = self.endpoints.get(stimulus.sender)
            send = end.send if end else bytes
            shot = make_shot(self.topology, stimulus, send, self._endpoint_of)
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
        for volley in load(self.topology, stimuli):
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
            self._barrier({}, rounds=shot.rounds, group=shot.group, patience=_LOST_SOON)

        def again() -> Verdict:
            return self._judge(shot, *self._fire(shot, patience=_LOST_SOON))

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

    # ------------------------------------------------------------------ lifetime

    def close(self) -> None:
        """Take everything down; idempotent."""
        self._undo.close()
        while self._closing:
            self._closing.pop().result()


def _close_all(endpoints: dict[str, Endpoint]) -> None:
    """Close at the same time.

    Each waits for an RCU grace period (tap_put_queue, packet_release).
    """
    for closing in [on_thread(endpoint.close) for endpoint in endpoints.values()]:
        closing.result()
