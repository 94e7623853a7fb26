"""A testbed whose guests are real: QEMU under libvirt, behind our switch.

    inside                        host                          switch
    .--------------------.      .-----------------------.     .-----------------.
    | agent - [virtio] ==|=QEMU=|=== a --.              |     |                 |
    '--------------------'      |         lower --------|-----|-- ... external  |
    | agent - [virtio] ==|=QEMU=|=== b --'              |     |                 |
    '--------------------'      '-----------------------'     '-----------------'

It is a Testbed in all else: stimuli, sentinels, prediction, promises and verdicts are the same,
so that what taps show and what guests see can stand side by side.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import permutations

from harness.errors import UsageError
from harness.guests.endpoint import AgentEndpoint
from harness.guests.host import GuestHost, RealGuest, Wanted
from harness.guests.nic import DirectInterface
from harness.guests.tiny.image import Image
from harness.kernel import links
from harness.kernel.procnet import arp_table
from harness.kernel.syscalls import current_cpu
from harness.machines.accelerator import Accelerator
from harness.parts import Guest, Mode
from harness.testbed import Testbed
from harness.topology import Topology

__all__ = ["Answer", "GuestBed"]

_PREFIX = 16
_PING_WITHIN = 1.0  # seconds
_TCP_WITHIN = 5.0


@dataclass(frozen=True)
class Answer:
    """What a client in one station got from another. `why` says what is known of a failure."""

    ok: bool
    why: str = ""


class GuestBed(Testbed):
    """A topology whose guests run under libvirt. Use it in a `with` statement.

    Guests bear one NIC and can be in any of libvirt's modes: not source, no flags. They come up
    on `cpus`, or wherever we may run. Raises
    UnfitError where libvirt, QEMU or what a guest is made of is missing, LibvirtError when a guest
    is refused, UsageError for what libvirt has no words for.
    """

    def __init__(
        self,
        topology: Topology,
        image: Image,
        *,
        cpus: Collection[int] = (),
        accelerator: Accelerator = Accelerator.TCG,
    ) -> None:
        for guest in topology.guests:
            if guest.mode is Mode.SOURCE or guest.nodst or guest.nopromisc or guest.namespace:
                raise UsageError(f"libvirt cannot make a guest like {guest}")
        self._image = image
        self._accelerator = accelerator
        self._cpus = cpus or os.sched_getaffinity(0)
        self.real: dict[str, RealGuest] = {}
        super().__init__(topology)
        self._set_up_addresses()

    def _lay_links(self) -> None:
        """The network, and libvirt's macvtaps where a testbed would make its own."""
        self.wiring.build_network()
        self.host = GuestHost(
            self.wiring.host, self._image, cpus=self._cpus, accelerator=self._accelerator
        )
        self._undo.callback(self.host.close)
        started = self.host.start_all([self._wanted(x) for x in self.topology.guests])
        for guest in started:
            self.real[guest.name] = guest
            self.wiring.index[guest.name] = guest.seen().link.index
            self._pin(guest)

    def _wanted(self, guest: Guest) -> Wanted:
        nic = DirectInterface(
            source=guest.lower,
            mode=guest.mode,
            mac=guest.mac,
            model="virtio",
            target=guest.name,
        )
        return Wanted(guest.name, (nic,))

    def _pin(self, guest: RealGuest) -> None:
        """Let QEMU send on our CPU: then what it sends is in order with what we do.

        libvirt places QEMU's threads by itself, so it is told (virDomainPinEmulator).
        """
        here = current_cpu()
        ours = tuple(cpu == here for cpu in range(os.cpu_count() or 1))
        with guest.running.asking("pin"):
            guest.running.handle.pinEmulator(ours)
            guest.running.handle.pinVcpu(0, ours)

    def _plug_in(self, guest: Guest) -> None:
        place = self.wiring.namespace_of(guest.name)
        self.endpoints[guest.name] = AgentEndpoint(guest.name, self.real[guest.name], place)

    # ------------------------------------------------------------------ clients

    def _set_up_addresses(self) -> None:
        """IPv4 for every station: in the guests, outside, and on the host's lower devices."""
        for name, ip in self.topology.ips.items():
            if name in self.real:
                guest = self.real[name]
                guest.agent.change(guest.nic, up=True, address=f"{ip}/{_PREFIX}")
                continue
            index = self.wiring.index[name]
            request = links.add_address(ip, _PREFIX, index=index)
            self.wiring.namespace_of(name).rtnl.transact([request])

    def ping(self, station: str, other: str) -> Answer:
        """ICMP echo from one station to another, which begins with ARP."""
        ip = self.topology.ips[other]
        with self._strangers(station, other):
            if station in self.real:
                found = self.real[station].agent.ping(ip, seconds=_PING_WITHIN)
                return Answer(found.ok, found.reason)
            return self._host_ping(station, ip)

    @contextmanager
    def _strangers(self, *stations: str) -> Iterator[None]:
        """They know nothing of each other's address before and after.

        One that got no answer would go on to ask by broadcast for three seconds (mcast_solicit);
        one that answered would ask back five seconds later (delay_first_probe_time). In the next
        case that might come through, and whoever is asked learns who asks.
        """

        def forget() -> None:
            for station, other in permutations(stations, 2):
                self._forget(station, self.topology.ips[other])

        forget()
        try:
            yield
        finally:
            forget()

    def _forget(self, station: str, ip: str) -> None:
        if station in self.real:
            guest = self.real[station]
            guest.agent.change(guest.nic, flush=True)
            return
        ns = self.wiring.namespace_of(station)
        if ip in arp_table(ns):
            ns.rtnl.transact([links.delete_neighbour(ip, index=self.wiring.index[station])])

    def _host_ping(self, station: str, ip: str) -> Answer:
        ping = ["ping", "-n", "-c1", f"-W{_PING_WITHIN:g}", ip]
        finished = self.host.family.run(self.wiring.namespace_of(station), ping)
        found = re.search(r"From .*?: (.*)|100% packet loss", finished.stdout)
        return Answer(finished.ok, found[1] or "no answer" if found else "")

    def transfer(self, station: str, other: str, *, size: int) -> Answer:
        """`size` bytes over TCP from one guest to another, which sends them back.

        Raises GuestError when the listening guest cannot be asked.
        """
        here, ip = self.real[station], self.topology.ips[other]
        with self.real[other].agent.listen(echo=True) as listener, self._strangers(station, other):
            found = here.agent.transfer(ip, listener.port, size, echo=True, seconds=_TCP_WITHIN)
        return Answer(found.ok, found.reason)
