"""What a libvirtd of ours is told: nothing of the machine's, everything in its sandbox."""

from __future__ import annotations

from uuid import UUID

__all__ = ["CACHE", "FOLDERS", "LOG", "SOCKET", "files"]

FOLDERS = (
    "/etc/libvirt",
    "/var/lib/libvirt",
    "/var/cache/libvirt",
    "/var/log/libvirt",
)
"""Where libvirtd keeps things; each sandbox has its own, /run besides."""

CACHE = "/var/cache/libvirt/qemu/capabilities"
"""What libvirtd has found out about each QEMU; it checks itself whether that still holds."""

LOG = "/var/log/libvirt/libvirtd.log"
SOCKET = "/run/libvirt/libvirt-sock"

# As the machine's root, without what wants systemd, cgroups or a log daemon. `namespaces`: QEMU
# shares libvirtd's /dev, which is private already.
_QEMU = """\
user = "+0"
group = "+0"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
migration_address = "0.0.0.0"
"""

_LIBVIRTD = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
log_level = 3
log_outputs = "2:file:{log}"
log_filters = "1:util.netdevmacvlan 3:*"
host_uuid = "{uuid}"
max_client_requests = 20
"""


def files(uuid: UUID) -> dict[str, str]:
    """Path to contents of what libvirtd reads. `uuid` is the host's."""
    return {
        "/etc/libvirt/qemu.conf": _QEMU,
        "/etc/libvirt/libvirtd.conf": _LIBVIRTD.format(log=LOG, uuid=uuid),
        "/etc/libvirt/libvirt.conf": "",
    }
