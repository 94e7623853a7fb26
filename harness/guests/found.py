"""What libvirt was found to do with macvtaps that nobody would expect."""

from __future__ import annotations

from harness.guests.finding import Finding

__all__ = ["FINDINGS"]

_TESTS = "tests/conformance/guests"

FINDINGS = (
    Finding(
        key="refused-start-keeps-mac",
        tool="libvirt",
        versions="9.0.0",
        documentation="a guest that is refused leaves the host as it was; a lower device in "
        "passthrough has its own address back once its guest is gone",
        behaviour="after a second guest in passthrough was refused, the end of the first leaves "
        "the lower device with the address of the first guest",
        source="virNetDevMacVLanCreateWithVPortProfile saves the address before it knows whether "
        "there will be a macvtap: what it saves the second time is the first guest's",
        test=f"{_TESTS}/test_passthrough.py::test_refused_second_keeps_the_address",
    ),
    Finding(
        key="refused-attach-sets-mac",
        tool="libvirt",
        versions="9.0.0",
        documentation="an interface that is refused leaves the host as it was",
        behaviour="passthrough refused to attach-device beside a macvtap leaves the lower device "
        "with the address that was meant for the refused one; refused to a start it does not",
        source="virNetDevMacVLanCreateWithVPortProfile sets the address of the lower device "
        "first, and does not restore it when the macvtap cannot be made",
        test=f"{_TESTS}/test_passthrough.py::test_refused_attach_sets_the_address",
    ),
    Finding(
        key="passthrough-leaves-lower-down",
        tool="libvirt",
        versions="9.0.0",
        documentation="nothing; in the source, that it has the same address as the macvtap",
        behaviour="with an interface in passthrough the lower device goes down when the guest is "
        "suspended (until it is resumed) or the interface unplugged, and after that stays down",
        source="qemuInterfaceStopDevice takes it down with the macvtap; only "
        "qemuInterfaceStartDevice brings it up",
        test=f"{_TESTS}/test_passthrough.py::test_unplugged_leaves_the_lower_down",
    ),
)
"""In the order in which a guest's life meets them."""
