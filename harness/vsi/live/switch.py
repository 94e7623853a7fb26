"""The switch: a thread that serves its ports, each with a bridge of its own.

frames of all ports -- control --> Bridge of the port, at once
                    '- the rest -> Forwarder, when the control frames of all ports are done
time, and what callers ask for, between the two: a flood of frames holds up neither
"""

from __future__ import annotations

import math
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.errors import UsageError
from harness.resource import Resource
from harness.vsi.bridge import Bridge
from harness.vsi.events import Event, EventKind, Outcome
from harness.vsi.faults import Faults
from harness.vsi.instances import Instances
from harness.vsi.live.capture import capture_of
from harness.vsi.live.forwarding import Forwarder
from harness.vsi.live.known import KnownVsi, known_vsi
from harness.vsi.live.ports import Port
from harness.vsi.live.trace import EventLog, Passed, Trace
from harness.vsi.lldp_machine import EvbPolicy
from harness.vsi.numbers import ETHERTYPES
from harness.vsi.types import VsiTypes

__all__ = ["CONTROL", "EvbSwitch"]

T = TypeVar("T")

_Asked = tuple[Callable[[], None], Callable[[BaseException], None]]
"""What is to be done, and how to say that it never will be."""

CONTROL = "control"
_CONTROL_TYPES = frozenset(ethertype.to_bytes(2, "big") for ethertype in ETHERTYPES)
_PAUSED = "dropped: the port is paused"
_NOT_TAKEN = "dropped: the link did not take it"
_BATCH = 64  # frames of a port in one turn
_STEP = 0x2A5D  # between the sequences of a bridge and the one that follows it
_LONGEST_WAIT = 3600.0  # seconds


@dataclass(slots=True)
class _Served:
    """A port, and its bridge; the uplink has none."""

    port: Port
    bridge: Bridge | None
    sequence: int = 0
    paused: bool = False


class EvbSwitch(Resource):
    """The EVB bridge between `ports` and an `uplink`, at work from now on. Use it in a `with`.

    It owns its ports: they are closed with it. `types` of None allows every type; `faults` are by
    the port's name; at most `most` VSIs are known at a port. `tell` is given all that passes, on
    the switch's thread. Whatever that thread fails with is raised by the next call.

    Raises UsageError for two ports of one name.
    """

    def __init__(
        self,
        ports: Sequence[Port],
        *,
        uplink: Port | None = None,
        types: VsiTypes | None = None,
        policy: EvbPolicy = EvbPolicy(),  # noqa: B008  # frozen
        faults: Mapping[str, Faults] = {},
        most: int = 1024,
        tell: Callable[[Passed], None] | None = None,
    ) -> None:
        names = [port.name for port in (*ports, *([uplink] if uplink else []))]
        if len(set(names)) < len(names):
            for port in (*ports, *([uplink] if uplink else [])):
                port.close()
            raise UsageError(f"ports of a switch have a name each: {', '.join(names)}")
        self._policy, self._types, self._most = policy, types, most
        self._faults = {name: faults.get(name) or Faults() for name in names}
        self._instances = Instances()
        self._started = time.monotonic()
        self.started = time.time()
        """Seconds since the epoch at which `at` of Passed and of Event was 0."""
        bridges = {port.name: self._new_bridge(port.name, 0) for port in ports}
        self.ports = tuple(bridges)
        """The names of its ports, without the uplink."""
        self._forwarder = Forwarder(bridges, uplink.name if uplink else None)
        self._served = {port.name: _Served(port, bridges[port.name]) for port in ports}
        if uplink:
            self._served[uplink.name] = _Served(uplink, None)
        self._tell = tell
        self._trace = Trace()
        self._log = EventLog()
        self._new: list[tuple[str, Event]] = []
        self._asked: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._by_fd = {x.port.fileno(): x for x in self._served.values()}
        self._news = {x.port.news_fileno(): x for x in self._served.values()}
        self._poll = select.epoll()
        for fd in (self._wake, *self._by_fd, *self._news):
            self._poll.register(fd, select.EPOLLIN)
        self._ending = False
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="EVB switch")
        self._thread.start()

    # ------------------------------------------------------------------ what it has seen

    @property
    def events(self) -> tuple[tuple[str, Event], ...]:
        """What has happened at which port: the last of it (`forgotten` says how many are not)."""
        self._log.raise_crash()
        return self._log.events()

    @property
    def forgotten(self) -> int:
        """How many events are no longer in `events`."""
        return self._log.forgotten

    @property
    def mark(self) -> int:
        """How many events there were so far, for `since` of `wait_for`."""
        self._log.raise_crash()
        return self._log.count

    def news(self, since: int, *, within: float) -> tuple[tuple[tuple[str, Event], ...], int]:
        """The events since that mark, and the next mark; waits `within` seconds for a first."""
        found = self._log.since(since, within=within)
        self._log.raise_crash()
        return found

    def wait_for(
        self, predicate: Callable[[str, Event], bool], *, since: int = 0, within: float
    ) -> Event:
        """The first event since that mark for which `predicate(port, event)` holds.

        Waits up to `within` seconds. Raises SilenceError, which shows the last events, when it
        does not come.
        """
        return self._log.wait(predicate, since=since, within=within)

    @property
    def trace(self) -> tuple[Passed, ...]:
        """What has passed, in order: the last of each of control, dropped and other frames."""
        return self._do(self._trace.frames)

    @property
    def counts(self) -> Mapping[tuple[str, bool, str], int]:
        """How many frames passed, by port, whether outgoing, and fate."""
        return self._do(lambda: dict(self._trace.counts))

    def write_pcapng(self, path: Path) -> None:
        """Write `trace` as a file for Wireshark. Raises OSError."""
        path.write_bytes(capture_of(tuple(self._served), self.trace, started=self.started))

    def vsis(self, port: str) -> tuple[KnownVsi, ...]:
        """The VSIs that are known at a port, in the order in which they came."""
        return self._do(lambda: tuple(known_vsi(x, self._now()) for x in self._at(port)[1].vsis))

    def relaying(self, port: str) -> bool:
        """Whether reflective relay is agreed upon at a port."""
        return self._do(lambda: self._at(port)[1].relaying)

    # ------------------------------------------------------------------ what it is told

    def set_faults(self, port: str, faults: Faults) -> None:
        """Do these things wrong at a port from now on, and no others."""

        def work() -> None:
            self._at(port)[1].faults = faults
            self._faults[port] = faults

        self._do(work)

    def set_types(self, types: VsiTypes | None) -> None:
        """Decide by this database from now on; what is granted stays."""

        def work() -> None:
            self._types = types
            for name in self.ports:
                self._at(name)[1].types = types

        self._do(work)

    def de_associate(self, instance: bytes) -> None:
        """De-associate a VSI (16 octets) from the bridge's side; nothing where it is not known."""

        def work() -> None:
            now = self._now()
            for name in self.ports:
                served, bridge = self._at(name)
                self._take(served, bridge.de_associate(instance, now), now)

        self._do(work)

    def reset(self, port: str) -> None:
        """Forget all that is known at a port; the station is not told, except by LLDP."""

        def work() -> None:
            served, bridge = self._at(port)
            now = self._now()
            self._take(served, bridge.reset(now), now)

        self._do(work)

    def restart(self, port: str) -> None:
        """As after a power cycle: another bridge that knows nothing. `pause` keeps it dark."""

        def work() -> None:
            served, bridge = self._at(port)
            gone = bridge.reset(self._now())  # gives up its VSIs; what it says is not sent
            self._new += [(port, x) for x in gone.events if x.kind is EventKind.MOVED]
            served.sequence = (served.sequence + _STEP) & 0xFFFF
            served.bridge = self._new_bridge(port, served.sequence)
            self._forwarder.set_bridge(port, served.bridge)

        self._do(work)

    def pause(self, port: str) -> None:
        """Answer nothing there and let nothing through, until `resume`."""
        self._set_paused(port, to=True)

    def resume(self, port: str) -> None:
        """Go on, with what was known."""
        self._set_paused(port, to=False)

    def _set_paused(self, port: str, *, to: bool) -> None:
        def work() -> None:
            self._at(port)[0].paused = to

        self._do(work)

    def close(self) -> None:
        """End the thread and close the ports; idempotent. Raises what the thread failed with."""
        if self._closed:
            return
        self._closed = True
        self._ending = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._poll.close()
        os.close(self._wake)
        for served in self._served.values():
            served.port.close()
        self._log.raise_crash(again=False)

    # ------------------------------------------------------------------ the thread

    def _do(self, work: Callable[[], T]) -> T:
        """`work()` on the switch's thread."""
        done: Future[T] = Future()

        def carried_out() -> None:
            try:
                result = work()
                self._log.add(self._new)
                self._new = []
            except BaseException as error:  # noqa: BLE001  (raised by whoever asked)
                done.set_exception(error)
            else:
                done.set_result(result)

        self._raise_if_over()
        self._asked.put((carried_out, done.set_exception))
        self._raise_if_over()  # it may have ended before it could see this
        os.eventfd_write(self._wake, 1)
        return done.result()

    def _raise_if_over(self) -> None:
        self._log.raise_crash()
        if self._closed:
            raise UsageError("the switch is closed")

    def _work(self) -> None:
        end: BaseException = UsageError("the switch is closed")
        try:
            busy: list[_Served] = []
            while not self._ending:
                busy = self._turn(busy)
        except BaseException as error:  # noqa: BLE001  (raised by the next call)
            self._log.crash(error)
            end = error
        while not self._asked.empty():
            self._asked.get()[1](end)

    def _turn(self, busy: list[_Served]) -> list[_Served]:
        """Serve what there is, once; the ports that may have more are to be served again."""
        ready = {fd for fd, _ in self._poll.poll(0 if busy else self._wait())}
        if self._wake in ready:
            os.eventfd_read(self._wake)
        while not self._asked.empty():
            self._asked.get()[0]()
        for fd in ready & self._news.keys():
            self._link_changed(self._news[fd])
        data: list[tuple[_Served, bytes]] = []
        served = [self._by_fd[fd] for fd in ready & self._by_fd.keys()]
        served += [one for one in busy if one not in served]
        left = [one for one in served if self._read(one, data)]
        self._keep_time()
        now = self._now()
        for one, frame in data:
            self._forward(one, frame, now)
        if self._new:
            self._log.add(self._new)
            self._new = []
        return left

    def _wait(self) -> float:
        """Seconds until something is to be done, if nothing comes."""
        due = [
            one.bridge.deadline for one in self._served.values() if one.bridge and not one.paused
        ]
        return min(max(min(due, default=math.inf) - self._now(), 0.0), _LONGEST_WAIT)

    def _read(self, served: _Served, data: list[tuple[_Served, bytes]]) -> bool:
        """Read a batch: control frames are done, others put into `data`. Whether it was whole."""
        bridge = served.bridge
        for _ in range(_BATCH):
            frame = served.port.read()
            if frame is None:
                return False
            if frame[12:14] not in _CONTROL_TYPES or bridge is None:
                data.append((served, frame))
                continue
            now = self._now()
            if served.paused:
                self._pass(now, served, frame, _PAUSED)
                continue
            outcome = bridge.receive(frame, now)
            if outcome.events:
                self._pass(now, served, frame, CONTROL)
                self._take(served, outcome, now)
            else:  # of another protocol with that ethertype
                data.append((served, frame))
        return True

    def _keep_time(self) -> None:
        now = self._now()
        for served in self._served.values():
            if served.bridge and not served.paused and served.bridge.deadline <= now:
                self._take(served, served.bridge.advance(now), now)

    def _forward(self, served: _Served, frame: bytes, now: float) -> None:
        if served.paused:
            self._pass(now, served, frame, _PAUSED)
            return
        forwarding = self._forwarder.forward(served.port.name, frame)
        self._pass(now, served, frame, forwarding.fate)
        for name, octets in forwarding.sent:
            self._send(self._served[name], octets, now, forwarding.fate)

    def _take(self, served: _Served, outcome: Outcome, now: float) -> None:
        """Send what a bridge says, and keep what it tells of."""
        self._new += [(served.port.name, event) for event in outcome.events]
        for frame in outcome.frames:
            self._send(served, frame, now, CONTROL)

    def _send(self, served: _Served, frame: bytes, now: float, fate: str) -> None:
        if served.paused:
            fate = _PAUSED
        elif not served.port.write(frame):
            fate = _NOT_TAKEN
        self._pass(now, served, frame, fate, outgoing=True)

    def _pass(
        self, now: float, served: _Served, frame: bytes, fate: str, *, outgoing: bool = False
    ) -> None:
        passed = Passed(now, served.port.name, outgoing, frame, fate)
        self._trace.add(passed)
        if self._tell:
            self._tell(passed)

    def _link_changed(self, served: _Served) -> None:
        """A link that has come up is told of the bridge at once, not when LLDP's turn comes."""
        now = self._now()
        if served.port.came_up() and served.bridge and not served.paused:
            self._take(served, served.bridge.link_up(now), now)

    def _now(self) -> float:
        return time.monotonic() - self._started

    def _new_bridge(self, port: str, sequence: int) -> Bridge:
        return Bridge(
            port,
            types=self._types,
            policy=self._policy,
            faults=self._faults[port],
            instances=self._instances,
            most=self._most,
            sequence=sequence,
            now=self._now(),
        )

    def _at(self, port: str) -> tuple[_Served, Bridge]:
        """What serves a port, for the switch's thread. Raises KeyError for any other."""
        served = self._served[port]
        if served.bridge is None:
            raise KeyError(port)
        return served, served.bridge
