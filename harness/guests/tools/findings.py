"""What the tools do that their documentation says otherwise, or that nobody expects."""

from __future__ import annotations

from harness.guests.finding import Finding

__all__ = ["FINDINGS"]


_GUIDE = "virtualization guide 17.12.2"
_VIRT_MANAGER = "virt-manager"
_LIBVIRT = "libvirt"

FINDINGS = (
    Finding(
        key="no-source-mode",
        tool=_VIRT_MANAGER,
        versions="4.1.0",
        documentation=f"{_GUIDE}: the NIC page has a list of source modes",
        behaviour="there is none; a new NIC is made in mode bridge (gone since 3.0.0)",
        remedy="write the mode in the XML tab, or take virt-xml --edit --network source.mode=…",
        commits=("227d6982a",),
        test="test_page_has_no_mode_and_no_virtual_port",
    ),
    Finding(
        key="no-virtual-port",
        tool=_VIRT_MANAGER,
        versions="4.1.0",
        documentation=f"{_GUIDE}: VSI types are set in the Virtual port submenu",
        behaviour="there is none, neither for 802.1Qbg nor for 802.1Qbh (gone since 3.0.0)",
        remedy="write <virtualport> in the XML tab, which the preferences must allow",
        commits=("b4b497e28",),
        test="test_page_has_no_mode_and_no_virtual_port",
    ),
    Finding(
        key="no-device-list",
        tool=_VIRT_MANAGER,
        versions="4.1.0",
        documentation=f"{_GUIDE}: the network source lists each host device as macvtap",
        behaviour="one entry, Macvtap device…, and a name to write, which nothing checks",
        test="test_page_offers_no_device_to_choose",
    ),
    Finding(
        key="mode-reset",
        tool=_VIRT_MANAGER,
        versions="4.1.0",
        documentation="nothing",
        behaviour=(
            "another Device name makes mode bridge of vepa, private or passthrough without a word"
            " (vmmNetworkList.get_network_selection); a virtual port stays"
        ),
        remedy="change the device in the XML tab",
        commits=("227d6982a",),
        test="test_device_name_resets_the_mode",
    ),
    Finding(
        key="pending-change-lost",
        tool=_VIRT_MANAGER,
        versions="4.1.0",
        documentation="changes will take effect after the next guest shutdown",
        behaviour=(
            "form and XML tab of a running guest show what runs; applying a second change in the"
            " XML tab takes back the first, which was waiting"
        ),
        remedy="make all changes at once, or with the guest off",
        test="test_second_change_of_a_running_guest_undoes_the_first",
    ),
    Finding(
        key="unplugged-or-not",
        tool="virt-xml",
        versions="4.1.0",
        documentation="--remove-device --update unplugs the device",
        behaviour=(
            "it reports success after 5 s also where the guest has not let go of the NIC: the"
            " macvtap stays, the defined domain has lost it"
        ),
        remedy="see virsh domiflist",
        test="test_remove_device_that_the_guest_keeps",
    ),
    Finding(
        key="print-xml-unchecked",
        tool="virt-install",
        versions="4.1.0",
        documentation="nothing",
        behaviour="--print-xml takes any word for a mode, MAC or manager id; libvirt refuses it",
        remedy="check the XML",
        test="test_printed_but_refused_by_libvirt",
    ),
    Finding(
        key="attach-interface-vepa",
        tool="virsh",
        versions="9.0.0",
        documentation="--help: --source-mode is the mode attribute of <source/>",
        behaviour=(
            "attach-interface of type direct is always vepa: --source-mode takes vhostuser's words,"
            " server and client"
        ),
        remedy="attach-device with XML",
        test="test_attach_interface_is_always_vepa",
    ),
    Finding(
        key="filter-dropped",
        tool=_LIBVIRT,
        versions="9.0.0",
        documentation="formatnwfilter: filters are for types network, ethernet and bridge",
        behaviour=(
            "a filterref of a direct interface is dropped without a word, when it is defined as"
            " when it is updated: the guest runs unfiltered"
        ),
        remedy="filter on the switch, or on the link below",
        test="test_filter_is_dropped",
    ),
    Finding(
        key="trust-forgotten",
        tool=_LIBVIRT,
        versions="9.0.0",
        documentation="nothing",
        behaviour=(
            "update-device --live takes trustGuestRxFilters and says that it has updated the"
            " device; the live XML has no trace of it"
        ),
        remedy="--config, and start anew",
        test="test_update_live_forgotten",
    ),
    Finding(
        key="passthrough-leaves-its-address",
        tool=_LIBVIRT,
        versions="9.0.0",
        documentation="nothing",
        behaviour=(
            "attaching passthrough to a link that has a macvtap is refused; the link keeps the"
            " address of the guest that was refused"
        ),
        remedy="ip link set LINK address OLD",
        test="test_attach_passthrough_beside_another",
    ),
)
"""All of them, by tool."""
