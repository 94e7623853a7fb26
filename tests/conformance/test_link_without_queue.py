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

from harness import Behaviour
from harness.kernel import links
from harness.kernel.features import Backend, probe
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
WITHIN = 5.0  # seconds, for what takes milliseconds


def solicitation(address, *, mac, sender):
    """Who has `address`? Sent to the group of those whose addresses end alike (RFC 4291, 2.7.1)."""
    tail = socket.inet_pton(socket.AF_INET6, address)[-3:]
    group = f"ff02::1:ff{tail[0]:02x}:{tail[1]:02x}{tail[2]:02x}"
    frame = Ether(src=mac, dst=f"33:33:ff:{tail.hex(':')}")
    frame /= IPv6(src=sender, dst=group) / ICMPv6ND_NS(tgt=address)
    return bytes(frame if sender == "::" else frame / ICMPv6NDOptSrcLLAddr(lladdr=mac))


def address_of(host, link):
    """The link-local address of a link, once it is known to be nobody else's."""
    found = look_until(
        lambda: [x for x in addresses6(host) if x.link == link],
        lambda x: x and not x[0].tentative,
        within=WITHIN,
    )
    return str(found[0].address)


@pytest.fixture
def left(request):
    """A factory: a macvtap with an address of its own; its namespaces and address."""
    fit(request.config)
    with ExitStack() as undo:

        def make(mode):
            host, far = (undo.enter_context(NetNS.create()) for _ in range(2))
            for scope in ("all", "default"):
                try:
                    host.sysctl(f"net.ipv6.conf.{scope}.disable_ipv6", "0")
                except FileNotFoundError:
                    pytest.skip("this kernel has no IPv6")
                host.sysctl(f"net.ipv6.conf.{scope}.accept_dad", "0")  # which would take a second
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
            host.rtnl.transact([links.set_link("lower", index=40, up=True)])
            address_of(host, "lower")
            if mode is Mode.PASSTHRU:  # as libvirt does; the address from its own MAC stays
                host.rtnl.transact([links.set_mac("lower", GUEST_MAC, index=40)])
            guest = Guest("left", mode, "lower", GUEST_MAC)
            host.rtnl.transact([links.add_macvtap(guest, index=41, lower=40)])
            return host, far, address_of(host, "left")

        yield make


@pytest.mark.parametrize(
    ("mode", "claims"),
    [
        pytest.param(Mode.VEPA, False, id="vepa"),
        pytest.param(Mode.BRIDGE, Behaviour.SHARED_SOURCE, id="bridge"),
        pytest.param(Mode.PRIVATE, True, id="private"),
        pytest.param(Mode.PASSTHRU, True, id="passthru"),
    ],
)
def test_claims_the_address(left, mode, claims):
    """Without a queue the host's stack gets what was for the guest (tap_handle_frame).

    It defends its address against the equal one, by a frame that bears the guest's MAC. A private
    link hears it as macvlan_handle_frame sends what comes from its own MAC on to "the original
    port", a passthru one as it hears everything; a vepa link never hears multicast from its own
    MAC, a bridge link where it is taken for another's. The end is known by another's question,
    which every link hears.
    """
    claims = claims in probe().behaviours if isinstance(claims, Behaviour) else claims
    _, far, address = left(mode)
    with Recording(far) as recording, plain_socket(far, "far") as sock:
        sock.send(solicitation(address, mac=GUEST_MAC, sender="::"))
        sock.send(solicitation(address, mac=FAR_MAC, sender=FAR_IP))
        heard = []

        def answers():
            heard.extend(Ether(x.frame) for x in recording.read() if not x.outgoing)
            return [x[IPv6].dst for x in heard if ICMPv6ND_NA in x]

        found = look_until(answers, lambda x: FAR_IP in x, within=WITHIN)
    assert FAR_IP in found
    assert (EVERY_NODE in found) is claims
    assert all(x.src == GUEST_MAC for x in heard if ICMPv6ND_NA in x)


@pytest.mark.parametrize("mode", [Mode.PRIVATE, Mode.PASSTHRU])
def test_queue_keeps_it_from_that(left, backend, mode):
    """Once the tap is open every frame is the guest's: the questions lie in its queue."""
    if backend is not Backend.TAP:
        pytest.skip("taps take root")
    host, far, address = left(mode)
    with (
        Tap.open(host, "left") as tap,
        Recording(far) as recording,
        plain_socket(far, "far") as sock,
    ):
        last = solicitation(address, mac=FAR_MAC, sender=FAR_IP)
        question = solicitation(address, mac=GUEST_MAC, sender="::")
        sock.send(question)
        sock.send(last)
        assert question in tap.read_up_to(last, seconds=WITHIN)
        answers = [Ether(x.frame) for x in recording.read() if not x.outgoing]
    assert not [x for x in answers if ICMPv6ND_NA in x]
