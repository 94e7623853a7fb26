"""What to do about a refusal of libvirt or its tools, where something can be done."""

from __future__ import annotations

import re

__all__ = ["remedy"]

# What the tool says (4.1 of virt-manager, 9.0 of libvirt), and what helps.
_REMEDIES = (
    (
        r"Unknown --network options:.*'(mode|source\.dev)'",
        "the link is source=NAME, the mode is source.mode=MODE",
    ),
    (
        r"Invalid source mode",
        "attach-interface makes vepa only: write the mode into XML and take attach-device",
    ),
    (
        r"unable to change config on 'direct' network type",
        "detach the interface and attach it anew, or define it (--config) for the next start",
    ),
    (r"Invalid value for attribute 'mode'", "allowed: vepa, bridge, private, passthrough"),
    (r"[Uu]nable to get index for interface", "source is no link of this host: see ip link"),
    (r"Cannot get interface MAC", "source is no link of this host: see ip link"),
    (
        r"error creating macvtap interface .*: (Invalid argument|Device or resource busy)",
        "passthrough takes a link that nobody else uses, and a link in passthrough takes no other",
    ),
    (
        r"value of (managerid|typeid|typeidversion) out of range",
        "managerid and typeidversion go to 255, typeid to 16777215",
    ),
    (
        r"sending of PortProfileRequest failed",
        (
            "802.1Qbh takes a NIC with port profiles; 802.1Qbg takes lldpad, set up for the link, "
            "and a switch that sends an EVB TLV (libvirt's log says which is missing; where it "
            "does not, libvirtd has a netlink port that it cannot use: start it again some "
            "minutes later)"
        ),
    ),
    (
        r"No matching objects found",
        "the defined domain has no such interface: see virsh domiflist NAME --inactive",
    ),
    (r"[Ff]ailed to connect", "is libvirtd running, and is the URI right?"),
)


def remedy(said: str) -> str:
    """What helps against a refusal with these words; empty when nothing is known to."""
    return next((helps for words, helps in _REMEDIES if re.search(words, said, re.DOTALL)), "")
