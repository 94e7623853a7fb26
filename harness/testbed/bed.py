"""A topology, live: send a stimulus, see who receives it, and hold that against the model."""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import DifferenceError, KernelError
from harness.frames import Frame, Kind, ident_offset, payload
from harness.kernel.features import Backend
from harness.kernel.netns import on_thread
from harness.kernel.packets import plain_socket
from harness.kernel.stock import Stock
from harness.kernel.syscalls import current_cpu
from harness.kernel.taps import Tap
from harness.model import Prediction, predict
from harness.model.bridge import behind
from harness.parts import BROADCAST_MAC, NOWHERE_MAC, Mode, is_multicast
from harness.resource import Resource
from harness.stimulus import Stimulus, frame_of
from harness.testbed.causes import causes
from harness.testbed.endpoints import LOST_AFTER, Endpoint, RingEndpoint, Seen, TapEndpoint
from harness.testbed.ends import ring_ends
from harness.testbed.sentinels import SentinelPlan, plan, reachable
from harness.testbed.verdict import Barrier, Observation, Verdict, judge
from harness.testbed.wiring import BEACON, Wiring
from harness.topology import Topology

if TYPE_CHECKING:
    from scapy.supersocket import SuperSocket

__all__ = ["Testbed"]

_LOST = Barrier.LOST
_IDENT = struct.Struct("<I").pack_into
_READY_WITHIN = 5.0  # seconds; a carrier is up after a fraction of a millisecond
_READY_ROUND = 0.002
_AWAITED_FOR = 1.0

Send = Callable[[bytearray], object]
Loaded = tuple[tuple[bytearray, int, Send], ...]


@dataclass(frozen=True, eq=False)
class _Sentinels:
    """Sentinels made ready: the bytes of each, where its ident goes, and what sends it."""

    others: Loaded
    unicast: Loaded
    group: Loaded


@dataclass(frozen=True, eq=False)
class _Shot:
    """A stimulus made ready: its bytes and where its ident goes, its sender, what must be seen.

    `awaited` are observers where no sentinel can arrive, but copies must: endpoint, observer
    and how many.
    """

    stimulus: Stimulus
    buffer: bytearray
    ident_at: int
    send: Send
    group: bool
    misleads: bool
    rounds: int
    prediction: Prediction
    expected: Seen
    awaited: tuple[tuple[Endpoint, str, int], ...]


class Testbed(Resource):
    """A live topology. Use it in a `with` statement.

    A testbed is used by the thread that opened it, which must stay on one CPU: sender and
    softirq then share one backlog, which the barrier rests on. A thread that is not pinned is
    pinned for as long as the testbed lives.

    Whoever brings up many testbeds hands each the same `stock`: namespaces made ahead.
    `on_verdict`, when set, is called with every verdict and the seconds it took.

    Raises KernelError when the kernel refuses a part of the topology.
    """

    __test__ = False  # not a test class, whatever pytest makes of the name

    def __init__(
        self, topology: Topology, *, backend: Backend = Backend.TAP, stock: Stock | None = None
    ) -> None:
        self.topology = topology
        self.on_verdict: Callable[[Verdict, float], object] | None = None
        self.backend = backend
        self._ident = 0
        self._shots: dict[Stimulus, _Shot] = {}
        self._dirty = False
        self._undo = ExitStack()
        try:
            self._pin()
            self.wiring = self._undo.enter_context(Wiring(topology, stock))
            self.endpoints = self._build()
            self._others = [e for n, e in self.endpoints.items() if n not in self._guest_names()]
            self._guests = [self.endpoints[n] for n in self._guest_names()]
            self._sentinels = self._load(plan(topology))
            self._primes = self._make_primes()
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

    def _guest_names(self) -> list[str]:
        return [guest.name for guest in self.topology.guests]

    def _build(self) -> dict[str, Endpoint]:
        """Links and endpoints: stations by name; `LOWER.wire` and `LOWER.ipv4` only read.

        The rings wait for an RCU grace period while the links are made.
        """
        ends = list(ring_ends(self.topology, self.wiring, self.backend))
        endpoints: dict[str, Endpoint] = {}
        self._undo.callback(_close_all, endpoints)
        waiting = [(end, end.place.ring()) for end in ends]
        try:
            self.wiring.build()
        finally:
            for end, ring in waiting:
                endpoints[end.name] = RingEndpoint(end, ring.result())
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
                tap = Tap.open(self.wiring.host, guest.name, mac=guest.mac)
                expects = reachable(self.topology, guest)
                endpoints[guest.name] = TapEndpoint(tap, expects_sentinel=expects)
        return endpoints

    def _load(self, sentinels: SentinelPlan) -> _Sentinels:
        """Sockets that the sentinels start from: the beacon, and the switch's end of each wire."""
        switch = self.wiring.switch
        senders = {}
        for link in (BEACON, *(w for w, _ in (*sentinels.unicast, *sentinels.group))):
            if link not in senders:
                senders[link] = plain_socket(switch, link)
                self._undo.callback(senders[link].close)

        def loaded(frames: Iterable[tuple[str, Frame]]) -> Loaded:
            return tuple(
                (bytearray(f.to_bytes()), ident_offset(f), senders[link].send) for link, f in frames
            )

        return _Sentinels(
            loaded((BEACON, frame) for frame in sentinels.others),
            loaded(sentinels.unicast),
            loaded(sentinels.group),
        )

    # ------------------------------------------------------------------ readiness, FDB

    def _make_primes(self) -> dict[str, bytes]:
        """For each station that can be heard on a wire, the frame that makes it known."""
        primes = {}
        for station, mac in self.topology.macs.items():
            port, _ = behind(self.topology, station)
            down = any(g.name == station and not g.up for g in self.topology.guests)
            if port is not None and not down:
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
        unheard = {s: bytes.fromhex(self.topology.macs[s].replace(":", "")) for s in self._primes}
        while True:
            # All of them each time: a port that was not yet forwarding has learned nothing.
            for station, frame in self._primes.items():
                self.endpoints[station].send(frame)
            for wire in wires:
                wire.ring.wait(_READY_ROUND)
                heard = wire.drain_primes()
                unheard = {s: mac for s, mac in unheard.items() if mac not in heard}
            lost = [] if unheard else self._barrier({}, lost_after=_READY_ROUND)
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

    def set_hairpins(self, topology: Topology) -> None:
        """Make this the testbed of `topology`, which may differ in hairpin alone.

        Raises ValueError when it differs in more.
        """
        if topology == self.topology:
            return
        if topology.without_hairpin != self.topology.without_hairpin:
            raise ValueError("the topologies differ in more than hairpin")
        self.wiring.set_ports(topology)
        self.topology = topology
        self._shots.clear()

    def prime(self) -> None:
        """Let the switch forget everything and hear every station again."""
        self.wiring.flush_fdb()
        for station, frame in self._primes.items():
            self.endpoints[station].send(frame)
        self._barrier({})
        self._dirty = False

    # ------------------------------------------------------------------ observing

    def _barrier(
        self,
        seen: Seen,
        *,
        stimulus: int = 0,
        rounds: int = 1,
        group: bool = True,
        lost_after: float = LOST_AFTER,
    ) -> list[str]:
        """Sentinels, and reading up to them: first the others, then the guests.

        Copies of the stimulus with the ident `stimulus` go into `seen`. Returns the endpoints
        that no sentinel has reached though it should have.
        """
        lost = []
        ident = self._ident
        for _ in range(rounds):
            ident += 1
            for buffer, at, send in self._sentinels.others:
                _IDENT(buffer, at, ident)
                send(buffer)
            for endpoint in self._others:
                if endpoint.collect(ident, seen, stimulus, lost_after) is _LOST:
                    lost.append(endpoint.name)
        for buffer, at, send in self._sentinels.group if group else self._sentinels.unicast:
            _IDENT(buffer, at, ident)
            send(buffer)
        for endpoint in self._guests:
            if endpoint.collect(ident, seen, stimulus, lost_after) is _LOST:
                lost.append(endpoint.name)
        self._ident = ident
        return lost

    def _shot(self, stimulus: Stimulus) -> _Shot:
        shot = self._shots.get(stimulus)
        if shot is None:
            shot = self._shots[stimulus] = self._make_shot(stimulus)
        return shot

    def _make_shot(self, stimulus: Stimulus) -> _Shot:
        frame = frame_of(self.topology, stimulus)
        prediction = predict(self.topology, stimulus)
        group = is_multicast(frame.dst)
        requeued = any(g.mode is Mode.SOURCE for g in self.topology.guests)
        return _Shot(
            stimulus=stimulus,
            buffer=bytearray(frame.to_bytes()),
            ident_at=ident_offset(frame),
            send=self.endpoints[stimulus.sender].send,
            group=group,
            # The switch has learned what no later stimulus may find: a stolen source, or a
            # station in another VLAN.
            misleads=bool(stimulus.source)
            or (stimulus.tag is not None and self.topology.switch.vlan_filtering),
            rounds=2 if group or requeued or stimulus.via else 1,
            prediction=prediction,
            awaited=tuple(
                (self._endpoint_of(name), name, len(frames))
                for name, frames in prediction.arrivals.items()
                if frames and not self._endpoint_of(name).expects_sentinel
            ),
            expected={
                name: [f.to_bytes() for f in frames]
                for name, frames in prediction.arrivals.items()
                if frames
            },
        )

    def _fire(self, shot: _Shot) -> tuple[Seen, list[str]]:
        """Send, then read everybody up to the sentinel; also whose sentinel was lost."""
        if self._dirty:
            self.prime()
        self._dirty = shot.misleads
        seen: Seen = {}
        self._ident = ident = self._ident + 1
        _IDENT(shot.buffer, shot.ident_at, ident)
        shot.send(shot.buffer)
        lost = self._barrier(seen, stimulus=ident, rounds=shot.rounds, group=shot.group)
        if shot.awaited:
            self._await(shot, seen, ident)
        return seen, lost

    def _await(self, shot: _Shot, seen: Seen, ident: int) -> None:
        """Where a deadline decides: only "nothing" is taken early, what must come is waited for."""
        give_up = time.monotonic() + _AWAITED_FOR
        for endpoint, observer, copies in shot.awaited:
            while len(seen.get(observer, ())) < copies and time.monotonic() < give_up:
                endpoint.collect(0, seen, ident)

    def agrees(self, stimulus: Stimulus) -> bool:
        """Send `stimulus` and say whether every observer saw what was predicted, to the byte.

        The whole of a verdict without its explanation; a `maybe` arrival counts as agreed.
        """
        shot = self._shot(stimulus)
        seen, lost = self._fire(shot)
        if seen == shot.expected and not lost:
            return True
        return not self._judge(shot, seen, lost).differences

    def observe(self, stimulus: Stimulus) -> Observation:
        """Send `stimulus` and see who receives it. Raises StimulusError."""
        seen, lost = self._fire(self._shot(stimulus))
        return self._observation(seen, lost)

    def verdict(self, stimulus: Stimulus) -> Verdict:
        """Send `stimulus` and hold what was seen against the model and the promises."""
        started = time.perf_counter()
        shot = self._shot(stimulus)
        seen, lost = self._fire(shot)
        verdict = self._judge(shot, seen, lost)
        if verdict.differences:
            verdict = replace(verdict, causes=causes(verdict, self.wiring))
        if self.on_verdict:
            self.on_verdict(verdict, time.perf_counter() - started)
        return verdict

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

    def _judge(self, shot: _Shot, seen: Seen, lost: list[str]) -> Verdict:
        return judge(self.topology, shot.stimulus, shot.prediction, self._observation(seen, lost))

    def _observation(self, seen: Seen, lost: list[str]) -> Observation:
        arrivals = {name: tuple(seen.get(name, ())) for name in self.topology.observers}
        barriers = {}
        for name in self.topology.observers:
            endpoint = self._endpoint_of(name)
            if endpoint.name in lost:
                barriers[name] = Barrier.LOST
            elif endpoint.expects_sentinel:
                barriers[name] = Barrier.SENTINEL
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


def _close_all(endpoints: dict[str, Endpoint]) -> None:
    """Close at the same time.

    Each waits for an RCU grace period (tap_put_queue, packet_release).
    """
    for closing in [on_thread(endpoint.close) for endpoint in endpoints.values()]:
        closing.result()
