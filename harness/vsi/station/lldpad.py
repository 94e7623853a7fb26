"""lldpad as the station, beside a libvirtd of ours: it speaks LLDP, ECP and VDP for libvirt.

    libvirtd -- netlink, to the process in /run/lldpad.pid -- lldpad -- link -- switch
    vdptool  -- unix socket @/com/intel/lldpad --------------'

By itself lldpad sends nothing, and it settles on a dialect when a link comes up, from its
configuration file: that is written before it starts. What it shares with the machine is private
here: /run and shared memory are the sandbox's, socket names and netlink the network namespace's,
process ids the family's.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UnfitError
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family, Finished, Process, find_program
from harness.kernel.sandbox import Sandbox
from harness.resource import Resource
from harness.vsi.facts import Dialect

__all__ = ["Lldpad", "Station", "configuration"]

_CONFIGURATION = "/run/lldpad.conf"
_CONTROL = "\0/com/intel/lldpad"  # LLDP_CLIF_SOCK
_PING = b"P"
_READY_WITHIN = 10.0  # seconds
_GONE_WITHIN = 5.0
_ANSWERS_WITHIN = 0.1
_DEBUG = "7"  # syslog's; what it is asked and what comes of it is said at no lower level


@dataclass(frozen=True, kw_only=True)
class Station:
    """What lldpad is to be on the link `link`.

    `reflective_relay` is asked of the switch. Exponents are of tens of microseconds; they, and
    how often a request is repeated, are agreed on by LLDP in the ratified dialect and lldpad's
    constants in the draft. `enabled` of False is lldpad as it comes: it sends no EVB TLV.
    """

    link: str
    dialect: Dialect = Dialect.RATIFIED
    reflective_relay: bool = True
    retries: int = 3
    rte: int = 14
    rwd: int = 20
    rka: int = 20
    enabled: bool = True

    @property
    def text(self) -> str:
        """Its group in lldpad's configuration file, for the nearest customer bridge."""
        if not self.enabled:
            tlvs = ""
        elif self.dialect is Dialect.RATIFIED:
            request = str(self.reflective_relay).lower()
            tlvs = (
                "      tlvid0080c20d : {\n"
                '        enableTx = true; evbmode = "station";\n'
                f"        evbrrreq = {request}; ecpretries = {self.retries}; ecprte = {self.rte};\n"
                f"        vdprwd = {self.rwd}; vdprka = {self.rka};\n"
                "      };\n"
            )
        else:
            mode = "reflectiverelay" if self.reflective_relay else "bridge"
            tlvs = (
                "      tlvid001b3f00 : {\n"
                f'        enableTx = true; capabilities = "rte,ecp,vdp"; fmode = "{mode}";\n'
                "      };\n"
                "      vdp : { enableTx = true; };\n"
            )
        # 3: it sends and receives LLDP.
        return f"    {self.link} : {{\n      adminStatus = 3;\n{tlvs}    }};\n"


def configuration(stations: Sequence[Station]) -> str:
    """The configuration file that says so."""
    groups = "".join(station.text for station in stations)
    return f"nearest_customer_bridge : {{\n{groups}}};\n"


class Lldpad(Resource):
    """lldpad on the links of `ns`, in `sandbox`, up. Use it in a `with` statement.

    Raises UnfitError where it is not installed or not permitted, CommandError when it does not
    come up.
    """

    def __init__(
        self, family: Family, ns: NetNS, sandbox: Sandbox, stations: Sequence[Station]
    ) -> None:
        if os.geteuid():
            raise UnfitError(
                "lldpad takes root (packet sockets, netlink)", remedy="run it with sudo"
            )
        find_program("lldpad")
        self.stations = tuple(stations)
        self._family = family
        self._ns = ns
        self._sandbox = sandbox
        self._process: Process | None = None
        self._logs: list[str] = []
        self.start()

    def start(self) -> None:
        """Start it with its `stations`; returns once it answers. Raises as the constructor does."""
        self.path(_CONFIGURATION).write_text(configuration(self.stations))
        # What it has written is to be seen while it runs.
        command = ["stdbuf", "-oL", find_program("lldpad"), "-V", _DEBUG, "-f", _CONFIGURATION]
        self._process = self._family.spawn(self._ns, command, sandbox=self._sandbox)
        self._process.wait_until(self._answers, timeout=_READY_WITHIN)

    def stop(self, *, kill: bool = False) -> Finished:
        """End it: with a goodbye by LLDP (a time to live of 0), or without one."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        finished = self._process.wait(_GONE_WITHIN)
        self._logs.append(finished.stdout + finished.stderr)
        self._process = None
        return finished

    def restart(self, stations: Sequence[Station] | None = None, *, kill: bool = False) -> None:
        """End it and start it again, with other `stations` where they are given."""
        if self._process is not None:
            self.stop(kill=kill)
        if stations is not None:
            self.stations = tuple(stations)
        self.start()

    @property
    def running(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._process is not None

    @property
    def pid_inside(self) -> int:
        """Its process id and netlink port, as others of its family see it."""
        assert self._process is not None
        return self._process.pid_inside

    @property
    def log(self) -> str:
        """What it has written so far, at all its starts; at its highest level."""
        return "".join([*self._logs, self.log_of_now])

    @property
    def log_of_now(self) -> str:
        """What it has written since its last start."""
        return "" if self._process is None else self._process.stdout + self._process.stderr

    def path(self, inside: str) -> Path:
        """A file of its own, as every process of the machine can reach it."""
        return self._sandbox.path(inside)

    def run(self, arguments: Sequence[str], *, timeout: float) -> Finished:
        """Run a client of its where it is, to its end. Raises CommandError after `timeout` s."""
        return self._family.run(self._ns, arguments, timeout=timeout, sandbox=self._sandbox)

    def _answers(self) -> bool:
        """Whether its event loop runs, as `lldptool -p` asks it."""

        def ask() -> bool:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.bind("")  # a name of the kernel's choice, to be answered at
                client.settimeout(_ANSWERS_WITHIN)
                try:
                    client.sendto(_PING, _CONTROL)
                    return b"PONG" in client.recv(64)
                except (ConnectionRefusedError, TimeoutError):
                    return False

        return self._ns.run(ask)

    def close(self) -> None:
        """End it; idempotent."""
        if self._process is not None:
            self._process.close()
            self._process = None
