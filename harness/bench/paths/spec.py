"""Which path: a fact, checked, with the name that results bear."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.errors import UsageError
from harness.kernel.taps import Offload
from harness.parts import LowerKind, Mode

__all__ = ["GSO_OFFLOADS", "Carrier", "PathSpec", "Way"]

GSO_OFFLOADS = Offload.CSUM | Offload.TSO4 | Offload.TSO6
_TAP_HEADER = 12  # bytes: struct virtio_net_hdr_mrg_rxbuf, as a hypervisor has it
_SOCKET_HEADER = 10  # struct virtio_net_hdr (packet_rcv_vnet)
_MOST_QUEUES = 256  # MAX_TAP_QUEUES, MAX_TAP_FLOWS of tun
_LARGEST_MTU = 65521  # tun's: 64 KiB with an Ethernet header


class Carrier(StrEnum):
    """What carries the frames."""

    MACVTAP = "macvtap"
    BRIDGE_TAP = "bridge + tap"
    BRIDGE_VETH = "veth + bridge"
    MACVLAN = "macvlan"
    IPVLAN = "ipvlan"
    IPVTAP = "ipvtap"
    VHOST = "macvtap + vhost-net"


class Way(StrEnum):
    """From where to where."""

    GUEST_TO_GUEST = "guest → guest"
    GUEST_TO_EXTERNAL = "guest → external"
    EXTERNAL_TO_GUEST = "external → guest"


_TAPS = (Carrier.MACVTAP, Carrier.BRIDGE_TAP, Carrier.IPVTAP, Carrier.VHOST)
_BY_IP = (Carrier.IPVLAN, Carrier.IPVTAP)


@dataclass(frozen=True, kw_only=True)
class PathSpec:
    """A path to be opened by `open_path`. Raises UsageError for what makes no sense.

    `mode` is the guests', `to_mode` the receiver's where it differs. `gso` puts a virtio-net
    header before each frame, with offloads, so that frames of 64 KiB stay whole. `queues` are
    those of a guest's tap. `guests` are on one lower device (or bridge); the first sends to the
    second, `listeners` of the others are open for what is broadcast. `sources` is from how many
    addresses frames come, 0 for the sender's own. `queue` is the txqueuelen of receiving taps,
    0 for the kernel's own.
    """

    carrier: Carrier = Carrier.MACVTAP
    way: Way = Way.GUEST_TO_GUEST
    mode: Mode = Mode.BRIDGE
    to_mode: Mode | None = None
    lower: LowerKind = LowerKind.VETH
    mtu: int = 1500
    gso: bool = False
    queues: int = 1
    guests: int = 0
    listeners: int = 0
    sources: int = 0
    queue: int = 0

    def __post_init__(self) -> None:
        fewest = 2 if self.way is Way.GUEST_TO_GUEST else 1
        if not self.guests:
            object.__setattr__(self, "guests", fewest)
        for name, least, most in (
            ("mtu", 68, _LARGEST_MTU),
            ("queues", 1, _MOST_QUEUES),
            ("guests", fewest, 1000),
            ("listeners", 0, self.guests - fewest),
            ("sources", 0, 4096),
            ("queue", 0, 1 << 20),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"{self.name}: {name} is {value}; allowed: {least} to {most}")
        problem = self._problem()
        if problem:
            raise UsageError(f"{self.name}: {problem}")

    def _problem(self) -> str:
        modes = {self.mode, self.receiver_mode}
        if self.queue and not self.tap_receives:
            return "a packet socket has no txqueuelen"
        if self.queues > 1 and self.carrier not in _TAPS:
            return "a packet socket has one queue"
        if self.carrier is Carrier.VHOST and (self.queues > 1 or self.listeners):
            return "vhost-net has one queue here, and two ends"
        if self.sources and self.by_ip:
            return f"{self.carrier} lets one address through"
        if self.carrier is not Carrier.MACVTAP:
            plain = self.way is Way.GUEST_TO_GUEST and modes == {Mode.BRIDGE}
            if not plain or self.lower is not LowerKind.VETH:
                return "way, modes and lower device are macvtap's only"
            return ""
        if self.lower is LowerKind.DUMMY and (self.hairpin or self.way is not Way.GUEST_TO_GUEST):
            return "a dummy is plugged into nothing"
        if Mode.PASSTHRU in modes and self.guests > 1:
            return "a passthru guest is alone on its lower device"
        if self.receiver_mode is Mode.SOURCE and self.way is Way.GUEST_TO_GUEST:
            return "a source-mode guest receives from outside only"
        if self.listeners and not self._broadcast_is_heard:
            return "nobody else would hear what is broadcast"
        return ""

    @property
    def _broadcast_is_heard(self) -> bool:
        """Whether a sender's broadcast comes to the other guests, which are like the receiver."""
        if self.receiver_mode is Mode.SOURCE:
            return False
        if self.way is Way.EXTERNAL_TO_GUEST:
            return True
        return Mode.PRIVATE not in (self.mode, self.receiver_mode) and (
            self.hairpin or self.mode is self.receiver_mode is Mode.BRIDGE
        )

    @property
    def tap_receives(self) -> bool:
        """Whether the receiving end is a tap, whose queue is the link's txqueuelen."""
        return self.carrier in _TAPS and self.way is not Way.GUEST_TO_EXTERNAL

    @property
    def receiver_mode(self) -> Mode:
        """The receiver's mode, and that of all guests but the first."""
        return self.to_mode or self.mode

    @property
    def hairpin(self) -> bool:
        """Whether the switch has to reflect: only bridge mode hands frames over by itself."""
        between = self.carrier is Carrier.MACVTAP and self.way is Way.GUEST_TO_GUEST
        return between and not self.mode is self.receiver_mode is Mode.BRIDGE

    @property
    def by_ip(self) -> bool:
        """Whether guests are told apart by IP address alone."""
        return self.carrier in _BY_IP

    @property
    def header(self) -> int:
        """Bytes of virtio-net header at both ends."""
        if not self.gso and self.carrier is not Carrier.VHOST:
            return 0
        taps = self.carrier in _TAPS and self.way is Way.GUEST_TO_GUEST
        return _TAP_HEADER if taps else _SOCKET_HEADER

    @property
    def name(self) -> str:
        """What results call it; its parameters apart (`variant`)."""
        if self.carrier is not Carrier.MACVTAP:
            return self.carrier.value
        mode, to = self.mode, self.receiver_mode
        name = f"{self.way}, {mode if mode is to else f'{mode} to {to}'}"
        if self.hairpin:
            name += " behind hairpin"
        return name if self.lower is LowerKind.VETH else f"{name}, on {self.lower}"

    @property
    def variant(self) -> str:
        """The parameters that are not as usual, in words."""
        usual = 2 if self.way is Way.GUEST_TO_GUEST else 1
        words = {
            f"MTU {self.mtu}": self.mtu != 1500,
            "GSO": self.gso,
            f"{self.queues} queues": self.queues != 1,
            f"{self.guests} guests": self.guests != usual,
            f"{self.listeners} listening": self.listeners,
            f"{self.sources} sources": self.sources,
            f"txqueuelen {self.queue}": self.queue,
        }
        return ", ".join(word for word, unusual in words.items() if unusual)
