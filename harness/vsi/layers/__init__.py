"""scapy's layers of EVB control frames: LLDP with the EVB TLV, ECP, VDP, in both dialects.

Importing this makes `Ether(octets)` dissect them whole. Every frame that is dissected rebuilds
to the same octets, whatever is in it: what breaks a rule stays as the octets that it was. It takes
half a second to import, as scapy does, and is not for hot loops: see `harness.vsi.frames`.
"""

from harness.vsi.layers.ecp import ECP, ECPDraft
from harness.vsi.layers.lldp import (
    LLDPEVB,
    LLDPChassisID,
    LLDPEnd,
    LLDPEVBDraft,
    LLDPFrame,
    LLDPPortID,
    LLDPTimeToLive,
)
from harness.vsi.layers.tlv import UnknownTLV
from harness.vsi.layers.vdp import (
    VDPAssociation,
    VDPDraftAssociation,
    VDPEnd,
    VDPFilter,
    VDPManagerID,
)

__all__ = [
    "ECP",
    "LLDPEVB",
    "ECPDraft",
    "LLDPChassisID",
    "LLDPEVBDraft",
    "LLDPEnd",
    "LLDPFrame",
    "LLDPPortID",
    "LLDPTimeToLive",
    "UnknownTLV",
    "VDPAssociation",
    "VDPDraftAssociation",
    "VDPEnd",
    "VDPFilter",
    "VDPManagerID",
]
