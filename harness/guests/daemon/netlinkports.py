"""Starts libvirtd with half of the netlink ports that libnl may choose for it taken by us.

It is started as a script, by path and without site packages, in libvirtd's place, which it then
takes itself (execve keeps the process id). libnl gives a socket the port *process id +
(n << 22)*, n from 0 to 1023 by the clock (generate_local_port in its lib/socket.c): for eight
minutes n is below 512, then for eight and a half above. libvirt asks for the port of its socket
as an int, takes one with bit 31 set for an error (virNetDevVPortProfileOpSetLink,
virNetlinkEventServiceLocalPid), and sends lldpad nothing. Where a port is taken, libnl tries
another, up to six times (nl_connect); with all n from 512 on taken it needs five at the most,
wherever it begins.

Ports are the network namespace's, and go with libvirtd, which inherits the sockets.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress

__all__ = ["HIGH", "LOW", "PID_BITS", "take"]

PID_BITS = 22
LOW, HIGH = range(1, 512), range(512, 1024)
"""n of the ports that libvirt can use, and of those with bit 31 set."""

_SPARE = 64  # descriptors


def take(numbers: Iterable[int]) -> list[socket.socket]:
    """Sockets on this process's ports `numbers`, to be inherited."""
    taken = []
    for number in numbers:
        taken.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE))
        with suppress(OSError):  # somebody else's, who has our process id elsewhere
            taken[-1].bind((os.getpid() | number << PID_BITS, 0))
        taken[-1].set_inheritable(True)
    return taken


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft + len(HIGH) + _SPARE
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    ours = take(LOW if sys.argv[1] == "low" else HIGH)
    os.execv(sys.argv[2], sys.argv[2:])
