"""Two hosts at one switch, each with libvirt and lldpad, between which a VSI moves.

hosta                               hostb
[QEMU] -- macvtap -- low1 --.   .-- low2 -- macvtap -- [QEMU]
libvirtd -- lldpad          switch          lldpad -- libvirtd
"""

from __future__ import annotations

from contextlib import ExitStack

from harness.guests.daemon import NetlinkPort
from harness.guests.host import GuestHost, RealGuest, Wanted
from harness.guests.migration.pair import NAMES, Pair
from harness.guests.nic import DirectInterface
from harness.guests.tiny.image import Image
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family
from harness.vsi.facts import Dialect
from harness.vsi.live import EvbSwitch, TapPort
from harness.vsi.station.beginning import agreed, begin_link
from harness.vsi.station.lldpad import Lldpad, Station

__all__ = ["LOWS", "StationPair"]

LOWS = ("low1", "low2")
"""The hosts' lower devices, and the switch's ports."""


class StationPair(Pair):
    """Two hosts, up and agreed with the switch. Use it in a `with` statement.

    Raises UnfitError where libvirt, QEMU, lldpad or what a guest is made of is missing.
    """

    def __init__(self, image: Image, *, dialect: Dialect) -> None:
        self._undo = ExitStack()
        try:
            places = [self._undo.enter_context(NetNS.create()) for _ in LOWS]
            with ExitStack() as wires:
                ports = [
                    wires.enter_context(TapPort.open(ns, low, mac=f"02:68:70:02:03:{number:02x}"))
                    for number, (ns, low) in enumerate(zip(places, LOWS, strict=True), 1)
                ]
                self.switch = self._undo.enter_context(EvbSwitch(ports))
                wires.pop_all()
            family = self._undo.enter_context(Family())
            made = []
            for ns, low, port, name in zip(places, LOWS, ports, NAMES, strict=True):
                begin_link(ns, low, port)
                host = GuestHost(
                    ns, image, hostname=name, family=family, netlink_port=NetlinkPort.USABLE
                )
                self._undo.callback(host.close)
                made.append(host)
                station = Station(link=low, dialect=dialect)
                sandbox = host.libvirtd.sandbox
                lldpad = self._undo.enter_context(Lldpad(family, ns, sandbox, [station]))
                agreed(self.switch, lldpad, station)
            self.hosts = made[0], made[1]
        except BaseException:
            self.close()
            raise

    def start(self, nic: DirectInterface) -> RealGuest:
        """A guest on the first host that may move; its processors stand still."""
        return self.hosts[0].start(Wanted("mover", (nic,), paused=True), bound=False)

    def close(self) -> None:
        """Pull every plug; idempotent."""
        self._undo.close()
