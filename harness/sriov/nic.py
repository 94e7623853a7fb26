"""A NIC with virtual functions that is ours for a while, and macvtaps on it.

    .-- host ---------------.                         .-- outside -.
    | p0 macvtap --- vf0 --. |                        |            |
    | p1 macvtap --- vf1 --+ NIC ------- wire ------- | link       |
    |                 PF --' |                        '------------'
    '------------------------'

PF and the link outside are the machine's own, named by the user; for as long as it lasts they lie
in anonymous namespaces. When we go, however that is, the kernel gives both back to the machine
(default_device_exit_net, net/core/dev.c).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack

from harness.errors import KernelError, UnfitError
from harness.kernel import links
from harness.kernel.linkstate import LinkState, link_state, wait_for_link
from harness.kernel.netns import NetNS
from harness.kernel.sriov import (
    NO_MAC,
    PciDevice,
    VfState,
    find_pci_device,
    set_vf,
    vf_states,
)
from harness.parts import Guest, Mode
from harness.resource import Resource

__all__ = ["SriovNic", "ensure_free"]

_FUNCTIONS = 2
_FIRST = 10_000  # index of the first macvtap, beyond what the kernel gives out by itself
_ANY_MAC = "02:68:70:04:03:01"
_CARRIER_WITHIN = 60.0  # seconds; igbvf looks every two, and emulated everything takes longer


class SriovNic(Resource):
    """The NIC `pf` with two virtual functions, and the link `outside`, which it is wired to.

    Both are names of links or addresses on the PCI bus. Use it in a `with` statement. Raises
    UsageError for a word that means no device, UnfitError for a PF that cannot be taken,
    KernelError.
    """

    def __init__(self, pf: str, outside: str) -> None:
        if os.geteuid():
            raise UnfitError("virtual functions take root", remedy="run it with sudo")
        self.device, self.pf, self.outside = ensure_free(pf, outside)
        self.macvtaps: dict[str, int] = {}
        self._originals: dict[int, str] = {}
        self._given: set[int] = set()  # VFs that the PF has given an address
        self._undo = ExitStack()
        try:
            self._ours = self._undo.enter_context(NetNS.current())
            self.ns = self._undo.enter_context(NetNS.create())
            self.outside_ns = self._undo.enter_context(NetNS.create())
            self._take(self.pf, self.ns)
            self._take(self.outside, self.outside_ns)
            self.set_link(self.outside, up=True, promiscuous=True)
            self.set_link(self.pf, up=True)
            # Without its carrier, VFs come up without one.
            for name in (self.outside, self.pf):
                self.wait(name, lambda link: link.operstate == "UP")
            self.have_functions(_FUNCTIONS)
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------ links

    def _take(self, name: str, ns: NetNS) -> None:
        index = link_state(self._ours, name).index
        self._ours.rtnl.transact([links.move_link(name, index=index, to=ns.fd)])
        self._undo.callback(self._give_back, name, ns)

    def _give_back(self, name: str, ns: NetNS) -> None:
        index = link_state(ns, name).index
        down = links.set_attributes(name, index=index, promiscuous=False)
        ns.rtnl.transact([down, links.move_link(name, index=index, to=self._ours.fd)])

    def have_functions(self, number: int) -> None:
        """Have so many virtual functions, named vf0, vf1, …, up and with a carrier.

        All that there were go first, and the macvtaps on them. Raises KernelError.
        """
        try:
            self._make_functions(number)
        except KernelError as error:
            if error.errno != errno.ETIMEDOUT:
                raise
            # On a busy machine an emulated one may have no carrier, reset or not: seen on 6.1 in 3
            # of some 60 set-ups, and those that were made anew after it had one.
            self.drop_functions()
            for up in (False, True):
                self.set_link(self.pf, up=up)
            self.wait(self.pf, lambda link: link.operstate == "UP")
            self._make_functions(number)

    def _make_functions(self, number: int) -> None:
        self.drop_functions()
        self.device.set_functions(number)
        for place, function in enumerate(self.device.functions):
            function.load_driver()
            self._adopt(place, function.link())
        for place in range(number):
            self.wait(f"vf{place}", lambda link: link.operstate == "UP")

    def _adopt(self, place: int, name: str) -> None:
        """Take the link of a VF to the others, under a name that tells which it is."""
        index, ours = link_state(self._ours, name).index, f"vf{place}"
        # At once, as its name may be that of the PF, which had left it free (do_setlink).
        attributes = (("IFLA_NET_NS_FD", self.ns.fd), ("IFLA_IFNAME", ours))
        self._ours.rtnl.transact([links.set_attributes(name, index=index, attributes=attributes)])
        self.ns.rtnl.transact([links.set_link(ours, index=index, up=True)])
        self._originals[place] = self.state(ours).mac

    def drop_functions(self) -> None:
        """Have none any more; taps stay open."""
        self.device.set_functions(0)
        self.macvtaps.clear()
        self._originals.clear()
        self._given.clear()

    def _ns_of(self, name: str) -> NetNS:
        return self.outside_ns if name == self.outside else self.ns

    def state(self, name: str) -> LinkState:
        """The link as it is now. Raises KernelError."""
        return link_state(self._ns_of(name), name)

    def wait(self, name: str, wanted: Callable[[LinkState], bool]) -> LinkState:
        """The link once it is as `wanted`. Raises KernelError when it never is."""
        return wait_for_link(self._ns_of(name), name, wanted, within=_CARRIER_WITHIN)

    def set_link(
        self,
        name: str,
        *,
        up: bool | None = None,
        promiscuous: bool | None = None,
        allmulticast: bool | None = None,
    ) -> None:
        """Bring a link up or down, make it promiscuous or allmulticast. Raises KernelError."""
        request = links.set_attributes(
            name,
            index=self.state(name).index,
            up=up,
            promiscuous=promiscuous,
            allmulticast=allmulticast,
        )
        self._ns_of(name).rtnl.transact([request])

    def set_mac(self, name: str, mac: str) -> None:
        """Give a link another address. Raises KernelError."""
        self._ns_of(name).rtnl.transact([links.set_mac(name, mac, index=self.state(name).index)])

    def set_vf(self, number: int, **what: object) -> None:
        """Set a virtual function through the PF: see `harness.kernel.sriov.set_vf`."""
        index = self.state(self.pf).index
        self.ns.rtnl.transact([set_vf(self.pf, number, index=index, **what)])  # type: ignore[arg-type]
        if "mac" in what:
            self._given.add(number)

    def vf(self, number: int) -> VfState:
        """A virtual function as the PF has it now."""
        return vf_states(self.ns, self.pf)[number]

    # ------------------------------------------------------------------ macvtaps

    def add(self, guest: Guest, *, on: str) -> None:
        """A macvtap more, on the link `on`. Raises KernelError.

        It takes an address, unless it is in passthru: ValueError without.
        """
        lower = self.state(on).index
        index = self.claim(guest.name)
        try:
            self.ns.rtnl.transact([links.add_macvtap(guest, index=index, lower=lower)])
        except (KernelError, ValueError):
            del self.macvtaps[guest.name]
            raise

    def claim(self, name: str) -> int:
        """An index for a macvtap of that name, which the caller is about to make."""
        self.macvtaps[name] = max(self.macvtaps.values(), default=_FIRST) + 1
        return self.macvtaps[name]

    def passthru(self, number: int, *, mac: str = "", nopromisc: bool = False) -> str:
        """A macvtap in passthru on a virtual function, ready for frames; its name: p0 on vf0."""
        name = f"p{number}"
        self.add(Guest(name, Mode.PASSTHRU, nopromisc=nopromisc), on=f"vf{number}")
        if mac:
            self.set_mac(name, mac)
        return name

    def delete(self, name: str) -> None:
        """Remove a macvtap. Raises KernelError."""
        self.ns.rtnl.transact([links.delete_link(name, index=self.macvtaps.pop(name))])

    def tidy(self) -> None:
        """As at first: no macvtap, virtual functions up, and nothing that the PF has decided."""
        for name in list(self.macvtaps):
            self.delete(name)
        self.set_link(self.pf, up=True, promiscuous=False, allmulticast=False)
        for number, mac in self._originals.items():
            name = f"vf{number}"
            self.set_vf(number, vlan=0, spoofchk=True, trust=False)
            if number in self._given:
                self.set_vf(number, mac=NO_MAC)
                self.set_mac(name, _ANY_MAC)  # so that the driver tells the NIC its own anew
            if self.state(name).mac != mac:
                self.set_mac(name, mac)
            self.set_link(name, up=True, promiscuous=False, allmulticast=False)
        self._given.clear()
        for place in self._originals:
            self.wait(f"vf{place}", lambda link: link.operstate == "UP")

    def close(self) -> None:
        """Give the NIC back, without virtual functions; idempotent."""
        if hasattr(self, "ns") and self.device.functions:
            self.device.set_functions(0)
        self._undo.close()


def _link_of(device: PciDevice) -> str:
    device.load_driver()
    return device.link()


def ensure_free(pf: str, outside: str) -> tuple[PciDevice, str, str]:
    """See that both are there and nobody may be using them: words as of SriovNic.

    Loads their drivers. Returns the PF's device, its link and the other one's. Raises UsageError
    for a word that means no device, UnfitError, CommandError for a driver that does not load,
    KernelError (ENODEV) for a device without a link.
    """
    device = find_pci_device(pf)
    names = _link_of(device), _link_of(find_pci_device(outside))
    if device.most_functions < _FUNCTIONS:
        raise UnfitError(
            f"{pf} ({device.driver}) can have {device.most_functions} virtual functions, and it "
            f"takes {_FUNCTIONS}",
            remedy="name a NIC that has SR-IOV, switched on in the firmware as well",
        )
    if device.functions:
        raise UnfitError(
            f"{pf} has {len(device.functions)} virtual functions already, which may be somebody's",
            remedy=f"if not: echo 0 >/sys/class/net/{names[0]}/device/sriov_numvfs",
        )
    with NetNS.current() as ours:
        for name in names:
            if link_state(ours, name).up:
                raise UnfitError(
                    f"{name} is up, so somebody may be using it",
                    remedy=f"where nobody does: ip link set {name} down",
                )
    return device, *names
