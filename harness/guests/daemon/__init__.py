"""libvirt: a daemon of our own in a sandbox, or one that is there; and what it says of itself.

    NetNS ── Sandbox ── [uevents → /dev/tapN]
                   '─── libvirtd ── QEMU, QEMU, …          Libvirtd.connect ──► Connection

Takes libvirt-python: `pip install 'hairpin[libvirt]'`.
"""

from harness.guests.daemon.connection import Connection, Running, State
from harness.guests.daemon.libvirtd import Libvirtd, NetlinkPort

__all__ = ["Connection", "Libvirtd", "NetlinkPort", "Running", "State"]
