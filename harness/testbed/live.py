"""A topology's live ends: built, changed, primed, and read up to their sentinels."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from itertools import islice

from harness.errors import KernelError
from harness.frames import Frame, Kind, ident_offset, payload
from harness.kernel.affinity import pinned
from harness.kernel.features import Backend
from harness.kernel.limits import allow_descriptors
from harness.kernel.netns import all_at_once, on_thread
from harness.kernel.packets import plain_socket
from harness.kernel.stock import Stock
from harness.kernel.taps import Tap
from harness.model.bridge import behind, primed
from harness.parts import BROADCAST_MAC, NOWHERE_MAC, Guest
from harness.resource import Resource
from harness.testbed.changes import settle, transition
from harness.testbed.endpoints import (
    DEADLINE,
    LONGEST,
    LOST_AFTER,
    Endpoint,
    RingEndpoint,
    TapEndpoint,
    Wanted,
)
from harness.testbed.ends import guest_end, ring_ends
from harness.testbed.sentinels import hears, plan, vouched_for
from harness.testbed.shots import Loaded, Sentinels, launch
from harness.testbed.verdict import Barrier
from harness.testbed.wiring import Wiring
from harness.topology import Topology

__all__ = ["LOST_SOON", "LiveNetwork"]

_LOST = Barrier.LOST
_READY_WITHIN = 5.0  # seconds; a carrier is up after a fraction of a millisecond
_READY_ROUND = 0.002
_PRIMES_AT_ONCE = 64  # a ring has 256 slots, and a prime may come by it two or three times
# A socket's frames are its own until they are read: it blocks once its buffer is full of them,
# which is after 277 of the shortest with the default net.core.wmem_default.
_SENT_AT_ONCE = 128
_LISTED = 8  # names in an error
# For evidence: who has proved lost once need not be waited for long. And in one barrier: all
# sentinels of a round set out together, so when one is lost the others have come, or are, too.
LOST_SOON = 0.25


class LiveNetwork(Resource):
    """Links and endpoints of a topology, and the barrier that proves what they have seen.

    What is built on it sends stimuli (`harness.testbed.bed`). Raises KernelError when the kernel
    refuses a part of the topology, UnfitError when it has more guests than descriptors are allowed.
    """

    def __init__(
        self, topology: Topology, *, backend: Backend = Backend.TAP, stock: Stock | None = None
    ) -> None:
        self.topology = topology
        self.backend = backend
        self._ident = 0
        self._buffer = bytearray(LONGEST)
        self._senders: dict[tuple[str, int], socket.socket] = {}
        self._closing: list[Future[None]] = []
        self._dirty = False
        self._undo = ExitStack()
        try:
            self._undo.enter_context(pinned())
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

    # ------------------------------------------------------------------ building

    def _build(self) -> None:
        """Links and endpoints: stations by name; `LOWER.wire` and `LOWER.ipv4` only read.

        The rings wait for an RCU grace period while the links are made.
        """
        ends = list(ring_ends(self.topology, self.wiring, self.backend))
        waiting = [(end, end.place.ring()) for end in ends]
        try:
            self._lay_links()
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
            allow_descriptors(len(self.topology.guests))
            for guest in self.topology.guests:
                self._plug_in(guest)

    def _lay_links(self) -> None:
        self.wiring.build()

    def _plug_in(self, guest: Guest) -> None:
        """Open a guest's end, which may have one in another namespace already."""
        if self.backend is Backend.TAP:
            place = self.wiring.namespace_of(guest.name)
            tap = Tap.open(place, guest.name, mac=guest.mac)
            self.endpoints[guest.name] = TapEndpoint(tap, self._buffer)
            return
        end = guest_end(self.wiring, guest)
        ring = end.place.ring().result()
        self.endpoints[guest.name] = RingEndpoint(end, ring)
        ring.attach(end.link, unwanted=end.unwanted)

    def _configure(self) -> None:
        """What follows from the topology: who is read when, sentinels, priming frames."""
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

    def _sender(self, link: str, number: int) -> socket.socket:
        """What the sentinel of that number is sent from: one socket for as many as it can bear."""
        key = link, number // _SENT_AT_ONCE
        if key not in self._senders:
            self._senders[key] = plain_socket(self.wiring.switch, link)
            self._undo.callback(self._senders[key].close)
        return self._senders[key]

    def _load(self) -> Sentinels:
        """Sentinels made ready: from the beacons, and from the switch's end of each wire."""
        sentinels, beacons = plan(self.topology), self.wiring.beacons

        def loaded(frames: Iterable[tuple[str, Frame]]) -> Loaded:
            return tuple(
                (
                    bytearray(f.to_bytes()),
                    ident_offset(f),
                    self._sender(link, number).send,
                )
                for number, (link, f) in enumerate(frames)
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
            for part in self._prime_parts():
                self._send_primes(part)
                for wire in wires:
                    wire.ring.wait(_READY_ROUND)
                    heard = wire.drain_primes()
                    unheard = {s: mac for s, mac in unheard.items() if mac not in heard}
                silent = [s for s in part if s in unheard]
                silent = silent or self._barrier({}, patience=_READY_ROUND)
                if silent:
                    break
            else:
                # Heard on the wire is not yet learned: the port may have been disabled still.
                self.prime()
                return
            if time.monotonic() > give_up:
                raise KernelError(
                    "bring the testbed up",
                    errno.ETIMEDOUT,
                    f"not heard or reached after {_READY_WITHIN:g} s: {_listed(silent)}",
                )

    def _prime_parts(self) -> Iterator[tuple[str, ...]]:
        """Stations to be primed, no more at once than every ring has room for; one part at least.

        A station outside primes by a broadcast, which comes by everybody.
        """
        stations = iter(self._primes)
        yield tuple(islice(stations, _PRIMES_AT_ONCE))
        while part := tuple(islice(stations, _PRIMES_AT_ONCE)):
            yield part

    def _send_primes(self, stations: Iterable[str]) -> None:
        for station in stations:
            self.endpoints[station].send(self._primes[station])

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
        for part in self._prime_parts():
            self._send_primes(part)
            self._barrier({})
        self._dirty = False

    # ------------------------------------------------------------------ the barrier

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
                    patience = min(patience, LOST_SOON)
        launch(self._sentinels.group if group else self._sentinels.unicast, ident)
        for endpoint in self._guests:
            if endpoint.collect(ident, wanted, patience) is _LOST:
                lost.append(endpoint.name)
                patience = min(patience, LOST_SOON)
        give_up = 0.0
        for endpoint, vouched in self._deaf[group] if wanted else ():
            if not vouched:
                # One deadline for all of them.
                give_up = give_up or time.monotonic() + DEADLINE
            endpoint.collect(ident, wanted, 0.0 if vouched else give_up - time.monotonic())
        self._ident = ident
        return lost

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
    all_at_once(endpoint.close for endpoint in endpoints.values())


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
