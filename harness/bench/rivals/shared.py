"""The path that all share: two macvtaps in bridge mode, each in a namespace of its own.

    a's namespace      host        b's namespace
    .-----------.   .---------.    .-----------.
    |   a ======|===|= lower =|====|=== b      |
    '-----------'   '---------'    '-----------'

While nobody has a tap open the links are ordinary interfaces, with addresses and neighbours, on
which packet sockets and TCP run. Whoever opens a tap gets the frames instead.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from harness.bench.crew import Crew
from harness.bench.ends import End, EndKind
from harness.errors import KernelError
from harness.kernel import links
from harness.kernel.counters import link_counters
from harness.kernel.netns import NetNS
from harness.kernel.packets import plain_socket
from harness.kernel.processes import Family, Process
from harness.kernel.syscalls import detached_mount
from harness.kernel.taps import Offload, Tap
from harness.kernel.waiting import look_until
from harness.parts import Guest, Mode
from harness.resource import Resource
from harness.testbed.wiring import Wiring
from harness.topology import Topology

__all__ = ["SharedPath"]

_READY_WITHIN = 5.0
_LOOPBACK_INDEX = 1
_PREFIX = 16


class SharedPath(Resource):
    """Two stations, `a` that sends and `b` that receives. Use it in a `with` statement.

    Everybody is pinned to the CPUs of the `crew`, which sends and receives for the engine.
    Raises KernelError.
    """

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.topology = Topology(
            [Guest(name, Mode.BRIDGE, namespace=name) for name in ("a", "b")], externals=()
        )
        self._undo = ExitStack()
        try:
            self.family = self._undo.enter_context(Family())
            self._wiring = self._undo.enter_context(Wiring(self.topology))
            self._wiring.build()
            self.scratch = self._scratch()
            for station in self.topology.macs:
                if self.topology.is_guest(station):
                    self._set_up(station)
            if not look_until(self._carried, bool, within=_READY_WITHIN):
                raise KernelError("bring the rivals' path up", errno.ETIMEDOUT, "no carrier")
        except OSError as error:
            self.close()
            raise KernelError("set the rivals' path up", error.errno or 0) from error
        except BaseException:
            self.close()
            raise

    def _scratch(self) -> int:
        """Descriptor of a folder that is mounted nowhere, and gone with us."""
        folder = detached_mount("tmpfs")
        self._undo.callback(os.close, folder)
        return folder

    def _set_up(self, station: str) -> None:
        """An address, and the other known: no frame is on the path but what a turn puts there."""
        ns, index = self.namespace(station), self._wiring.index[station]
        other = "b" if station == "a" else "a"
        # The same on every machine, as for the suite's clients.
        ns.sysctl("net.ipv4.tcp_congestion_control", "reno")
        ns.rtnl.transact(
            [
                links.set_link("lo", index=_LOOPBACK_INDEX, up=True),
                links.add_address(self.ip(station), _PREFIX, index=index),
                links.set_neighbour(self.ip(other), self.topology.macs[other], index=index),
            ]
        )

    def _carried(self) -> bool:
        found = [x for name in ("a", "b") for x in self.namespace(name).rtnl.links()]
        return all(x.get_attr("IFLA_CARRIER") for x in found if x.get_attr("IFLA_IFNAME") != "lo")

    # ------------------------------------------------------------------ stations

    def namespace(self, station: str) -> NetNS:
        """Where the station's link is."""
        return self._wiring.namespace_of(station)

    def ip(self, station: str) -> str:
        """The station's IPv4 address."""
        return self.topology.ips[station]

    def mac(self, station: str) -> bytes:
        """The station's Ethernet address."""
        return bytes.fromhex(self.topology.macs[station].replace(":", ""))

    def counters(self, station: str) -> dict[str, int]:
        """Counters of the station's link (struct rtnl_link_stats64)."""
        return link_counters(self.namespace(station))[station]

    # ------------------------------------------------------------------ ends

    @contextmanager
    def taps(self, header: int = 0) -> Iterator[tuple[End, End]]:
        """Both links' taps, for as long as it lasts, a's first. Raises KernelError."""
        with ExitStack() as stack:
            offloads = Offload.DEFAULT if header else 0
            ends = []
            for name in ("a", "b"):
                ns = self.namespace(name)
                tap = stack.enter_context(
                    Tap.open(
                        ns,
                        name,
                        mac=self.topology.macs[name],
                        vnet_header=header,
                        offloads=offloads,
                    )
                )
                ends.append(End(tap.fd, EndKind.TAP, self.mac(name), header, ns=ns, link=name))
            yield ends[0], ends[1]

    @contextmanager
    def sending_socket(self) -> Iterator[End]:
        """A packet socket on a, past its queueing discipline. Raises KernelError."""
        with self._socket("a", plain_socket(self.namespace("a"), "a")) as end:
            yield end

    @contextmanager
    def listening_socket(self) -> Iterator[End]:
        """A packet socket on b that is deaf until bound, so that its ring can be made first."""
        ns = self.namespace("b")
        sock = ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        with self._socket("b", sock) as end:
            yield end

    @contextmanager
    def _socket(self, station: str, sock: socket.socket) -> Iterator[End]:
        with sock:
            sock.settimeout(0)  # does not block
            yield End(
                sock.fileno(),
                EndKind.PACKET,
                self.mac(station),
                socket=sock,
                ns=self.namespace(station),
                link=station,
            )

    # ------------------------------------------------------------------ programs

    def spawn(
        self, station: str, arguments: Sequence[str], *, descriptors: Sequence[int] = ()
    ) -> Process:
        """Start a program at a station, on that station's CPU; it works in the scratch folder.

        Raises UnfitError when there is no such program.
        """
        cpu = (self.crew.sender if station == "a" else self.crew.receiver).cpu
        return self.family.spawn(
            self.namespace(station),
            arguments,
            descriptors=(self.scratch, *descriptors),
            folder=self.scratch_path,
            cpus={cpu},
        )

    @property
    def scratch_path(self) -> str:
        """A path to the scratch folder that whoever has inherited its descriptor can use."""
        return f"/proc/self/fd/{self.scratch}"

    def close(self) -> None:
        """End every program and take everything down; idempotent."""
        self._undo.close()
