"""The user's own tools against a libvirtd: virt-install, virt-xml, virsh, virt-manager.

Toolbox ── virt-install, virt-xml, virsh ──► libvirtd ──► macvtap     differences(ns, nic)
      '─── Screen ── VirtManager ─────────────'
"""

from harness.guests.remedies import remedy
from harness.guests.tools.desktop import Dialog, NicPage, Screen, VirtManager
from harness.guests.tools.findings import FINDINGS, Finding
from harness.guests.tools.seen import Seen, differences, macvtaps
from harness.guests.tools.spelling import network_option
from harness.guests.tools.toolbox import Toolbox

__all__ = [
    "FINDINGS",
    "Dialog",
    "Finding",
    "NicPage",
    "Screen",
    "Seen",
    "Toolbox",
    "VirtManager",
    "differences",
    "macvtaps",
    "network_option",
    "remedy",
]
