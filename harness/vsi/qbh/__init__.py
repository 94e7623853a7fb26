"""802.1Qbh: a port gets a profile from the network adapter, which libvirt asks through the kernel.

    libvirt ── RTM_SETLINK ──► do_setlink ── ndo_set_vf_port ──► driver ──► switch

Nothing of it is on our wire: the adapter and its switch agree on it in their own way. One driver
of Linux takes port profiles, that of Cisco's VIC (enic). What this package has: the requests as
libvirt makes them, which links take them, and why the others do not.
"""

from harness.vsi.qbh.libvirt import associate, disassociate, tell_lldpad
from harness.vsi.qbh.refusals import REFUSALS, Device, Refusal, Shape, refusal, shape
from harness.vsi.qbh.support import NO_CAPABLE_NIC, Support, capable_links, profile_support

__all__ = [
    "NO_CAPABLE_NIC",
    "REFUSALS",
    "Device",
    "Refusal",
    "Shape",
    "Support",
    "associate",
    "capable_links",
    "disassociate",
    "profile_support",
    "refusal",
    "shape",
    "tell_lldpad",
]
