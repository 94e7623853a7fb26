"""What the host's own stack answers on a macvtap that nobody has open.

    [tap?] left --- lower ----- far, where an equal link asks whether its address is taken

A macvtap is a link of the host, with the guest's MAC, and autoconfigures itself with IPv6. Where a
guest has moved to another host, such a link stays for a moment after QEMU has closed its tap, and
the new host's detection of duplicates (RFC 4862, 5.4) comes upon it.
"""

import socket
from contextlib import ExitStack

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import Ether

from harness.kernel import links
from harness.kernel.features import Backend
from harness.kernel.netns import NetNS
from harness.kernel.packets import plain_socket
from harness.kernel.procnet import addresses6
from harness.kernel.recording import Recording
from harness.kernel.taps import Tap
from harness.kernel.waiting import look_until
from harness.parts import Guest, Mode
from harness.plugin import fit

LOWER_MAC, GUEST_MAC, FAR_MAC = "02:68:70:02:01:01", "02:68:70:01:00:09", "02:68:70:03:00:01"
FAR_IP = "fe80::68:70ff:fe03:1"
EVERY_NODE = "ff02::1"
WITHIN = 5.0  # seconds; detecting duplicates takes one


def solicitation(address, *, mac, sender):
    """Who has `address`? Sent to the group of those whose addresses end alike (RFC 4291, 2.7.1)."""
    tail = socket.inet_pton(socket.AF_INET6, address)[-3:]
    group = f"ff02::1:ff{tail[0]:02x}:{tail[1]:02x}{tail[2]:02x}"
    frame = Ether(src=mac, dst=f"33:33:ff:{tail.hex(':')}")
    frame /= IPv6(src=sender, dst=group) / ICMPv6ND_NS(tgt=address)
    return bytes(frame if sender == "::" else frame / ICMPv6NDOptSrcLLAddr(lladdr=mac))


@pytest.fixture
def left(request):
    """A factory: a macvtap with an address of its own; its namespaces and address."""
    fit(request.config)
    with ExitStack() as undo:

        def make(mode, mac):
            host, far = (undo.enter_context(NetNS.create()) for _ in range(2))
            for scope in ("all", "default"):
                try:
                    host.sysctl(f"net.ipv6.conf.{scope}.disable_ipv6", "0")
                except FileNotFoundError:
                    pytest.skip("this kernel has no IPv6")
            host.sysctl("net.ipv6.conf.default.router_solicitation_delay", "0")
            far.rtnl.transact(
                [
                    links.add_veth(
                        "far",
                        index=2000,
                        peer="lower",
                        peer_index=40,
                        peer_ns=host.fd,
                        peer_mac=LOWER_MAC,
                    )
                ]
            )
            guest = Guest("left", mode, "lower", mac)
            host.rtnl.transact(
                [
                    links.set_link("lower", index=40, up=True),
                    links.add_macvtap(guest, index=41, lower=40),
                ]
            )
            found = look_until(
                lambda: [x for x in addresses6(host) if x.link == "left"],
                lambda x: x and not x[0].tentative,
                within=WITHIN,
            )
            return host, far, str(found[0].address)

        yield make


@pytest.mark.parametrize(
    ("mode", "mac", "claims"),
    [
        pytest.param(Mode.VEPA, GUEST_MAC, False, id="vepa"),
        pytest.param(Mode.BRIDGE, GUEST_MAC, False, id="bridge"),
        pytest.param(Mode.PRIVATE, GUEST_MAC, True, id="private"),
        pytest.param(Mode.PASSTHRU, LOWER_MAC, True, id="passthru"),
    ],
)
def test_claims_the_address(left, mode, mac, claims):
    """Without a queue the host's stack gets what was for the guest (tap_handle_frame).

    It defends its address against the equal one, by a frame that bears the guest's MAC. A private
    link hears it as macvlan_handle_frame sends what comes from its own MAC on to "the original
    port", a passthru one as it hears everything; vepa and bridge links never hear multicast from
    their own MAC. The end is known by another's question, which every link hears.
    """
    _, far, address = left(mode, mac)
    with Recording(far) as recording, plain_socket(far, "far") as sock:
        sock.send(solicitation(address, mac=mac, sender="::"))
        sock.send(solicitation(address, mac=FAR_MAC, sender=FAR_IP))
        heard = []

        def answers():
            heard.extend(Ether(x.frame) for x in recording.read() if not x.outgoing)
            return [x[IPv6].dst for x in heard if ICMPv6ND_NA in x]

        found = look_until(answers, lambda x: FAR_IP in x, within=WITHIN)
    assert FAR_IP in found
    assert (EVERY_NODE in found) is claims
    assert all(x.src == mac for x in heard if ICMPv6ND_NA in x)


@pytest.mark.parametrize(
    ("mode", "mac"), [(Mode.PRIVATE, GUEST_MAC), (Mode.PASSTHRU, LOWER_MAC)], ids=str
)
def test_queue_keeps_it_from_that(left, backend, mode, mac):
    """Once the tap is open every frame is the guest's: the questions lie in its queue."""
    if backend is not Backend.TAP:
        pytest.skip("taps take root")
    host, far, address = left(mode, mac)
    with (
        Tap.open(host, "left") as tap,
        Recording(far) as recording,
        plain_socket(far, "far") as sock,
    ):
        last = solicitation(address, mac=FAR_MAC, sender=FAR_IP)
        question = solicitation(address, mac=mac, sender="::")
        sock.send(question)
        sock.send(last)
        assert question in tap.read_up_to(last, seconds=WITHIN)
        answers = [Ether(x.frame) for x in recording.read() if not x.outgoing]
    assert not [x for x in answers if ICMPv6ND_NA in x]
