"""What QEMU's igb does otherwise than an Intel 82576: the emulator's doing, not the kernel's.

Nothing of it is held against the kernel: cases say beside what they expect which of these comes on
top, and on other hardware it does not.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Quirk"]


class Quirk(Enum):
    """One each: what the emulated NIC does, and what the NIC that it stands for does."""

    OWN_BROADCAST = (
        "a virtual function, and the PF, hear their own broadcast",
        "the NIC gives no frame back to its sender, unless told to (DTXSWC.LLE)",
    )
    PROMISCUOUS_PF = (
        "the PF gets unicast for any address that no virtual function of the VLAN has",
        "a PF that is not promiscuous gets what is for its own addresses",
    )
    NO_SPOOF_CHECK = (
        "frames with a foreign source address leave, with spoofchk on as well",
        "spoofchk drops them (DTXSWC.MACAS)",
    )
    REFLECTING_PF = (
        "what macvtaps on the PF send each other in vepa mode comes back inside the NIC",
        "the NIC gives no frame back to its sender, unless told to (DTXSWC.LLE)",
    )
    CARRIER_STAYS = (
        "a pulled cable takes the PF's carrier, not that of the virtual functions",
        "the PF tells them, and they lose theirs",
    )

    def __init__(self, emulated: str, hardware: str) -> None:
        self.emulated = emulated
        self.hardware = hardware
