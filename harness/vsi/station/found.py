"""What libvirt and lldpad were found to do with VSIs that nobody would expect."""

from __future__ import annotations

from harness.guests.finding import Finding

__all__ = ["FINDINGS"]

_TESTS = "tests/conformance/vsi"
_BOTH = "libvirt 9.0.0, lldpad 1.1"

FINDINGS = (
    Finding(
        key="netlink-port-bit-31",
        tool="libvirt",
        versions="9.0.0, with libnl 3.7.0",
        documentation="nothing",
        behaviour="a libvirtd that starts at the wrong time sends lldpad nothing, as long as it "
        'runs: every 802.1Qbg interface is refused with "sending of PortProfileRequest failed"',
        source="libnl makes a socket's netlink port of process id and clock (generate_local_port), "
        "in half of all cases with bit 31 set; libvirt asks for it as an int "
        "(virNetlinkEventServiceLocalPid) and takes a negative one for an error",
        remedy="start libvirtd again some minutes later: it alternates between eight and eight and "
        "a half minutes. /proc/net/netlink has the port (column Pid; from 2147483648 it is wrong)",
        test=f"{_TESTS}/test_station.py::test_netlink_port_with_bit_31_set",
    ),
    Finding(
        key="refusal-with-its-flags",
        tool="libvirt",
        versions=_BOTH,
        documentation="nothing",
        behaviour='"error N during port-profile setlink": N is not the code alone, but 16 more '
        "where the switch says that asking again will not help",
        source="lldpad hands on the status without the acknowledge bit alone",
        test=f"{_TESTS}/test_failures.py::test_told",
    ),
    Finding(
        key="failed-stays-associated",
        tool="libvirt",
        versions=_BOTH,
        documentation="a guest that could not be started leaves the network as it was",
        behaviour="a guest whose association was granted, but not heard of in time, is not "
        "de-associated: the switch has it until its keepalive runs out, or for as long as lldpad "
        "keeps it alive",
        source="virNetDevMacVLanCreateWithVPortProfile deletes the macvtap only",
        test=f"{_TESTS}/test_failures.py::test_told",
    ),
    Finding(
        key="lldpad-restart-forgets",
        tool="lldpad",
        versions=_BOTH,
        documentation="nothing",
        behaviour="lldpad that is started again knows no VSI, and libvirt does not notice: the "
        "switch drops running guests when their keepalives stay away",
        source="lldpad keeps VSIs in memory only; libvirt associates at a guest's start, its own, "
        "and when lldpad tells it that the switch has de-associated",
        remedy="restart libvirtd after lldpad: it associates all running guests again",
        test=f"{_TESTS}/test_later.py::test_lldpad_restarted",
    ),
    Finding(
        key="wire-pulled-forgets",
        tool="lldpad",
        versions=_BOTH,
        documentation="nothing",
        behaviour="in draft 0.2 VSIs are forgotten when the link loses its carrier; in the "
        "ratified dialect they are associated again",
        source="vdp_ifdown removes what vdp22_stop keeps",
        remedy="restart libvirtd when the link is back",
        test=f"{_TESTS}/test_later.py::test_wire_pulled",
    ),
    Finding(
        key="vid-granted-is-not-known-again",
        tool="lldpad",
        versions=_BOTH,
        documentation="802.1Q 41.2.9: for the null VID the bridge answers with the VID to be used",
        behaviour="a VSI that was granted a VID for the null VID is not de-associated when its "
        "guest ends; lldpad keeps it alive for as long as it runs (ratified dialect)",
        source='vdp22_addreq compares the filters, and has "TODO mismatch filter data"',
        remedy="have the switch answer with the null VID",
        test=f"{_TESTS}/test_later.py::test_vid_rewritten",
    ),
    Finding(
        key="instance-twice-is-silent",
        tool="lldpad",
        versions=_BOTH,
        documentation="an instance id is one interface's",
        behaviour="in draft 0.2 a second guest with the instance id of another on the same link "
        "starts; the switch hears of its address with the next keepalive, up to 10 s later. When "
        "one of the two ends, both are de-associated",
        source="vdp_add_profile adds the address to the profile that it has, and tells nobody",
        remedy="an instance id of its own for each: `hairpin guests` checks that",
        test=f"{_TESTS}/test_later.py::test_instance_twice",
    ),
    Finding(
        key="wrong-acknowledgement-ends-ecp",
        tool="lldpad",
        versions=_BOTH,
        documentation="an ECPDU that is not acknowledged is sent again",
        behaviour="in draft 0.2 one acknowledgement of another sequence ends lldpad's ECP: it "
        "sends no other copy and nothing else, no de-associate either",
        source="ecp_tx_run_sm stops the timer for any acknowledgement, and goes on waiting",
        test=f"{_TESTS}/test_failures.py::test_told",
    ),
    Finding(
        key="vdptool-manager-is-hexadecimal",
        tool="vdptool",
        versions="lldpad 1.1",
        documentation="mgrid2 is a string of up to 16 characters, or a UUID",
        behaviour="digits are read as those of a UUID: mgrid2=11 is manager 17",
        source="the UUID is tried first",
        remedy="write it as the first octet of a UUID: mgrid2=0b is libvirt's manager 11",
        test=f"{_TESTS}/test_station.py::test_vdptool",
    ),
)
"""In the order in which one meets them."""
