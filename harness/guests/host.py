"""A host of guests: libvirtd on a network namespace, and real guests on its lower devices.

    NetNS                          sandbox
    .---------------.    .------------------------------------------.
    | lower --- a   |    | libvirtd ─ QEMU a [agent] ─ QEMU b [agent] |
    |       '-- b   |    '------------------------------------------'
    '---------------'

Whatever is started there ends with the host.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from harness.errors import GuestError
from harness.guests.daemon import Libvirtd, Running
from harness.guests.domain import Domain, Interface
from harness.guests.expected import expected
from harness.guests.nic import DirectInterface
from harness.guests.seen import Seen, look, unlike
from harness.guests.tiny.client import Agent
from harness.guests.tiny.image import Image
from harness.guests.tiny.spec import Accelerator, tiny_domain
from harness.kernel.linkstate import LinkState, link_state
from harness.kernel.netns import NetNS, all_at_once
from harness.kernel.processes import Family
from harness.resource import Resource

__all__ = ["GuestHost", "RealGuest", "Wanted"]

FOLDER = "/run/hairpin"  # in the sandbox
_UP_WITHIN = 60.0  # seconds; it takes two under TCG on a quiet machine
_SHOWN_LINES = 12


@dataclass(frozen=True)
class Wanted:
    """A guest to be started: its name, its NICs, and what else of its domain is not as usual."""

    name: str
    interfaces: tuple[Interface, ...]
    vcpus: int = 1
    uuid: UUID | None = None


class RealGuest(Resource):
    """A guest that runs, and its agent. Use it in a `with` statement: it is destroyed."""

    def __init__(self, host: GuestHost, wanted: Wanted, running: Running) -> None:
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
            self._agent = self.host.call(self.name, within=_UP_WITHIN)
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

    def seen(self, number: int = 0) -> Seen:
        """The macvtap of its NIC `number` in the kernel. Raises KernelError."""
        return look(self.host.ns, self.links[number])

    def unlike(self, number: int = 0) -> list[str]:
        """In what the kernel's link is not as the XML of its NIC says, one clause each."""
        nic = self.wanted.interfaces[number]
        assert isinstance(nic, DirectInterface)
        return unlike(expected(nic), self.seen(number), lower_was=self.host.before[nic.source])

    def close(self) -> None:
        """Destroy it; idempotent. Raises LibvirtError."""
        self.hang_up()
        self.running.destroy()


class GuestHost(Resource):
    """libvirtd and guests on the links of `ns`. Use it in a `with` statement.

    `before` is what each lower device was like when the host was made. Everything runs on `cpus`,
    in `family` where one is given: then its guests end with that, not with the host.
    Raises UnfitError where libvirt, QEMU or what a guest is made of is missing.
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
    ) -> None:
        self.ns = ns
        self.image = image
        self.accelerator = accelerator
        self.before: dict[str, LinkState] = {}
        self.guests: dict[str, RealGuest] = {}
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
                )
            )
            self.connection = self.libvirtd.connect()
        except BaseException:
            self.close()
            raise

    def domain(self, wanted: Wanted) -> Domain:
        """The domain of a guest of ours."""
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

    def start(self, wanted: Wanted, *, bound: bool = True) -> RealGuest:
        """Start a guest; it comes up while we go on. Raises LibvirtError when it is refused.

        See Connection.start for `bound`.
        """
        for nic in wanted.interfaces:
            if isinstance(nic, DirectInterface) and nic.source not in self.before:
                self.before[nic.source] = link_state(self.ns, nic.source)
        running = self.connection.start(self.domain(wanted), bound=bound)
        guest = self.guests[wanted.name] = RealGuest(self, wanted, running)
        return guest

    def start_all(self, several: Sequence[Wanted]) -> list[RealGuest]:
        """Start guests at once; all of them are up when it returns."""
        guests = [self.start(wanted) for wanted in several]
        all_at_once(partial(_wait_for, guest) for guest in guests)
        return guests

    def adopt(self, wanted: Wanted, running: Running) -> RealGuest:
        """A guest of ours that has come otherwise: restored, migrated, found after a restart."""
        guest = self.guests[wanted.name] = RealGuest(self, wanted, running)
        return guest

    def call(self, name: str, *, within: float) -> Agent:
        """The agent of the guest `name`. Raises GuestError, with the end of its console."""
        try:
            return Agent.connect(self.libvirtd.path(f"{FOLDER}/{name}.agent"), within=within)
        except GuestError as error:
            said = "\n".join(self.console(name).splitlines()[-_SHOWN_LINES:])
            problem = f"{error.problem}; its console ended with:\n{said or '(nothing)'}"
            raise GuestError(name, error.request, problem) from error

    def console(self, name: str) -> str:
        """What the guest `name` has written to its console so far."""
        path = self.libvirtd.path(f"{FOLDER}/{name}.console")
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Pull every plug; idempotent."""
        for guest in self.guests.values():
            guest.hang_up()
        self._undo.close()


def _wait_for(guest: RealGuest) -> Agent:
    return guest.agent
