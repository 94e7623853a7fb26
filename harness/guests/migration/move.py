"""Moving a guest from one host of a pair to the other, watched from outside."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import libvirt

from harness.errors import GuestError
from harness.guests.daemon import Connection, Running
from harness.guests.domain import Interface, parse_domain
from harness.guests.host import GuestHost, Host, RealGuest
from harness.guests.migration.delivery import Delivery, Move, delivery, moves
from harness.guests.migration.echoes import EchoStream, number_of
from harness.guests.migration.pair import EXTERNAL, HostPair, Pair
from harness.guests.nic import DirectInterface
from harness.kernel.netns import on_thread
from harness.kernel.recording import FdbMoves, Heard, Recording
from harness.kernel.waiting import look_until
from harness.parts import Mode

__all__ = ["Migration", "Moving", "Order", "Variant", "begin", "migrate"]

_UNDER_WAY_WITHIN = 20.0  # seconds
_OVER_WITHIN = 60.0
_STEADY = 25  # answers in a row
_STEADY_WITHIN = 15.0
_BEFORE = 20  # answers before the migration begins
_ANSWERED_WITHIN = 0.5


class Variant(StrEnum):
    """Who runs the migration, and what the guest's memory goes over."""

    CLIENT = "client-managed"  # we talk to both daemons; QEMU to QEMU by TCP
    UNIX = "unix"  # the same, by a unix socket
    PEER = "p2p"  # the source's daemon talks to the target's; QEMU to QEMU by TCP
    TUNNELLED = "tunnelled"  # through the daemons' connection


@dataclass(frozen=True, kw_only=True)
class Order:
    """How a guest is to move.

    `interfaces` are what its NICs become on the way (`virsh migrate --xml`); `mib_per_second` holds
    the stream back.
    """

    variant: Variant = Variant.CLIENT
    interfaces: tuple[Interface, ...] = ()
    mib_per_second: int | None = None


@dataclass(frozen=True, kw_only=True)
class Migration:
    """A migration that succeeded, and what others noticed of it.

    `seconds` is how long libvirt took. `ports` are the switch's to the old and the new host.
    `moves` is where the switch heard the guest, frame by frame where that changed; `learned` the
    ports its forwarding table had, as the kernel told.
    """

    mode: Mode
    ipv6: bool
    variant: Variant
    seconds: float
    delivery: Delivery
    ports: tuple[str, str]
    moves: tuple[Move, ...]
    learned: tuple[str, ...]
    guest: RealGuest

    @property
    def pulled_back(self) -> tuple[Move, ...]:
        """Frames that led the switch back to the old host once it had heard the guest at the new.

        They come from the old host's own stack, whose macvtap has the guest's MAC.
        """
        at = [x.port for x in self.moves]
        first = at.index(self.ports[1]) if self.ports[1] in at else len(at)
        return tuple(x for x in self.moves[first:] if x.port == self.ports[0])


class Moving:
    """A migration under way, from `source` to `target`."""

    def __init__(
        self,
        guest: RealGuest,
        source: Host,
        target: GuestHost,
        order: Order,
        done: Future[None],
    ) -> None:
        self.guest = guest
        self.source = source
        self.target = target
        self.order = order
        self._done = done

    @property
    def over(self) -> bool:
        """Whether it has succeeded or failed."""
        return self._done.done()

    def wait_for_stream(self) -> None:
        """Return once the guest's memory flows. Raises LibvirtError when it ends before."""

        def flows() -> bool:
            if self.over:
                return True
            with self.guest.running.asking("look at the job"):
                stats: dict[str, Any] = self.guest.running.handle.jobStats()
            return bool(stats.get("memory_processed", 0))

        if not look_until(flows, bool, within=_UNDER_WAY_WITHIN):
            raise GuestError(self.guest.name, "migrate", "its memory does not begin to flow")
        if self.over:
            self._done.result()

    def abort(self) -> None:
        """Cancel it, as `virsh domjobabort` does. Raises LibvirtError."""
        with self.guest.running.asking("abort the job"):
            self.guest.running.handle.abortJob()

    def wait(self, within: float = _OVER_WITHIN) -> RealGuest:
        """The guest on its new host.

        Raises LibvirtError when it has failed, and then the guest is where it was, GuestError when
        it is not over `within` seconds.
        """
        try:
            self._done.result(within)
        except TimeoutError:
            problem = f"not over after {within:g} s"
            raise GuestError(self.guest.name, "migrate", problem) from None
        self.guest.hang_up()
        self.source.guests.pop(self.guest.name, None)
        wanted = self.guest.wanted
        if self.order.interfaces:
            wanted = replace(wanted, interfaces=self.order.interfaces)
        return self.target.adopt(wanted, self.target.connection.find(self.guest.name))


def begin(pair: Pair, guest: RealGuest, order: Order = Order()) -> Moving:
    """Begin to move a guest to the other host of `pair`."""
    source, target = guest.host, pair.other(guest.host)
    flags, parameters = _asked(pair, guest, target, order)

    def work() -> None:
        # On a connection of its own: on one that two threads share, one that looks at the job was
        # seen to get its answer only when the migration was over (libvirt 9.0, a busy machine).
        with Connection.open(source.connection.uri) as ours:
            moved = ours.find(guest.name)
            with moved.asking("migrate"):
                if order.variant in (Variant.PEER, Variant.TUNNELLED):
                    there = pair.uri_for_the_other(target)
                    moved.handle.migrateToURI3(there, parameters, flags)
                else:
                    moved.handle.migrate3(target.connection.handle, parameters, flags)

    return Moving(guest, source, target, order, on_thread(work))


def _asked(
    pair: Pair, guest: RealGuest, target: GuestHost, order: Order
) -> tuple[int, dict[str, Any]]:
    """Flags and parameters for libvirt."""
    flags: int = libvirt.VIR_MIGRATE_LIVE
    parameters: dict[str, Any] = {}
    if order.variant in (Variant.PEER, Variant.TUNNELLED):
        flags |= libvirt.VIR_MIGRATE_PEER2PEER
    if order.variant is Variant.TUNNELLED:
        flags |= libvirt.VIR_MIGRATE_TUNNELLED
    if order.variant is Variant.UNIX:
        path = pair.socket_for_both(target, guest.name)
        parameters[libvirt.VIR_MIGRATE_PARAM_URI] = f"unix://{path}"
    if order.mib_per_second is not None:
        parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = order.mib_per_second
    if order.interfaces:
        parameters[libvirt.VIR_MIGRATE_PARAM_DEST_XML] = _xml(guest.running, order.interfaces)
    return flags, parameters


def _xml(running: Running, interfaces: tuple[Interface, ...]) -> str:
    with running.asking("show the XML"):
        text = running.handle.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE)
    domain = parse_domain(text)
    # What the guest sees of its NICs is to stay: only where they are plugged in changes.
    changed = [
        replace(old, source=new.source, mode=new.mode)
        for old, new in zip(domain.direct, interfaces, strict=True)
        if isinstance(new, DirectInterface)
    ]
    return domain.with_interfaces(changed).text


# ---------------------------------------------------------------------- watched


def migrate(
    pair: HostPair,
    guest: RealGuest,
    order: Order = Order(),
    *,
    every: float = 0.01,
    settle: float = 0.0,
) -> Migration:
    """Move a guest while the external host asks for an echo `every` so many seconds.

    It goes on asking for `settle` seconds after libvirt has returned, and until so many answers
    in a row have come that the guest is known to be reachable. Raises LibvirtError when the
    migration fails, GuestError when the guest is not to be reached before or after.
    """
    party = pair.party(guest)
    heard: list[Heard] = []
    with (
        Recording(pair.outside) as outside,
        Recording(pair.switch) as ports,
        FdbMoves(pair.switch) as fdb,
        EchoStream(pair.outside, "external", us=EXTERNAL, guest=party, every=every) as echoes,
    ):

        def answered() -> list[int]:
            heard.extend(outside.read())
            found = (number_of(x.frame) for x in heard if not x.outgoing)
            return [x for x in found if x is not None]

        def steady(since: int, count: int) -> bool:
            numbers = {x for x in answered() if x >= since}
            last = max(numbers, default=0)
            return numbers.issuperset(range(last - count + 1, last + 1))

        if not look_until(lambda: steady(0, _BEFORE), bool, within=_STEADY_WITHIN):
            raise GuestError(guest.name, "migrate", "it does not answer the external host")
        began, started = time.time_ns(), time.monotonic()
        moved = begin(pair, guest, order).wait()
        seconds = time.monotonic() - started
        returned = len(echoes.sent)
        wanted = returned + int(settle / every)
        look_until(lambda: len(echoes.sent) >= wanted, bool, within=settle + 1)
        reachable = look_until(lambda: steady(returned, _STEADY), bool, within=_STEADY_WITHIN)
        echoes.close()
        last = len(echoes.sent) - 1
        look_until(lambda: last in answered(), bool, within=_ANSWERED_WITHIN)
        if not reachable:
            raise GuestError(guest.name, "migrate", "it does not answer from its new host")
        seen = delivery(echoes.sent, heard, party, began=began, late=echoes.late)
        found = moves(ports.read(), party, ports=tuple(pair.ports), began=began)
        names = {index: name for name, index in pair.ports.items()}
        learned = [names.get(index, str(index)) for mac, index in fdb.read() if mac == party.mac]
    nic = moved.wanted.interfaces[0]
    assert isinstance(nic, DirectInterface)
    return Migration(
        mode=nic.mode,
        ipv6=pair.ipv6,
        variant=order.variant,
        seconds=seconds,
        delivery=seen,
        ports=(pair.port_of(guest), pair.port_of(moved)),
        moves=tuple(found),
        learned=tuple(learned),
        guest=moved,
    )
