"""A host whose guests are associated with our switch, as libvirt and lldpad do it.

    host                                             switch             outside
    .----------------------------------------.     .----------.       .----------.
    | [QEMU] a -- macvtap --.                |     |          |       |          |
    | [QEMU] b -- macvtap -- low1 (TAP) -----|-----| low1     |       |          |
    |                       low2 (TAP) ------|-----| low2     |-------| external |
    | libvirtd -- netlink -- lldpad ---------|-----| (LLDP,   |       | (TAP)    |
    |                                        |     |  VDP)    |       '----------'
    '----------------------------------------'     '----------'

Lower devices are TAPs: where a veth is one, libvirt looks for its physical device by IFLA_LINK,
to its peer and back, for ever (virNetDevVPortProfileGetNthParent).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from harness.errors import LibvirtError, UnfitError
from harness.guests.daemon import NetlinkPort
from harness.guests.host import GuestHost, RealGuest, Wanted
from harness.guests.nic import DirectInterface, VirtualPort, VirtualPortType
from harness.guests.tiny.image import Image
from harness.guests.tiny.spec import Accelerator
from harness.kernel import links
from harness.kernel.linkstate import link_state
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family
from harness.kernel.waiting import look_until
from harness.resource import Resource
from harness.vsi.chart import chart
from harness.vsi.events import Event, EventKind
from harness.vsi.facts import Command, Dialect, EcpFrame, LldpFrame, Vsi, manager_of
from harness.vsi.faults import Faults
from harness.vsi.live import EvbSwitch, Passed, TapPort
from harness.vsi.lldp_machine import EvbPolicy
from harness.vsi.station.beginning import AGREED_WITHIN, agreed, begin_link
from harness.vsi.station.lldpad import Lldpad, Station
from harness.vsi.station.logs import about, names
from harness.vsi.station.vdptool import VdpTool
from harness.vsi.types import VsiTypes
from harness.vsi.vdp_machine import VsiState

__all__ = ["EXTERNAL_IP", "LOW", "Attempt", "StationBed", "vsi_of"]

LOW = "low1"
"""The lower device, and the switch's port, of those who ask for no other."""
EXTERNAL_IP = "10.107.0.200"

_PREFIX = 16
_UPLINK = "external"
_HEARD_WITHIN = 5.0  # seconds
_SAID_WITHIN = 3.0


@dataclass(frozen=True)
class Attempt:
    """What became of the start of a guest, after `seconds`; `error` is None where it started.

    `logged` is what libvirt's log has about it, `lldpad` what lldpad's has about its link.
    """

    port: str
    seconds: float
    error: LibvirtError | None
    logged: str
    lldpad: str


class StationBed(Resource):
    """A host, its lldpad and our switch, up and agreed. Use it in a `with` statement.

    `ports` are lower devices of the host, each the switch's port of the same name. Where
    `stations` are given they are lldpad's configuration instead of `dialect` on every port; with
    none at all there is no lldpad. Raises UnfitError where libvirt, QEMU, lldpad or what a guest
    is made of is missing, or libvirtd has a netlink port that it cannot use.
    """

    def __init__(
        self,
        image: Image,
        *,
        dialect: Dialect = Dialect.RATIFIED,
        ports: Sequence[str] = (LOW,),
        stations: Sequence[Station] | None = None,
        types: VsiTypes | None = None,
        policy: EvbPolicy = EvbPolicy(),  # noqa: B008  # frozen
        faults: Mapping[str, Faults] = {},  # only read
        cpus: Collection[int] = (),
        accelerator: Accelerator = Accelerator.TCG,
        netlink_port: NetlinkPort = NetlinkPort.USABLE,
    ) -> None:
        self.ports = tuple(ports)
        self._numbers = count(1)
        self._undo = ExitStack()
        try:
            self.ns = self._undo.enter_context(NetNS.create())
            self.outside = self._undo.enter_context(NetNS.create())
            self.switch = self._undo.enter_context(self._wire(types, policy, faults))
            self.family = self._undo.enter_context(Family())
            self.host = GuestHost(
                self.ns,
                image,
                cpus=cpus,
                accelerator=accelerator,
                family=self.family,
                netlink_port=netlink_port,
            )
            self._undo.callback(self.host.close)
            if stations is None:
                stations = [Station(link=port, dialect=dialect) for port in self.ports]
            self._stations = tuple(stations)
            self._lldpad: Lldpad | None = None
            if stations:
                self._check_port(netlink_port)
                self._lldpad = self._undo.enter_context(
                    Lldpad(self.family, self.ns, self.host.libvirtd.sandbox, stations)
                )
                self.wait_until_agreed()
        except BaseException:
            self.close()
            raise

    def _wire(
        self, types: VsiTypes | None, policy: EvbPolicy, faults: Mapping[str, Faults]
    ) -> EvbSwitch:
        with ExitStack() as undo:
            opened: list[TapPort] = []
            for number, port in enumerate(self.ports, 1):
                mac = f"02:68:70:02:02:{number:02x}"
                opened.append(undo.enter_context(TapPort.open(self.ns, port, mac=mac)))
            self._wires = dict(zip(self.ports, opened, strict=True))
            uplink = undo.enter_context(
                TapPort.open(self.outside, _UPLINK, mac="02:68:70:03:02:01")
            )
            switch = EvbSwitch(opened, uplink=uplink, types=types, policy=policy, faults=faults)
            undo.pop_all()
        for port in self.ports:
            begin_link(self.ns, port, self._wires[port])
        index = link_state(self.outside, _UPLINK).index
        up = links.set_link(_UPLINK, index=index, up=True)
        self.outside.rtnl.transact([up, links.add_address(EXTERNAL_IP, _PREFIX, index=index)])
        return switch

    def _check_port(self, wanted: NetlinkPort) -> None:
        if wanted is not NetlinkPort.UNUSABLE and self.host.libvirtd.mute:
            raise UnfitError(
                "libvirtd has a netlink port with bit 31 set, which libvirt takes for an error: "
                "lldpad will hear nothing (virNetlinkEventServiceLocalPid)",
                remedy="start libvirtd again; libnl makes the port of the clock, so that it may "
                "take eight minutes",
            )

    # ------------------------------------------------------------------ the station

    @property
    def lldpad(self) -> Lldpad:
        """The station. There must be one."""
        assert self._lldpad is not None
        return self._lldpad

    @property
    def vdptool(self) -> VdpTool:
        """Its client that needs no guest."""
        return VdpTool(self.lldpad)

    def wait_until_agreed(self, *, since: int = 0) -> None:
        """Until lldpad and the switch have agreed, on every port where lldpad is to speak.

        Raises SilenceError.
        """
        for station in self._stations:
            if station.enabled and station.reflective_relay:
                agreed(self.switch, self.lldpad, station, since=since)

    def become(self, stations: Sequence[Station]) -> None:
        """Start lldpad again with these, and agree anew. Guests' associations end."""
        since = self.switch.mark
        self._stations = tuple(stations)
        self.lldpad.restart(stations)
        self.wait_until_agreed(since=since)

    # ------------------------------------------------------------------ what the switch has seen

    def wait_for(
        self,
        predicate: Callable[[Event], bool],
        *,
        port: str = LOW,
        since: int = 0,
        within: float = _HEARD_WITHIN,
    ) -> Event:
        """The first event at `port` since that mark for which `predicate(event)` holds."""
        return self.switch.wait_for(
            lambda name, event: name == port and predicate(event), since=since, within=within
        )

    def wait_for_states(
        self, nic: DirectInterface, *states: VsiState, since: int, within: float = _HEARD_WITHIN
    ) -> Event:
        """When the VSI of `nic` has come to `states` one after another. Raises SilenceError."""
        instance = vsi_of(nic).instance
        left = list(states)

        def moved(event: Event) -> bool:  # asked once about each event, in order
            if event.kind is EventKind.MOVED and event.vsi and event.vsi.instance == instance:
                if f"→ {left[0]}:" in event.text:
                    del left[0]
            return not left

        return self.wait_for(moved, port=nic.source, since=since, within=within)

    def asked(self, nic: DirectInterface, *, since: int = 0) -> list[tuple[Command, EcpFrame]]:
        """Each request about the VSI of `nic` that the switch has heard since that mark."""
        instance = vsi_of(nic).instance
        return [
            (one.command, event.frame)
            for event in self.heard(nic, since=since)
            if isinstance(event.frame, EcpFrame)
            for one in event.frame.associations
            if one.vsi.instance == instance
        ]

    def heard(self, nic: DirectInterface, *, since: int = 0) -> list[Event]:
        """The events of those requests; a copy of one is one more."""
        instance = vsi_of(nic).instance
        return [
            event
            for port, event in self.switch.events[max(since - self.switch.forgotten, 0) :]
            if port == nic.source and event.kind is EventKind.HEARD
            if isinstance(event.frame, EcpFrame)
            if any(one.vsi.instance == instance for one in event.frame.associations)
        ]

    def answered(self, nic: DirectInterface, *, since: int = 0) -> bool:
        """Whether the switch has answered a request about the VSI of `nic` since that mark."""
        instance = vsi_of(nic).instance
        return any(
            one.vsi.instance == instance
            for port, event in self.switch.events[max(since - self.switch.forgotten, 0) :]
            if port == nic.source and event.kind is EventKind.SENT
            if isinstance(event.frame, EcpFrame)
            for one in event.frame.associations
        )

    def passed(self, nic: DirectInterface) -> list[Passed]:
        """Each frame that the switch has heard from the address of `nic`, of the last it knows."""
        source = bytes.fromhex(nic.mac.replace(":", ""))
        return [x for x in self.switch.trace if not x.outgoing and x.octets[6:12] == source]

    @property
    def last(self) -> float:
        """When the last frame passed the switch, by its clock; 0 before the first."""
        return max((x.at for x in self.switch.trace), default=0.0)

    def chart(self, port: str = LOW, *, after: float = 0.0) -> str:
        """What passed at `port` after that time, as a sequence chart; empty where nothing did."""
        trace = [x for x in self.switch.trace if x.port == port and x.at > after]
        events = [x for x in self.switch.events if x[0] == port and x[1].at > after]
        if not trace:
            return ""
        return chart(trace, events, station="libvirt, lldpad")

    def fate(self, nic: DirectInterface, to: DirectInterface) -> str:
        """What became of the last frame from one NIC to another."""
        target = bytes.fromhex(to.mac.replace(":", ""))
        return [x.fate for x in self.passed(nic) if x.octets[:6] == target][-1]

    def associated_at(self, nic: DirectInterface) -> float:
        """When the VSI of `nic` was first associated, by the switch's clock.

        Raises SilenceError.
        """
        return self.wait_for_states(nic, VsiState.ASSOCIATED, since=0).at

    def wait_until_heard(self, *, since: int) -> None:
        """Until lldpad has spoken by LLDP on every port since that mark. Raises SilenceError."""
        for port in self.ports:
            self.wait_for(_is_lldp, port=port, since=since, within=AGREED_WITHIN)

    def state(self, nic: DirectInterface) -> VsiState:
        """What the switch makes of the VSI of `nic` now."""
        instance = vsi_of(nic).instance
        known = (x for x in self.switch.vsis(nic.source) if x.vsi.instance == instance)
        return next((x.state for x in known), VsiState.UNASSOCIATED)

    # ------------------------------------------------------------------ guests

    def nic(
        self,
        port: str = LOW,
        *,
        manager: int = 11,
        type_id: int = 1193047,
        version: int = 2,
        instance: UUID | None = None,
        **rest: Any,
    ) -> DirectInterface:
        """A virtio NIC that is a VSI, with an address and an instance id of its own."""
        number = next(self._numbers)
        return DirectInterface(
            source=port,
            model="virtio",
            mac=rest.pop("mac", "") or f"02:68:70:01:02:{number:02x}",
            virtualport=VirtualPort(
                type=VirtualPortType.QBG,
                manager_id=manager,
                type_id=type_id,
                type_version=version,
                instance_id=instance or uuid4(),
            ),
            **rest,
        )

    def start(self, nic: DirectInterface, *, paused: bool = True, bound: bool = True) -> RealGuest:
        """A guest with this NIC; its processors stand still unless it is to talk.

        One that is not `bound` outlives libvirtd. Raises LibvirtError.
        """
        return self.host.start(Wanted(_name(nic), (nic,), paused=paused), bound=bound)

    def attempt(self, nic: DirectInterface, *, until: str = "") -> Attempt:
        """Start a guest with this NIC, and tell what becomes of it; where it starts, it stays.

        lldpad may go on when libvirt has its answer: its log is waited for until it matches the
        pattern `until`, for some seconds.
        """
        begun = time.monotonic()
        error = None
        before, said = len(self.host.libvirtd.log()), len(self._lldpad.log if self._lldpad else "")

        def told() -> str:
            log = self._lldpad.log[said:] if self._lldpad else ""
            return "\n".join(line for line in log.splitlines() if names(nic.source, line))

        try:
            self.start(nic)
        except LibvirtError as refused:
            error = refused
        seconds = time.monotonic() - begun
        logged = about(self.host.libvirtd.log()[before:], nic.source)
        lldpad = look_until(told, lambda log: bool(re.search(until, log)), within=_SAID_WITHIN)
        return Attempt(nic.source, seconds, error, logged, lldpad)

    def address(self, guest: RealGuest, ip: str) -> None:
        """Give a guest's first NIC an address, and have it forget its neighbours."""
        guest.agent.change(guest.nic, up=True, address=f"{ip}/{_PREFIX}", flush=True)

    def clear(self) -> None:
        """No guests, no faults, and nothing known at the switch: as new for the next who comes."""
        for guest in list(self.host.guests.values()):
            guest.close()
        self.host.guests.clear()
        for port in self.ports:
            self.switch.set_faults(port, Faults())
            for known in self.switch.vsis(port):  # libvirt has not waited for the last answer
                self.switch.de_associate(known.vsi.instance)

    def restart_libvirtd(self, *, kill: bool = False) -> None:
        """End libvirtd and start it again; guests that are not bound to it stay."""
        self.host.libvirtd.stop(kill=kill)
        self.host.libvirtd.start()
        self.host.reconnect()

    # ------------------------------------------------------------------ links

    def plug(self, port: str = LOW, *, on: bool) -> None:
        """Plug a lower device's wire in or out; lldpad is told by the kernel."""
        self._wires[port].set_carrier(on=on)

    def close(self) -> None:
        """Take everything down; idempotent."""
        self._undo.close()


def vsi_of(nic: DirectInterface) -> Vsi:
    """What the XML of a NIC says of its VSI."""
    port = nic.virtualport
    assert port is not None
    assert port.manager_id is not None
    assert port.type_id is not None
    assert port.type_version is not None
    assert port.instance_id is not None
    manager = manager_of(port.manager_id)
    return Vsi(manager, port.type_id, port.type_version, port.instance_id.bytes)


def _is_lldp(event: Event) -> bool:
    """A goodbye is none."""
    frame = event.frame
    return event.kind is EventKind.HEARD and isinstance(frame, LldpFrame) and bool(frame.ttl)


def _name(nic: DirectInterface) -> str:
    return f"{nic.source}-{nic.mac.replace(':', '')[-4:]}"
