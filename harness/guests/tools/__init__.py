"""The user's own tools against a libvirtd: virt-install, virt-xml, virsh, virt-manager.

Toolbox ── virt-install, virt-xml, virsh ──► libvirtd ──► macvtap     harness.guests.seen
      '─── Screen ── VirtManager ─────────────'
"""

from harness.guests.remedies import remedy
from harness.guests.tools.desktop import Dialog, NicPage, Screen, VirtManager
from harness.guests.tools.findings import FINDINGS
from harness.guests.tools.spelling import network_option
from harness.guests.tools.toolbox import Toolbox

__all__ = [
    "FINDINGS",
    "Dialog",
    "NicPage",
    "Screen",
    "Toolbox",
    "VirtManager",
    "network_option",
    "remedy",
]
