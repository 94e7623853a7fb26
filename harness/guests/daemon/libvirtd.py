"""A libvirtd of our own: in a sandbox, on a network namespace, gone with us.

It shares nothing with a libvirtd of the host: neither files nor sockets, nor /dev, nor names of
links. What it has found out about QEMU is kept between runs in the user's cache folder, for
asking QEMU takes seconds.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Collection
from contextlib import ExitStack, suppress
from enum import StrEnum
from pathlib import Path
from uuid import UUID, uuid4

from harness.errors import CommandError, KernelError, LibvirtError, UnfitError
from harness.guests.daemon import config
from harness.guests.daemon.connection import Connection
from harness.guests.daemon.netlinkports import HIGH, PID_BITS
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family, Finished, Process, find_program
from harness.kernel.procnet import netlink_routes
from harness.kernel.sandbox import Sandbox
from harness.kernel.syscalls import bind_mount
from harness.machines.cache import cache_folder, keep
from harness.resource import Resource

__all__ = ["Libvirtd", "NetlinkPort"]

_NETLINK_KOBJECT_UEVENT = 15
_KERNEL_GROUP = 1
_UEVENT_BUFFER = 1 << 20  # bytes
_TAP_NODES = Path(__file__).with_name("tapnodes.py")
_NETLINK_PORTS = Path(__file__).with_name("netlinkports.py")
_READY_WITHIN = 20.0  # seconds
_GONE_WITHIN = 10.0
_SHOWN_LINES = 8
_QEMU_USERS = ("libvirt-qemu", "qemu")  # Debian's, and elsewhere


class NetlinkPort(StrEnum):
    """The port of the netlink socket that libvirtd asks lldpad from: see `netlinkports`."""

    CHANCE = "chance"
    """What libnl makes of the clock: one or the other."""
    USABLE = "usable"
    UNUSABLE = "unusable"
    """With bit 31 set: nothing is ever sent to lldpad."""


class Libvirtd(Resource):
    """libvirtd on the links of `ns`, as the host `hostname`. Use it in a `with` statement.

    `hosts` maps names of further hosts to their IPv4 addresses. `kvm` says whether guests may use
    /dev/kvm: where that is there but does not work, libvirt would ask QEMU anew at every call.
    802.1Qbg takes a `netlink_port` that is usable.
    It and its guests run on `cpus`, or wherever we may.
    Raises UnfitError where libvirt is not installed, KernelError or CommandError when it does not
    come up.
    """

    def __init__(
        self,
        family: Family,
        ns: NetNS,
        *,
        hostname: str = "host",
        hosts: dict[str, str] | None = None,
        kvm: bool = False,
        cpus: Collection[int] = (),
        netlink_port: NetlinkPort = NetlinkPort.CHANCE,
    ) -> None:
        if os.geteuid():
            raise UnfitError("a libvirtd of our own takes root", remedy="run it with sudo")
        find_program("libvirtd")
        self.ns = ns
        self.hostname = hostname
        self.uuid: UUID = uuid4()
        self._family = family
        self._cpus = tuple(cpus)
        self._netlink_port = netlink_port
        self._undo = ExitStack()
        self._daemon: Process | None = None
        try:
            devices = ("kvm",) if kvm else ()
            self.sandbox = self._undo.enter_context(
                Sandbox(ns, hostname=hostname, folders=config.FOLDERS, devices=devices)
            )
            family.run(ns, ["mount", "-t", "proc", "proc", "/proc"], sandbox=self.sandbox).checked()
            self.sandbox.run(lambda: self._write_files(hosts or {}))
            self._make_tap_nodes()
            self.start()
        except BaseException:
            self.close()
            raise

    def _write_files(self, hosts: dict[str, str]) -> None:
        """Settings, and what an earlier run has learnt. Runs inside."""
        for name, text in config.files(self.uuid).items():
            Path(name).write_text(text)
        Path("/run/hosts").write_text(
            "".join(f"{ip} {name}\n" for name, ip in (("localhost", "127.0.0.1"), *hosts.items()))
        )
        bind_mount("/run/hosts", "/etc/hosts")
        _know_qemu_user()
        Path("/run/hairpin").mkdir()
        Path(config.CACHE).mkdir(parents=True)
        for known in _kept():
            Path(config.CACHE, known.name).write_bytes(known.read_bytes())

    def _make_tap_nodes(self) -> None:
        """Have the nodes made; the socket hears from now on, whenever the process comes to it."""

        def listen() -> socket.socket:
            uevents = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_KOBJECT_UEVENT
            )
            uevents.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UEVENT_BUFFER)
            uevents.bind((0, _KERNEL_GROUP))
            return uevents

        with self.ns.run(listen) as uevents:
            self._nodes = self._family.spawn(
                self.ns,
                [sys.executable, "-I", "-S", str(_TAP_NODES), str(uevents.fileno())],
                descriptors=(uevents.fileno(),),
                sandbox=self.sandbox,
            )
            self._undo.callback(self._nodes.close)

    # ------------------------------------------------------------------ the daemon

    def start(self) -> None:
        """Start the daemon, as the constructor does; returns once it listens."""
        where = self.sandbox.path(config.SOCKET)
        self._daemon = self._family.spawn(
            self.ns,
            self._command(),
            environment=_environment(),
            cpus=self._cpus,
            sandbox=self.sandbox,
        )
        try:
            self._daemon.wait_until(lambda: _listens(where), timeout=_READY_WITHIN)
        except CommandError as error:
            said = self.log_tail()
            raise (KernelError("start libvirtd", 0, said) if said else error) from error

    def _command(self) -> list[str]:
        if self._netlink_port is NetlinkPort.CHANCE:
            return ["libvirtd"]
        taken = "high" if self._netlink_port is NetlinkPort.USABLE else "low"
        script = [sys.executable, "-I", "-S", str(_NETLINK_PORTS), taken]
        return [*script, find_program("libvirtd")]

    @property
    def mute(self) -> bool:
        """Whether this start has a netlink port that libvirt cannot use, so lldpad hears nothing.

        Raises OSError when the daemon is gone.
        """
        assert self._daemon is not None
        ports = set(netlink_routes(self.ns, self._daemon.pid).values())
        if self._netlink_port is NetlinkPort.USABLE:
            ports -= {self.pid_inside | number << PID_BITS for number in HIGH}  # ours
        return any(port >> 31 for port in ports)

    def stop(self, *, kill: bool = False) -> Finished:
        """End the daemon and nothing else: its guests go on."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        finished = self._daemon.wait(_GONE_WITHIN)
        self.path(config.SOCKET).unlink(missing_ok=True)
        return finished

    @property
    def uri(self) -> str:
        """What other programs of this machine connect to, while we live."""
        return f"qemu+unix:///system?socket={self.path(config.SOCKET)}"

    @property
    def pid_inside(self) -> int:
        """The daemon's process id, as others of its family see it."""
        assert self._daemon is not None
        return self._daemon.pid_inside

    def connect(self) -> Connection:
        """A connection of its own to the daemon. Raises LibvirtError."""
        try:
            return Connection.open(self.uri)
        except LibvirtError as error:
            said = self.log_tail()  # a daemon that cannot set itself up listens for a moment
            raise (KernelError("start libvirtd", 0, said) if said else error) from error

    def path(self, inside: str) -> Path:
        """A file of the daemon's, as every process of the machine can reach it."""
        return self.sandbox.path(inside)

    def log(self) -> str:
        """What the daemon has written to its log so far."""
        try:
            return self.path(config.LOG).read_text(errors="replace")
        except OSError:
            return ""

    def log_tail(self) -> str:
        """The last errors in its log, in one line."""
        errors = [x.split(" : ", 1)[-1] for x in self.log().splitlines() if " error : " in x]
        return "; ".join(errors[-_SHOWN_LINES:])

    def _keep(self) -> None:
        """Keep what the daemon has found out about QEMU, for the next one."""
        # What no longer held (another QEMU), it has found out anew and written under the same name.
        known = {x.name: x.read_bytes() for x in _kept()}
        for found in self.path(config.CACHE).glob("*.xml"):
            data = found.read_bytes()
            if known.get(found.name) != data:
                keep(cache_folder("libvirt") / found.name, data)

    def close(self) -> None:
        """End the daemon and its guests; idempotent."""
        if self._daemon is not None:
            with suppress(OSError, UnfitError):  # a cache is not worth a failure
                self._keep()
            self._daemon.close()
            self._daemon = None
        self._undo.close()


def _know_qemu_user() -> None:
    """Names that libvirtd looks up before it reads whom to run QEMU as; runs inside.

    The package that makes them would start a libvirtd of the host as well.
    """
    for file, line in (("passwd", "{0}:x:0:0::/:/bin/false\n"), ("group", "{0}:x:0:\n")):
        known = Path("/etc", file).read_text()
        names = {x.partition(":")[0] for x in known.splitlines()}
        missing = [x for x in _QEMU_USERS if x not in names]
        ours = Path("/run", file)
        ours.write_text(known.rstrip("\n") + "\n" + "".join(line.format(x) for x in missing))
        bind_mount(str(ours), f"/etc/{file}")


def _kept() -> list[Path]:
    return list(cache_folder("libvirt").glob("*.xml"))


def _listens(where: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(where)) == 0


def _environment() -> dict[str, str]:
    """Nothing that turns libvirtd or QEMU away from the sandbox."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return {"PATH": path, "HOME": "/run", "LC_ALL": "C.UTF-8"}
