"""Makes /dev/tapN for the macvtaps of one network namespace, as udev does on a host.

It is started as a script, by path and without site packages, in the sandbox of a libvirtd, with
the number of a socket that hears the uevents of its network namespace (uevent_net_broadcast in
lib/kobject_uevent.c: those of a network device go to its own namespace only). libvirt opens the
node that bears the link's index and takes what it gets; in a /dev that several namespaces share
that may be another namespace's guest.
"""

from __future__ import annotations

import os
import socket
import stat
import sys

__all__ = ["follow"]

_LONGEST = 1 << 16  # bytes of a uevent
_MODE = 0o600


def follow(uevents: socket.socket) -> None:
    """Make and remove nodes, until nobody is left to do it for."""
    while True:
        fields = (x.partition("=") for x in uevents.recv(_LONGEST).decode().split("\0"))
        event = {name: value for name, _, value in fields}
        if event.get("SUBSYSTEM") != "macvtap":
            continue
        node = "/dev/" + event["DEVNAME"]
        if os.path.lexists(node):  # another's before it, with the same index
            os.unlink(node)  # noqa: PTH108  (as little is imported as can be)
        if event["ACTION"] == "add":
            device = os.makedev(int(event["MAJOR"]), int(event["MINOR"]))
            os.mknod(node, stat.S_IFCHR | _MODE, device)


if __name__ == "__main__":
    follow(socket.socket(fileno=int(sys.argv[1])))
