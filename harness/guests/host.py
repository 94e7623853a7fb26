"""A host of guests: libvirtd on a network namespace, and real guests on its lower devices.

    NetNS                          sandbox
    .---------------.    .------------------------------------------.
    | lower --- a   |    | libvirtd ─ QEMU a [agent] ─ QEMU b [agent] |
    |       '-- b   |    '------------------------------------------'
    '---------------'

Whatever is started there ends with the host.
"""

from __future__ import annotations

import signal
import sys
from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import UUID

from harness.errors import GuestError, LibvirtError
from harness.guests.daemon import Connection, Libvirtd, NetlinkPort, Running
from harness.guests.domain import Domain, Interface
from harness.guests.expected import expected
from harness.guests.nic import DirectInterface
from harness.guests.seen import Seen, look, unlike
from harness.guests.tiny.answers import CardFacts
from harness.guests.tiny.client import Agent
from harness.guests.tiny.image import Image
from harness.guests.tiny.spec import tiny_domain
from harness.kernel.linkstate import LinkState, link_state
from harness.kernel.netns import NetNS, all_at_once
from harness.kernel.processes import Family
from harness.kernel.waiting import look_until
from harness.machines.accelerator import Accelerator
from harness.resource import Resource

__all__ = ["GuestHost", "Host", "RealGuest", "Wanted"]

FOLDER = "/run/hairpin"  # in the sandbox
_PIDS = "/run/libvirt/qemu"
_UP_WITHIN = 60.0  # seconds; it takes two under TCG on a quiet machine
_PLUGGED_WITHIN = 10.0
_SHOWN_LINES = 12


@dataclass(frozen=True)
class Wanted:
    """A guest to be started: its name, its NICs, and what else of its domain is not as usual."""

    name: str
    interfaces: tuple[Interface, ...]
    vcpus: int = 1
    uuid: UUID | None = None
    paused: bool = False
    """Whether its processors stand still: it costs next to nothing, and has its macvtaps."""


class RealGuest(Resource):
    """A guest that runs, and its agent. Use it in a `with` statement: it is destroyed."""

    def __init__(self, host: Host, wanted: Wanted, running: Running) -> None:
        self.host = host
        self.wanted = wanted
        self.running = running
        self._agent: Agent | None = None

    @property
    def name(self) -> str:
        """Its name, the domain's."""
        return self.wanted.name

    @property
    def agent(self) -> Agent:
        """Its agent; waits for it when the guest is still coming up. Raises GuestError."""
        if self._agent is None:
            self._agent = self.host.call(self, within=_UP_WITHIN)
        return self._agent

    @property
    def nic(self) -> str:
        """What the guest calls its first NIC. Raises GuestError."""
        return self.agent.hello.nics[0].name

    def hang_up(self) -> None:
        """Leave the agent's port, for somebody else or for the next life of the guest."""
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    @property
    def links(self) -> list[str]:
        """Names of its macvtaps, in the order of its NICs, as libvirt tells."""
        return [nic.target for nic in self.running.domain.interfaces]

    def card(self, number: int = 0) -> CardFacts:
        """What the guest itself sees of its NIC `number`. Raises GuestError when it sees none."""
        return self.agent.nic(self.running.domain.interfaces[number].mac)

    def seen(self, number: int = 0) -> Seen:
        """The macvtap of its NIC `number` in the kernel. Raises KernelError."""
        return look(self.host.ns, self.links[number])

    def unlike(self, number: int = 0) -> list[str]:
        """In what the kernel's link is not as the XML of its NIC says, one clause each."""
        nic = self.wanted.interfaces[number]
        assert isinstance(nic, DirectInterface)
        if not nic.mac:  # libvirt has made one up
            nic = replace(nic, mac=self.running.domain.interfaces[number].mac)
        # Links come up when the processors start to run (qemuInterfaceStartDevice).
        wanted = replace(expected(nic), up=not self.wanted.paused)
        return unlike(wanted, self.seen(number), lower_was=self.host.before[nic.source])

    # ------------------------------------------------------------------ hotplug

    def attach(self, nic: Interface) -> int:
        """Plug in one NIC more; its number, once the guest sees it.

        Raises LibvirtError when it is refused, GuestError when the guest never sees it.
        """
        self.host.remember([nic])
        self.running.attach(nic)
        self.wanted = replace(self.wanted, interfaces=(*self.wanted.interfaces, nic))
        number = len(self.wanted.interfaces) - 1
        mac = self.running.domain.interfaces[number].mac
        look_until(self.macs, lambda macs: mac in macs, within=_PLUGGED_WITHIN)
        self.card(number)
        return number

    def detach(self, number: int) -> None:
        """Unplug a NIC; returns once it is out, at the guest and at libvirt.

        Raises LibvirtError when that is refused, or the guest does not let go.
        """
        nic = self.running.domain.interfaces[number]
        self.running.detach(nic)

        def still_in() -> bool:
            plugged = self.running.domain.interfaces
            return nic.mac in self.macs() or nic.mac in [x.mac for x in plugged]

        if look_until(still_in, lambda still: not still, within=_PLUGGED_WITHIN):
            raise LibvirtError(f"detach {nic.target} of {self.name}", "the guest does not let go")
        kept = list(self.wanted.interfaces)
        del kept[number]
        self.wanted = replace(self.wanted, interfaces=tuple(kept))

    def macs(self) -> list[str]:
        """The addresses of the cards that the guest sees. Raises GuestError."""
        return [card.mac for card in self.agent.nics()]

    def close(self) -> None:
        """Destroy it; idempotent. Raises LibvirtError."""
        self.hang_up()
        self.running.destroy()


class Host(Resource):
    """Where guests are started: a connection to libvirt, and the namespace of the macvtaps.

    `before` is what each lower device was like before the first guest was put on it.
    """

    def __init__(
        self,
        ns: NetNS,
        connection: Connection,
        image: Image,
        *,
        accelerator: Accelerator = Accelerator.TCG,
    ) -> None:
        self.ns = ns
        self.connection = connection
        self.image = image
        self.accelerator = accelerator
        self.before: dict[str, LinkState] = {}
        self.guests: dict[str, RealGuest] = {}

    @abstractmethod
    def domain(self, wanted: Wanted) -> Domain:
        """The domain of a guest of ours."""

    @abstractmethod
    def agent_path(self, guest: RealGuest) -> Path:
        """The socket of a guest's agent, as we reach it."""

    def console(self, name: str) -> str:
        """What the guest `name` has written to its console so far, where that is kept."""
        return ""

    def start(self, wanted: Wanted, *, bound: bool = True) -> RealGuest:
        """Start a guest; it comes up while we go on. Raises LibvirtError when it is refused.

        See Connection.start for `bound`.
        """
        self.remember(wanted.interfaces)
        domain = self.domain(wanted)
        running = self.connection.start(domain, paused=wanted.paused, bound=bound)
        return self.adopt(wanted, running)

    def remember(self, interfaces: Iterable[Interface]) -> None:
        """Note what the lower devices are like that nobody has used yet."""
        for nic in interfaces:
            if isinstance(nic, DirectInterface) and nic.source not in self.before:
                self.before[nic.source] = link_state(self.ns, nic.source)

    def start_all(self, several: Sequence[Wanted]) -> list[RealGuest]:
        """Start guests at once; all of them are up when it returns."""
        for wanted in several:
            self.remember(wanted.interfaces)  # as they are before any of them is there
        if len(several) > 1:
            self.connection.ready_schemas()
        all_at_once(partial(self._bring_up, wanted) for wanted in several)
        return [self.guests[wanted.name] for wanted in several]

    def _bring_up(self, wanted: Wanted) -> Agent:
        return self.start(wanted).agent

    def adopt(self, wanted: Wanted, running: Running) -> RealGuest:
        """A guest of ours that has come otherwise: restored, migrated, found after a restart."""
        guest = self.guests[wanted.name] = RealGuest(self, wanted, running)
        return guest

    def call(self, guest: RealGuest, *, within: float) -> Agent:
        """The agent of a guest. Raises GuestError, with the end of its console."""
        try:
            return Agent.connect(self.agent_path(guest), within=within)
        except GuestError as error:
            said = "\n".join(self.console(guest.name).splitlines()[-_SHOWN_LINES:])
            problem = f"{error.problem}; its console ended with:\n{said or '(nothing)'}"
            raise GuestError(guest.name, error.request, problem) from error


class GuestHost(Host):
    """A libvirtd of our own, and guests, on the links of `ns`. Use it in a `with` statement.

    Everything runs on `cpus`, in `family` where one is given: then the guests end with that, not
    with the host. Raises UnfitError where libvirt, QEMU or what a guest is made of is missing.
    """

    def __init__(
        self,
        ns: NetNS,
        image: Image,
        *,
        hostname: str = "host",
        hosts: dict[str, str] | None = None,
        cpus: Collection[int] = (),
        accelerator: Accelerator = Accelerator.TCG,
        family: Family | None = None,
        netlink_port: NetlinkPort = NetlinkPort.CHANCE,
    ) -> None:
        self._undo = ExitStack()
        try:
            self.family = family or self._undo.enter_context(Family())
            self.libvirtd = self._undo.enter_context(
                Libvirtd(
                    self.family,
                    ns,
                    hostname=hostname,
                    hosts=hosts,
                    kvm=accelerator is Accelerator.KVM,
                    cpus=cpus,
                    netlink_port=netlink_port,
                )
            )
            super().__init__(ns, self.libvirtd.connect(), image, accelerator=accelerator)
        except BaseException:
            self._undo.close()
            raise

    def domain(self, wanted: Wanted) -> Domain:
        """See Host."""
        return tiny_domain(
            wanted.name,
            self.image,
            wanted.interfaces,
            uuid=wanted.uuid,
            vcpus=wanted.vcpus,
            accelerator=self.accelerator,
            agent_socket=f"{FOLDER}/{wanted.name}.agent",
            console_log=f"{FOLDER}/{wanted.name}.console",
        )

    def agent_path(self, guest: RealGuest) -> Path:
        """See Host."""
        return self.libvirtd.path(f"{FOLDER}/{guest.name}.agent")

    def define(self, wanted: Wanted) -> RealGuest:
        """A guest that is not started, and outlives the daemon when it is. Raises LibvirtError."""
        self.remember(wanted.interfaces)
        return self.adopt(wanted, self.connection.define(self.domain(wanted)))

    def reconnect(self) -> None:
        """Connect anew, to a daemon that was started again. Raises LibvirtError.

        Guests that it has found are found again, those it has not are forgotten.
        """
        with suppress(LibvirtError):
            self.connection.close()
        self.connection = self.libvirtd.connect()
        for name, guest in list(self.guests.items()):
            try:
                guest.running = self.connection.find(name)
            except LibvirtError:
                self.guests.pop(name).hang_up()

    def kill(self, name: str) -> None:
        """SIGKILL to the QEMU of a guest. Raises CommandError when there is none."""
        number = self.libvirtd.path(f"{_PIDS}/{name}.pid").read_text().strip()
        # It is the number that libvirtd knows, in a PID namespace of its own.
        kill = f"import os; os.kill({int(number)}, {int(signal.SIGKILL)})"
        self.family.run(self.ns, [sys.executable, "-I", "-S", "-c", kill]).checked()

    def console(self, name: str) -> str:
        """See Host."""
        path = self.libvirtd.path(f"{FOLDER}/{name}.console")
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Pull every plug; idempotent."""
        for guest in self.guests.values():
            guest.hang_up()
        self._undo.close()
