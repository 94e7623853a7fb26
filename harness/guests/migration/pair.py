"""Two hosts that a guest can move between, their switch, and a host outside.

    hosta                          switch                   external
    .-------------------.       .-----------------.       .----------.
    | guest -- lower ---|-------| hosta           |       |          |
    |          spare ---|-------| hosta-spare     |       |          |
    | stream            |       |        external |-------| external |
    '----|--------------'       |                 |       '----------'
    .----|--------------.       |                 |
    | stream            |       |                 |
    |          lower ---|-------| hostb           |
    |          spare ---|-------| hostb-spare     |
    '-------------------'       '-----------------'

Each host has a libvirtd, a host name and a /dev of its own. `stream` is the link that guests'
memory goes over. Both libvirtds are of one family of processes, so that one reaches the other's
files through /proc: that is how unix sockets of theirs have a name in both.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from functools import partial

from harness.guests.daemon import config
from harness.guests.host import FOLDER, GuestHost, Host, RealGuest, Wanted
from harness.guests.migration.echoes import Party
from harness.guests.nic import DirectInterface
from harness.guests.tiny.image import Image
from harness.guests.tiny.spec import Accelerator
from harness.kernel import links
from harness.kernel.linkstate import link_state
from harness.kernel.netns import NetNS, all_at_once
from harness.kernel.processes import Family
from harness.parts import Guest, Mode, Port
from harness.resource import Resource

__all__ = ["EXTERNAL", "LOWER", "NAMES", "SPARE", "HostPair", "Pair"]

NAMES = ("hosta", "hostb")
LOWER = "lower"
"""The lower device that both hosts have."""
SPARE = "spare"
"""A second one, for guests whose XML changes on the way."""
EXTERNAL = Party("02:68:70:03:00:01", "10.104.0.200")
STREAM = "stream"

_GUEST_MAC = "02:68:70:01:00:{:02x}"
_GUEST_IP = "10.104.0.{}"
_PREFIX = 16
_BRIDGE, _OUTSIDE, _LOWER, _SPARE, _STREAM = 2, 2, 40, 41, 42
# Apart from those of their peers: see harness.testbed.wiring.
_FIRST_PORT = 2000
_STREAM_IPS = ("192.0.2.1", "192.0.2.2")
_OCCUPANT = 50


class Pair(Resource):
    """Two hosts of one family of processes, between which guests move."""

    hosts: tuple[GuestHost, GuestHost]

    def other(self, host: Host) -> GuestHost:
        """The one that is not `host`."""
        return self.hosts[host is self.hosts[0]]

    def uri_for_the_other(self, host: GuestHost) -> str:
        """What the other host's libvirtd connects to, to reach this one's."""
        return f"qemu+unix:///system?socket={self._path(host, config.SOCKET)}"

    def socket_for_both(self, host: GuestHost, name: str) -> str:
        """A path for a socket of `host` that means the same on both."""
        return self._path(host, f"{FOLDER}/{name}.migration")

    @staticmethod
    def _path(host: GuestHost, inside: str) -> str:
        return f"/proc/{host.libvirtd.pid_inside}/root{inside}"


class HostPair(Pair):
    """Two hosts, up. Use it in a `with` statement.

    Raises UnfitError where libvirt, QEMU or what a guest is made of is missing.
    """

    def __init__(
        self,
        image: Image,
        *,
        ipv6: bool = False,
        cpus: Collection[int] = (),
        accelerator: Accelerator = Accelerator.TCG,
    ) -> None:
        self._undo = ExitStack()
        self._guests = 0
        self.ports: dict[str, int] = {}
        """Switch port to its index."""
        try:
            self.switch, self.outside, *places = (
                self._undo.enter_context(NetNS.create()) for _ in range(4)
            )
            self._wire(places)
            self.set_ipv6(places, on=ipv6)
            self.ipv6 = ipv6
            self.family = self._undo.enter_context(Family())
            hosts = dict(zip(NAMES, _STREAM_IPS, strict=True))
            made: dict[str, GuestHost] = {}

            def make(name: str, ns: NetNS) -> None:
                made[name] = GuestHost(
                    ns,
                    image,
                    hostname=name,
                    hosts=hosts,
                    cpus=cpus,
                    accelerator=accelerator,
                    family=self.family,
                )
                self._undo.callback(made[name].close)

            all_at_once(partial(make, *x) for x in zip(NAMES, places, strict=True))
            self.hosts = made[NAMES[0]], made[NAMES[1]]
            for host in self.hosts:
                for lower in (LOWER, SPARE):
                    host.before[lower] = link_state(host.ns, lower)
        except BaseException:
            self.close()
            raise

    def _wire(self, places: list[NetNS]) -> None:
        requests = [links.add_bridge("switch", index=_BRIDGE)]
        ends = [("external", "external", _OUTSIDE, self.outside, EXTERNAL.mac)]
        for number, (name, ns) in enumerate(zip(NAMES, places, strict=True), 1):
            ends.append((name, LOWER, _LOWER, ns, f"02:68:70:02:{number:02x}:01"))
            ends.append((f"{name}-spare", SPARE, _SPARE, ns, f"02:68:70:02:{number:02x}:02"))
        for index, (port, peer, peer_index, ns, mac) in enumerate(ends, _FIRST_PORT):
            self.ports[port] = index
            requests.append(
                links.add_veth(
                    port,
                    index=index,
                    peer=peer,
                    peer_index=peer_index,
                    peer_ns=ns.fd,
                    peer_mac=mac,
                    master=_BRIDGE,
                )
            )
            requests.append(links.set_bridge_port(Port(to=port, hairpin=False), index=index))
        self.switch.rtnl.transact(requests)
        self.outside.rtnl.transact(
            [
                links.set_link("external", index=_OUTSIDE, up=True),
                links.add_address(EXTERNAL.ip, _PREFIX, index=_OUTSIDE),
            ]
        )
        here, there = places
        here.rtnl.transact(
            [
                links.add_veth(
                    STREAM, index=_STREAM, peer=STREAM, peer_index=_STREAM + 1, peer_ns=there.fd
                )
            ]
        )
        for ns, ip, index in zip(places, _STREAM_IPS, (_STREAM, _STREAM + 1), strict=True):
            ns.rtnl.transact(
                [
                    links.set_link("lo", index=1, up=True),
                    links.set_link(LOWER, index=_LOWER, up=True),
                    links.set_link(SPARE, index=_SPARE, up=True),
                    links.set_link(STREAM, index=index, up=True),
                    links.add_address(ip, 24, index=index),
                ]
            )

    @staticmethod
    def set_ipv6(places: Collection[NetNS], *, on: bool) -> None:
        """Let the hosts' links configure themselves with IPv6, or not."""
        for ns in places:
            for scope in ("all", "default"):
                ns.sysctl(f"net.ipv6.conf.{scope}.disable_ipv6", str(int(not on)))

    def guest(self, name: str) -> RealGuest:
        """The guest of this name, wherever it is by now. Raises KeyError."""
        return {**self.hosts[0].guests, **self.hosts[1].guests}[name]

    def name_of(self, host: Host) -> str:
        """Its host name, which is that of its switch port."""
        return NAMES[host is self.hosts[1]]

    def port_of(self, guest: RealGuest) -> str:
        """The switch port that the guest's lower device is plugged into."""
        nic = guest.wanted.interfaces[0]
        assert isinstance(nic, DirectInterface)
        return self.name_of(guest.host) + (f"-{SPARE}" if nic.source == SPARE else "")

    def start(self, name: str, mode: Mode, *, lower: str = LOWER) -> RealGuest:
        """Start a guest on the first host that may move; it is up, and has its address."""
        self._guests += 1
        nic = DirectInterface(
            source=lower,
            mode=mode,
            mac=_GUEST_MAC.format(self._guests),
            model="virtio",
        )
        guest = self.hosts[0].start(Wanted(name, (nic,)), bound=False)
        guest.agent.change(guest.nic, up=True, address=f"{self.party(guest).ip}/{_PREFIX}")
        # Known to each other for good: nobody is to be asked while we count.
        guest.agent.add_neighbour(guest.nic, EXTERNAL.ip, EXTERNAL.mac)
        party = self.party(guest)
        self.outside.rtnl.transact([links.set_neighbour(party.ip, party.mac, index=_OUTSIDE)])
        return guest

    @staticmethod
    def party(guest: RealGuest) -> Party:
        """The guest as others address it."""
        mac = guest.wanted.interfaces[0].mac
        return Party(mac, _GUEST_IP.format(int(mac[-2:], 16)))

    def cut_stream(self, *, mended: bool = False) -> None:
        """Take the link down that memory goes over, or up again."""
        ns = self.hosts[0].ns
        ns.rtnl.transact([links.set_link(STREAM, index=_STREAM, up=mended)])

    def occupy(self, host: GuestHost) -> None:
        """Have somebody else use the host's lower device in passthru mode, until `vacate`."""
        other = Guest("occupant", Mode.PASSTHRU, LOWER)
        host.ns.rtnl.transact([links.add_macvtap(other, index=_OCCUPANT, lower=_LOWER)])

    @staticmethod
    def vacate(host: GuestHost) -> None:
        """End what `occupy` began."""
        host.ns.rtnl.transact([links.delete_link("occupant", index=_OCCUPANT)])

    def close(self) -> None:
        """Pull every plug; idempotent."""
        self._undo.close()
