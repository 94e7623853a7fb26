"""Real guests on cables whose far ends we hold: the place for live changes.

    [QEMU]--.
            low1 ----- far1 [stack]
    [QEMU]--'
    [QEMU]---- low2 ----- far2 [stack]

One libvirtd, one namespace for all lower devices and one for all far ends. No switch and nothing
declared: lower devices are made when they are asked for, guests come and go, and what became of
it is read back from the kernel. `harness.guests.bed` has switches, predictions and verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from itertools import count

from harness.guests.host import GuestHost, RealGuest
from harness.guests.nic import DirectInterface
from harness.guests.tiny.answers import Ping
from harness.guests.tiny.image import Image
from harness.kernel import links
from harness.kernel.linkstate import LinkState, link_state, macvtaps, wait_for_link
from harness.kernel.netns import NetNS
from harness.kernel.procnet import arp_table, groups
from harness.kernel.waiting import look_until
from harness.machines.accelerator import Accelerator
from harness.parts import Mode
from harness.resource import Resource

__all__ = ["EACH_MODE", "GuestCables"]

EACH_MODE = (Mode.VEPA, Mode.BRIDGE, Mode.PRIVATE, Mode.PASSTHRU)
"""The modes that libvirt knows, the one it takes by itself first."""

# The two ends of a veth with equal indexes would settle slowly (linkwatch_urgent_event); links
# without a chosen index get low ones.
_LOWER_INDEX, _FAR_INDEX = 10_000, 20_000
_PREFIX = 24
_ANSWERS_WITHIN = 1.0  # seconds
_RESTORED_WITHIN = 5.0


class GuestCables(Resource):
    """A host with libvirtd, and its cables. Use it in a `with` statement.

    Raises UnfitError where libvirt, QEMU or what a guest is made of is missing.
    """

    def __init__(
        self,
        image: Image,
        *,
        cpus: Collection[int] = (),
        accelerator: Accelerator = Accelerator.TCG,
    ) -> None:
        self._numbers = count(1)
        self._macs = count(1)
        self._ips: dict[str, str] = {}
        self._undo = ExitStack()
        try:
            self.ns = self._undo.enter_context(NetNS.create())
            self.outside = self._undo.enter_context(NetNS.create())
            self.host = self._undo.enter_context(
                GuestHost(self.ns, image, cpus=cpus, accelerator=accelerator)
            )
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------ cables

    def lower(self, *, mtu: int = 1500) -> str:
        """A new lower device that has a carrier, its far end with an address; its name."""
        number = next(self._numbers)
        lower, far = f"low{number}", f"far{number}"
        self.outside.rtnl.transact(
            [
                links.add_veth(
                    far,
                    index=_FAR_INDEX + number,
                    peer=lower,
                    peer_index=_LOWER_INDEX + number,
                    peer_ns=self.ns.fd,
                    peer_mac=f"02:68:70:02:01:{number:02x}",
                    mtu=mtu,
                ),
                links.set_link(far, index=_FAR_INDEX + number, up=True),
                links.add_address(f"10.105.{number}.1", _PREFIX, index=_FAR_INDEX + number),
            ]
        )
        index = _LOWER_INDEX + number
        self.ns.rtnl.transact([links.set_link(lower, index=index, up=True)])
        # It sends nothing before linkwatch has seen its carrier (linkwatch_do_dev).
        for ns, name in ((self.ns, lower), (self.outside, far)):
            wait_for_link(ns, name, lambda link: link.operstate == "UP")
        return lower

    def far(self, lower: str) -> str:
        """The far end of the cable of `lower`."""
        return f"far{self._number(lower)}"

    def state(self, name: str) -> LinkState:
        """A link of the host as it is now. Raises KernelError."""
        return link_state(self.ns, name)

    def groups(self, name: str) -> frozenset[str]:
        """The multicast MACs that a link of the host listens for."""
        return groups(self.ns, name)

    def wait(self, name: str, wanted: Callable[[LinkState], bool]) -> LinkState:
        """A link of the host once it is as `wanted`. Raises KernelError when it never is."""
        return wait_for_link(self.ns, name, wanted)

    def set_mtu(self, lower: str, mtu: int) -> None:
        """Give a lower device another MTU."""
        index = _LOWER_INDEX + self._number(lower)
        self.ns.rtnl.transact([links.set_mtu(lower, mtu, index=index)])

    def set_far(self, lower: str, *, up: bool) -> None:
        """Give the far end of a cable its carrier or take it away; `lower` has noticed."""
        index = _FAR_INDEX + self._number(lower)
        self.outside.rtnl.transact([links.set_link(self.far(lower), index=index, up=up)])
        self.wait(lower, lambda link: link.operstate == ("UP" if up else "DOWN"))

    @staticmethod
    def _number(lower: str) -> int:
        return int(lower.removeprefix("low"))

    def unrestored(self, lower: str) -> list[str]:
        """In what a lower device is not, and does not become, as it was before its first guest.

        One clause each. libvirt restores it last, after the macvtap and the XML have gone.
        Whether it is up is left out: `harness.guests.found` says why.
        """
        was = self.host.before[lower]

        def look() -> list[str]:
            now = self.state(lower)
            return [
                f"{name} of {lower}: {getattr(was, name)} before, {getattr(now, name)} now"
                for name in ("mac", "mtu", "promiscuity", "promiscuous", "allmulti", "master")
                if getattr(was, name) != getattr(now, name)
            ]

        return look_until(look, lambda found: not found, within=_RESTORED_WITHIN)

    def give_back(self, lower: str) -> None:
        """Give a lower device the address that it had before its first guest, and bring it up."""
        index = _LOWER_INDEX + self._number(lower)
        mac = self.host.before[lower].mac
        requests = [
            links.set_mac(lower, mac, index=index),
            links.set_link(lower, index=index, up=True),
        ]
        self.ns.rtnl.transact(requests)

    def macvtaps_on(self, lower: str = "") -> list[str]:
        """The names of the macvtaps on a lower device, or of all of the host."""
        index = self.state(lower).index if lower else 0
        return sorted(x.name for x in macvtaps(self.ns) if not lower or x.lower == index)

    # ------------------------------------------------------------------ guests

    def nic(self, mode: Mode = Mode.VEPA, **rest: object) -> DirectInterface:
        """A virtio NIC with an address of its own, on a new lower device unless `rest` has one."""
        wanted = {"model": "virtio", "mac": self.new_mac(), **rest}
        if "source" not in wanted:
            wanted["source"] = self.lower()
        return DirectInterface(mode=mode, **wanted)  # type: ignore[arg-type]

    def new_mac(self) -> str:
        """An address that nobody has been given yet."""
        return f"02:68:70:01:01:{next(self._macs):02x}"

    def ping(self, guest: RealGuest, number: int = 0, *, card: str = "", size: int = 56) -> Ping:
        """What comes of a ping from the guest's NIC to the far end, which begins with ARP.

        Neither end knows the other before or after: five seconds later each would ask the other
        whether it is still there (delay_first_probe_time), into whatever is captured then. `size`
        is that of its data. `card` is what the guest calls the NIC, where that has not the address
        any more that libvirt knows. Raises GuestError.
        """
        nic = guest.wanted.interfaces[number]  # libvirtd need not be there
        assert isinstance(nic, DirectInterface)
        cable = self._number(nic.source)
        last = 2 + int(nic.mac.rpartition(":")[2], 16)
        ours, far = f"10.105.{cable}.{last}", f"10.105.{cable}.1"
        card = card or guest.agent.nic(nic.mac).name
        guest.agent.change(card, up=True, address=f"{ours}/{_PREFIX}", flush=True)
        self._far_forgets(ours, cable)
        answer = guest.agent.ping(far, seconds=_ANSWERS_WITHIN, size=size)
        guest.agent.change(card, flush=True)
        self._far_forgets(ours, cable)
        return answer

    def _far_forgets(self, ip: str, cable: int) -> None:
        if ip in arp_table(self.outside):
            self.outside.rtnl.transact([links.delete_neighbour(ip, index=_FAR_INDEX + cable)])

    def wrong(self, guest: RealGuest, numbers: Iterable[int] | None = None) -> list[str]:
        """What is not as its XML says, or not answered, of each of its NICs; one clause each."""
        found = []
        for number in range(len(guest.wanted.interfaces)) if numbers is None else numbers:
            nic = guest.wanted.interfaces[number]
            place = f"NIC {number} ({getattr(nic, 'mode', '')})"
            found += [f"{place}: {clause}" for clause in guest.unlike(number)]
            answer = self.ping(guest, number)
            if not answer.ok:
                found.append(f"{place}: no answer from the far end ({answer.reason})")
        return found

    def close(self) -> None:
        """Take everything down; idempotent."""
        self._undo.close()
