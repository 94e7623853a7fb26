"""Large frames and open checksums, by what the receiver takes.

    a [tap]--.
             lower ----- switch ----- external
    b [tap]--'
      direct:    a to b, both bridge
      reflected: a to b, both vepa or private, hairpin on
      inward:    external to b         outward: a to external

A receiver that takes such a frame gets it whole; any other gets segments, cut and checksummed
by the kernel (tap_handle_frame, drivers/net/tap.c), compared here byte by byte.
"""

import os
from contextlib import ExitStack, suppress

import pytest

from harness import Frame, Guest, Mode, Switch, Tag, Topology
from harness.kernel.ethtool import without_tx_offloads
from harness.kernel.gso import LargeFrame, arrival, differences
from harness.kernel.packets import vnet_socket
from harness.kernel.taps import Offload
from harness.kernel.vnet import Gso

ALL = Offload.CSUM | Offload.TSO4 | Offload.TSO6
USO = Offload.USO4 | Offload.USO6
CITE = "tap_handle_frame, set_offload in drivers/net/tap.c"

PATHS = {
    "direct": (Mode.BRIDGE, False, "a"),
    "reflected, vepa": (Mode.VEPA, True, "a"),
    "reflected, private": (Mode.PRIVATE, True, "a"),
    "inward": (Mode.VEPA, False, "external"),
}
FRAMES = {
    "TCPv4": {"gso": Gso.TCPV4},
    # A byte more, and macvlan is not asked to take it whole (gso_features_check, net/core/dev.c).
    "TCPv4, 64 KiB": {"gso": Gso.TCPV4, "length": 0xFFFF - 54, "segment": 1460},
    "TCPv4, ECN": {"gso": Gso.TCPV4, "ecn": True},
    "TCPv4 in a VLAN": {"gso": Gso.TCPV4, "tag": Tag(5)},
    "TCPv6": {"gso": Gso.TCPV6, "ipv6": True},
    "UDPv4 segments": {"gso": Gso.UDP_L4},
    "UDPv6 segments": {"gso": Gso.UDP_L4, "ipv6": True},
    "UDPv4 fragments": {"gso": Gso.UDP},
    "UDPv6 fragments": {"gso": Gso.UDP, "ipv6": True},
    "TCPv4 checksum": {"tcp": True, "length": 999},
    "TCPv6 checksum": {"tcp": True, "ipv6": True, "length": 999},
    "UDPv4 checksum": {"length": 1000},
    "UDPv6 checksum in a VLAN": {"ipv6": True, "length": 1000, "tag": Tag(5)},
}
UNTAGGED = {name: shape for name, shape in FRAMES.items() if "tag" not in shape}
# Bytes of header, and what the reader says that it takes.
RECEIVERS = {
    "no header": (0, 0),
    "nothing": (10, 0),
    "CSUM": (12, Offload.CSUM),
    "TSO4": (12, Offload.CSUM | Offload.TSO4),
    "TSO4, ECN": (10, Offload.CSUM | Offload.TSO4 | Offload.TSO_ECN),
    "TSO6": (12, Offload.CSUM | Offload.TSO6),
    "TSO without CSUM": (10, Offload.TSO4 | Offload.TSO6),
    "USO": (12, ALL | USO),
    "UFO": (12, ALL | Offload.UFO),
}


def _takes(frame, header, offloads):
    """Whether a reader gets the frame as it is; None where kernels differ.

    Nothing counts without CSUM. UFO is no feature of a device any more (d9d30adf5677, Linux
    4.14), so it is always cut. A reader that takes USO has been seen to get it whole (6.12) and
    cut (6.18).
    """
    if not header or not offloads & Offload.CSUM:
        return False
    if frame.gso is Gso.UDP_L4:
        return None if offloads & USO == USO else False
    needed = {
        Gso.NONE: 0,
        Gso.TCPV4: Offload.TSO4 | Offload.TSO_ECN * frame.ecn,
        Gso.TCPV6: Offload.TSO6,
    }.get(frame.gso)
    return needed is not None and offloads & needed == needed


@pytest.fixture(scope="module")
def outside():
    """The external host's packet sockets: closing one waits for an RCU grace period."""
    with ExitStack() as undo:
        sockets = {}

        def of(bed):
            if bed not in sockets:
                opened = vnet_socket(bed.wiring.namespace_of("external"), "external")
                opened.settimeout(5)
                sockets[bed] = undo.enter_context(opened)
            return sockets[bed]

        yield of


def _topology(mode, hairpin):
    return Topology([Guest("a", mode), Guest("b", mode)], switch=Switch(hairpin=hairpin))


def _configured(tap, header, offloads):
    try:
        tap.set_offloads(offloads)
    except OSError:
        assert offloads & USO, "only USO (Linux 6.2) may be unknown"
        pytest.skip("this kernel's taps know no USO")
    return tap.configured(vnet_header=header, offloads=offloads)


def _put(write, frame):
    """Hand the frame over with its header; skips where the kernel has no such frames."""
    try:
        write(frame.header.pack() + frame.frame)
    except OSError:
        assert frame.gso is Gso.UDP_L4, "only UDP_L4 (Linux 6.2) may be unknown"
        pytest.skip("this kernel knows no UDP segments in a virtio-net header")


def _forget(sock):
    """What the socket has heard so far: its own inward frames too."""
    with suppress(BlockingIOError):
        while os.read(sock.fileno(), 1 << 17):  # the timeout has made it non-blocking
            pass


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS, scope="module")
@pytest.mark.parametrize("receiver", RECEIVERS.values(), ids=RECEIVERS)
@pytest.mark.parametrize("shape", FRAMES.values(), ids=FRAMES)
def test_receiver(taps, outside, path, receiver, shape):
    """Whole to who takes it, otherwise in segments with every checksum complete."""
    mode, hairpin, sender = path
    bed = taps(_topology(mode, hairpin))
    macs = bed.topology.macs
    frame = LargeFrame(macs["b"], macs[sender], **shape)
    last = Frame(macs["b"], macs[sender], payload=b"last").to_bytes()
    a, b = bed.endpoints["a"].tap, bed.endpoints["b"].tap
    with a.configured(vnet_header=10, offloads=ALL), _configured(b, *receiver):
        write = a.write if sender == "a" else outside(bed).send
        _put(write, frame)
        write(bytes(10) + last)
        seen = [arrival(data, b.header) for data in b.read_up_to(last)]
    takes = _takes(frame, *receiver)
    if takes is None:
        takes = len(seen) == 1  # one or the other, but that to the byte
    if takes:
        expected = frame.whole()
    else:
        header, offloads = receiver
        checksums_open = bool(header and offloads & Offload.CSUM)
        expected = frame.cut([f for _, f in seen], checksums_open=checksums_open)
    assert differences(seen, expected) == [], CITE


@pytest.mark.parametrize("mode", [Mode.BRIDGE, Mode.VEPA])
@pytest.mark.parametrize("takes", [True, False], ids=["lower takes it", "lower takes nothing"])
@pytest.mark.parametrize("shape", UNTAGGED.values(), ids=UNTAGGED)
def test_outward(taps, outside, mode, takes, shape):
    """To the wire: as it is where the lower device takes it, otherwise cut before it gets there.

    macvlan itself takes everything (ALWAYS_ON_OFFLOADS), so the lower device's features decide
    (validate_xmit_skb, net/core/dev.c); UFO is no feature of any device.
    """
    bed = taps(_topology(mode, False))
    macs = bed.topology.macs
    frame = LargeFrame(macs["external"], macs["a"], **shape)
    last = Frame(macs["external"], macs["a"], payload=b"last").to_bytes()
    a, external = bed.endpoints["a"].tap, outside(bed)
    _forget(external)
    with ExitStack() as undo:
        undo.enter_context(a.configured(vnet_header=10))
        if not takes:
            undo.enter_context(without_tx_offloads(bed.wiring.host, "lower"))
        _put(a.write, frame)
        a.write(bytes(10) + last)
        seen = []
        while not (read := external.recv(1 << 17)).endswith(last):
            seen.append(arrival(read, 10))
    if takes and frame.gso is not Gso.UDP:
        expected = frame.whole()
    else:
        expected = frame.cut([f for _, f in seen], checksums_open=takes)
    assert differences(seen, expected) == [], "validate_xmit_skb in net/core/dev.c"
