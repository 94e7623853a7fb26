"""Stations with a network stack: a topology on which real programs run.

    a's namespace            host                           external's namespace
    .----------------.      .--------------------------.    .------------------.
    | stack - [a] ===|=pump=|=== a --.                 |    |                  |
    '----------------'      |        lower ------------|----|-- switch ...     |
    | stack - [b] ===|=pump=|=== b --'                 |    |                  |
    '----------------'      '--------------------------'    '------------------'

A guest is a namespace with a tun device, as a virtual machine has a network card; a pump
stands for the hypervisor, between that device and the macvtap's tap. Where taps cannot be
opened, it stands between the device and a packet socket on the macvtap link. Every station has
its IPv4 address (`Topology.ips`), and the external hosts and the host itself have theirs on the
links that they have anyway.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from harness.errors import KernelError
from harness.kernel import links
from harness.kernel.features import Backend
from harness.kernel.netlink import Request
from harness.kernel.netns import NetNS
from harness.kernel.packets import offload_socket
from harness.kernel.processes import Family, Finished, Process
from harness.kernel.procnet import Address6, addresses6, arp_table
from harness.kernel.taps import Tap
from harness.kernel.tun import Tun
from harness.kernel.waiting import look_until
from harness.parts import Guest
from harness.resource import Resource
from harness.testbed.wiring import Wiring
from harness.topology import Topology

__all__ = ["Stacks"]

_HEADER = 10  # bytes: struct virtio_net_hdr, the one that packet sockets know too
_TUN_INDEX = 2
_LOOPBACK_INDEX = 1
_PREFIX = 16  # of the stations' IPv4 network
_PREFIX6 = 64
_READY_WITHIN = 5.0
_FORWARDING = 3  # BR_STATE_FORWARDING
_PUMP = Path(__file__).with_name("pump.py")
# Three attempts (mcast_solicit) of so long, and ARP or neighbour discovery has found nobody.
_ASK_AGAIN = "60"  # milliseconds


class Stacks(Resource):
    """A topology whose stations are network stacks. Use it in a `with` statement.

    With `ipv6` they have IPv6 as well: link-local addresses, and static ones (`ips6`).

    Raises KernelError when the kernel refuses a part, UnfitError where there is no /dev/net/tun.
    """

    def __init__(
        self, topology: Topology, *, backend: Backend = Backend.TAP, ipv6: bool = False
    ) -> None:
        self.topology = topology
        self.backend = backend
        self.ipv6 = ipv6
        self._undo = ExitStack()
        try:
            self.family = self._undo.enter_context(Family())
            self.wiring = self._undo.enter_context(Wiring(topology))
            self._inside = {
                g.name: self._undo.enter_context(NetNS.create()) for g in topology.guests
            }
            for ns in (self.wiring.host, *self.wiring.outside.values(), *self._inside.values()):
                self._set_defaults(ns)
            self.wiring.build()
            self._pumps = [self._start(guest) for guest in topology.guests]
            self._set_up_links()
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------ building

    def _set_defaults(self, ns: NetNS) -> None:
        """What a namespace and its links shall have from the beginning."""
        # The same on every machine. A machine whose default paces (bbr) waits for timers: half
        # the throughput. Reno is always there and is open to everybody (tcp_cong.c).
        ns.sysctl("net.ipv4.tcp_congestion_control", "reno")
        if not self.ipv6:
            return
        # Duplicate address detection begins at once instead of within a second, and is for the
        # guests only: it is their multicast that macvtap is about.
        ns.sysctl("net.ipv6.conf.default.router_solicitation_delay", "0")
        ns.sysctl("net.ipv6.conf.default.keep_addr_on_down", "1")  # static ones: see replug
        if ns not in self._inside.values():
            ns.sysctl("net.ipv6.conf.default.dad_transmits", "0")
        if ns is not self.wiring.host:  # where the macvtaps are, which are the guests'
            ns.sysctl("net.ipv6.conf.all.disable_ipv6", "0")

    def _start(self, guest: Guest) -> Process:
        """The guest's tun device, and the pump between it and the macvtap."""
        ns, there = self._inside[guest.name], self.wiring.namespace_of(guest.name)
        tun = Tun.open(ns, guest.name, index=_TUN_INDEX, mac=guest.mac, vnet_header=_HEADER)
        with tun, ExitStack() as handed_over:
            if self.backend is Backend.TAP:
                tap = Tap.open(
                    there, guest.name, mac=guest.mac, vnet_header=_HEADER, offloads=tun.offloads
                )
                handed_over.callback(tap.close)
                end = tap.fd
            else:
                # The frames are the guest's: the host's stack, which sees them too, is silent.
                there.sysctl(f"net.ipv4.conf.{guest.name}.arp_ignore", "8")
                sock = offload_socket(there, guest.name)
                handed_over.callback(sock.close)
                end = sock.fileno()
            return self.family.spawn(
                ns,
                [sys.executable, "-I", "-S", str(_PUMP), str(tun.fd), str(end)],
                descriptors=(end, tun.fd),
            )

    def _set_up_links(self) -> None:
        """Loopback, addresses, and the guests' devices up."""
        for name in self.topology.macs:
            ns = self.namespace(name)
            ns.sysctl(f"net.ipv4.neigh.{name}.retrans_time_ms", _ASK_AGAIN)
            if self.ipv6:
                ns.sysctl(f"net.ipv6.neigh.{name}.retrans_time_ms", _ASK_AGAIN)
                ns.sysctl(f"net.ipv6.conf.{name}.disable_ipv6", "0")
            ns.rtnl.transact(self._requests(name))

    def _requests(self, station: str) -> Iterator[Request]:
        index = self.index(station)
        yield links.set_link("lo", index=_LOOPBACK_INDEX, up=True)
        if self.topology.is_guest(station):
            mtu = self.topology.lower(self.topology.guest(station).lower).mtu
            yield links.set_mtu(station, mtu, index=index)
            yield links.set_link(station, index=index, up=True)
        yield links.add_address(self.topology.ips[station], _PREFIX, index=index)
        if self.ipv6:
            yield links.add_address(self.ips6[station], _PREFIX6, index=index)

    def _wait_until_ready(self) -> None:
        """Pumps run, the switches forward, every link has its carrier."""
        for pump in self._pumps:
            pump.wait_until(lambda pump=pump: pump.stdout != "", timeout=_READY_WITHIN)  # type: ignore[misc]
        link = look_until(self._not_ready, lambda link: not link, within=_READY_WITHIN)
        if link:
            raise KernelError(
                "bring the stacks up",
                errno.ETIMEDOUT,
                f"no carrier, or not forwarding, after {_READY_WITHIN:g} s: {link}",
            )

    def _not_ready(self) -> str:
        """A link that is not ready, empty when all are."""
        down = {g.name for g in self.topology.guests if not g.up}
        down |= {x for x in self.wiring.port_index if not self.topology.port(x).up}
        for link in self.wiring.switch.rtnl.links():
            name, info = link.get_attr("IFLA_IFNAME"), link.get_attr("IFLA_LINKINFO")
            port = info and info.get_attr("IFLA_INFO_SLAVE_DATA")
            if name in self.wiring.port_index and name not in down:
                if not port or port.get_attr("IFLA_BRPORT_STATE") != _FORWARDING:
                    return f"switch port {name}"
        for station in self.topology.macs:
            for ns in {self.namespace(station), self.wiring.namespace_of(station)}:
                for link in ns.rtnl.links():
                    if link.get_attr("IFLA_IFNAME") == station and station not in down:
                        if not link.get_attr("IFLA_CARRIER"):
                            return station
        return ""

    # ------------------------------------------------------------------ stations

    @property
    def ips6(self) -> dict[str, str]:
        """Station name to its static IPv6 address (fd68:7069::/64)."""
        return {name: f"fd68:7069::{i:x}" for i, name in enumerate(self.topology.macs, 2)}

    def namespace(self, station: str) -> NetNS:
        """Where the station's stack is: a guest's own, not its macvtap's."""
        return self._inside.get(station) or self.wiring.namespace_of(station)

    def index(self, station: str) -> int:
        """Index of the station's link in the namespace of its stack."""
        return _TUN_INDEX if station in self._inside else self.wiring.index[station]

    def arp(self, station: str) -> dict[str, str]:
        """Station name to the MAC address that ARP has found for it, empty where it found none.

        Stations that `station` has not asked for are absent.
        """
        names = {ip: name for name, ip in self.topology.ips.items()}
        table = arp_table(self.namespace(station))
        return {names[ip]: mac for ip, mac in table.items() if ip in names}

    def know(self, station: str, other: str) -> Callable[[], None]:
        """Give a station a permanent neighbour entry for another; returns what takes it away."""
        ns, index, ip = self.namespace(station), self.index(station), self.topology.ips[other]
        ns.rtnl.transact([links.set_neighbour(ip, self.topology.macs[other], index=index)])
        return lambda: self.forget(station, other)

    def forget(self, station: str, other: str) -> None:
        """Take away what a station knows of another's MAC address, if anything."""
        ns, ip = self.namespace(station), self.topology.ips[other]
        if ip in arp_table(ns):
            ns.rtnl.transact([links.delete_neighbour(ip, index=self.index(station))])

    def replug(self, guest: str) -> None:
        """The guest's card out and in again: it begins anew to look for routers and neighbours.

        Static addresses stay.
        """
        ns, index = self.namespace(guest), self.index(guest)
        ns.rtnl.transact([links.set_link(guest, index=index, up=up) for up in (False, True)])

    def addresses6(self, station: str, *, within: float = 10.0) -> list[Address6]:
        """The station's IPv6 addresses, once duplicate address detection is over.

        Raises KernelError when that, or any address, takes longer than `within` seconds.
        """

        def mine() -> list[Address6]:
            return [a for a in addresses6(self.namespace(station)) if a.link == station]

        def settled(found: list[Address6]) -> bool:
            return bool(found) and all(a.duplicate or not a.tentative for a in found)

        found = look_until(mine, settled, within=within)
        if not settled(found):
            said = ", ".join(str(a.address) for a in found) or "no address"
            raise KernelError(f"detect duplicates of {station}", errno.ETIMEDOUT, said)
        return found

    # ------------------------------------------------------------------ programs

    def spawn(
        self,
        station: str,
        arguments: Sequence[str],
        *,
        ready: Callable[[], bool] | None = None,
        environment: dict[str, str] | None = None,
    ) -> Process:
        """Start a program in the station's namespace; returns once `ready`, if given, says so.

        Raises UnfitError when there is no such program, CommandError when it never gets ready.
        """
        process = self.family.spawn(self.namespace(station), arguments, environment=environment)
        return process.wait_until(ready) if ready else process

    def run(self, station: str, arguments: Sequence[str], *, timeout: float = 10.0) -> Finished:
        """Run a program in the station's namespace to its end.

        Raises UnfitError when there is none, CommandError after `timeout` seconds.
        """
        return self.spawn(station, arguments).wait(timeout)

    # ------------------------------------------------------------------ lifetime

    def close(self) -> None:
        """End every program and take everything down; idempotent."""
        self._undo.close()
