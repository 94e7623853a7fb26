"""A lower device on a cable whose far end the test holds: the smallest place for live changes.

    a [tap]--.
             lower ----- far
    b [tap]--'

One namespace, no switch, nothing declared: links are changed at will and read back, and who
got what is asked of named ends. It comes up in some 3 ms, so every case can have its own. The
cable is a veth pair, or whatever else is given as a Wire: two network interfaces, say.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count

from harness.frames import ETHERTYPE_EXPERIMENTAL, Frame, Kind, payload
from harness.kernel import links
from harness.kernel.affinity import pinned
from harness.kernel.features import Backend
from harness.kernel.linkstate import LinkState, link_state, wait_for_link
from harness.kernel.netlink import Request
from harness.kernel.netns import NetNS
from harness.kernel.taps import Tap
from harness.parts import BROADCAST_MAC, Guest, Mode, is_multicast
from harness.resource import Resource
from harness.testbed.raw import LinkEnd, RawEnd, TapEnd, marker
from harness.topology import Topology

__all__ = ["FAR_MAC", "Cable", "Wire"]

FAR_MAC = "02:68:70:03:00:01"  # a topology's first external host has it, too
_LOWER, _FAR, _FIRST = 10, 11, 20
_SIOCGIFHWADDR = 0x8927
_idents = count(1)


@dataclass(frozen=True)
class Wire:
    """Two links of `ns` with those indexes, called lower and far, up and joined."""

    ns: NetNS
    lower: int
    far: int


class Cable(Resource):
    """A live cable with `guests` on its lower device. Use it in a `with` statement.

    `index` maps the name of every link to its index. Guests without an address get the one
    that a Topology would give them. On a `wire` there must be no other guests meanwhile; it
    stays when the cable goes. Raises KernelError.
    """

    def __init__(
        self,
        guests: Iterable[Guest] = (),
        *,
        backend: Backend = Backend.TAP,
        mtu: int = 1500,
        wire: Wire | None = None,
    ) -> None:
        declared = Topology(guests)
        self.backend = backend
        self.index = {"lower": _LOWER, "far": _FAR}
        self._highest = _FIRST
        self._ends: dict[str, RawEnd] = {}
        self._sources: dict[str, tuple[str, ...]] = {}
        self._undo = ExitStack()
        try:
            self._undo.enter_context(pinned())
            if wire:
                self.ns = wire.ns
                self.index = {"lower": wire.lower, "far": wire.far}
                self._undo.callback(self._remove_guests)
            else:
                self.ns = self._undo.enter_context(NetNS.create())
                self._lay(declared.macs["lower"], mtu)
            self._socket = self._undo.enter_context(
                self.ns.run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0))
            )
            for guest in declared.guests:
                self.add(guest)
        except BaseException:
            self.close()
            raise

    def _lay(self, lower_mac: str, mtu: int) -> None:
        """The cable itself: a veth pair."""
        far = links.add_veth(
            "far",
            index=_FAR,
            peer="lower",
            peer_index=_LOWER,
            peer_mac=lower_mac,
            mtu=mtu,
        )
        far_mac = (("IFLA_ADDRESS", FAR_MAC),)
        self.do(
            far,
            links.set_attributes("far", index=_FAR, attributes=far_mac),
            links.set_link("lower", index=_LOWER, up=True),
        )
        # It sends nothing before linkwatch has seen its carrier (linkwatch_do_dev).
        self.wait("far", "UP")

    def _remove_guests(self) -> None:
        there = {link["index"] for link in self.ns.rtnl.links()}
        for name in [x for x in self.index if x not in ("lower", "far")]:
            if self.index[name] in there:  # a guest goes with its lower device
                self.delete(name)

    # ------------------------------------------------------------------ links

    def do(self, *requests: Request) -> None:
        """Send the requests. Raises KernelError with the first refusal."""
        self.ns.rtnl.transact(requests)

    def state(self, name: str) -> LinkState:
        """The link as it is now. Raises KernelError."""
        return link_state(self.ns, name)

    def wait(self, name: str, operstate: str) -> LinkState:
        """The link's state once it has that operational state. Raises KernelError."""
        return wait_for_link(self.ns, name, lambda link: link.operstate == operstate)

    def claim(self, name: str) -> int:
        """An index for a link of that name, which the caller is about to make."""
        self._highest += 1
        self.index[name] = self._highest
        return self._highest

    def add(self, guest: Guest, *, on: str = "lower") -> None:
        """One more guest, on the link `on`. Raises KernelError."""
        index = self.claim(guest.name)
        self.do(links.add_macvtap(guest, index=index, lower=self.index[on]))
        if guest.mode is Mode.SOURCE:
            self._sources[guest.name] = guest.sources

    def delete(self, name: str) -> None:
        """Remove a link. Raises KernelError."""
        if name in self._ends:
            self._ends.pop(name).close()
        self.do(links.delete_link(name, index=self.index.pop(name)))

    def set(
        self,
        name: str,
        *attributes: tuple[str, object],
        up: bool | None = None,
        promiscuous: bool | None = None,
        allmulticast: bool | None = None,
    ) -> None:
        """Change a link: attributes such as ("IFLA_ADDRESS", mac), filters, up or down."""
        self.do(
            links.set_attributes(
                name,
                index=self.index[name],
                attributes=attributes,
                up=up,
                promiscuous=promiscuous,
                allmulticast=allmulticast,
            )
        )

    def configure(self, name: str, *data: tuple[str, object]) -> None:
        """Change a macvtap's own settings, such as ("IFLA_MACVTAP_FLAGS", 2)."""
        self.do(links.configure_macvtap(name, index=self.index[name], data=data))

    def mac(self, name: str) -> str:
        """The link's address as it is now: the cheap way. Raises OSError."""
        asked = struct.pack("16s24x", name.encode())
        answer: bytes = fcntl.ioctl(self._socket, _SIOCGIFHWADDR, asked)
        return answer[18:24].hex(":")

    # ------------------------------------------------------------------ frames

    def end(self, name: str) -> RawEnd:
        """The end of a guest, of ``far``, or of the host's own stack on ``lower``."""
        if name not in self._ends:
            self._ends[name] = self._open(name)
        return self._ends[name]

    def _open(self, name: str) -> RawEnd:
        if name == "lower":
            end: RawEnd = LinkEnd(self.ns, name, protocol=ETHERTYPE_EXPERIMENTAL)
        elif name == "far" or self.backend is Backend.PACKET:
            end = LinkEnd(self.ns, name)
        else:
            end = TapEnd(self._undo.enter_context(Tap.open(self.ns, name)))
        self._undo.callback(end.close)
        return end

    def frame(self, sender: str, to: str, *, size: int = 60, source: str = "") -> bytes:
        """A frame of `size` bytes, unlike any before, from a link's address to another's.

        `to` is a link or an address. Raises KernelError when a link is not there.
        """
        src = source or self.mac(sender)
        dst = self.mac(to) if to in self.index else to
        body = payload(Kind.STIMULUS, next(_idents)).ljust(size - 14, b"\0")
        return Frame(dst, src, payload=body).to_bytes()

    def seen(
        self,
        sender: str,
        to: str,
        *,
        at: Iterable[str],
        source: str = "",
        queued: bool | None = None,
    ) -> list[str]:
        """Send a frame and say at which of the ends `at` it arrived, once for each copy."""
        frame = self.frame(sender, to, source=source)
        arrived = self.exchange(sender, frame, at=at, queued=queued)
        return [name for name, frames in arrived.items() for f in frames if f == frame]

    def exchange(
        self, sender: str, frame: bytes, *, at: Iterable[str], queued: bool | None = None
    ) -> dict[str, list[bytes]]:
        """Send `frame`; what arrived at each of the ends `at`, read up to a marker.

        `queued` says whether guests' markers go through the broadcast queue; by default they do
        after a group frame. Raises DifferenceError when a marker does not arrive.
        """
        listening = {name: self.end(name) for name in at}
        for end in listening.values():
            end.waiting()  # what nobody has asked for before
        self.end(sender).send(frame)
        if queued is None:
            queued = is_multicast(frame[:6].hex(":"))
        marks = self._marks(listening, queued=queued)
        return {name: end.until(marks[name]) for name, end in listening.items()}

    def _marks(self, names: Iterable[str], *, queued: bool) -> dict[str, bytes]:
        """Markers, on their way: through the broadcast queue after a group frame, and directly."""
        broadcast = marker(BROADCAST_MAC)
        marks = {}
        for name in names:
            if name == "far":
                marks[name] = marker(BROADCAST_MAC)
                self.end("lower").send(marks[name])
            elif name in self._sources:
                marks[name] = marker(self.mac("lower"), src=self._sources[name][0])
                self.end("far").send(marks[name])
            elif queued or name == "lower":
                marks[name] = broadcast
            else:
                marks[name] = marker(self.mac(name))
                self.end("far").send(marks[name])
        if broadcast in marks.values():
            self.end("far").send(broadcast)
        return marks

    def close(self) -> None:
        """Take everything down; idempotent."""
        self._undo.close()
