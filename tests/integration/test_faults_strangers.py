"""Strangers let in on purpose: the verdict differs, and who it was is named.

    a [tap]--.   .-- spy                     .-- external
             lower -------- switch ----------+
    b [tap]--'                 |             '-- router
     '-- somebody else      spy-port

What a stranger may bring: a macvlan on the lower device, a switch port, a program on a link, a
second reader of a guest's tap. And a guest that leaves its group, which no command can make it.
"""

import ctypes
import os
import platform
import struct
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest

from harness import UNKNOWN, Guest, Mode, Router, Stimulus, Topology
from harness.frames import Frame
from harness.kernel.features import Backend
from harness.kernel.packets import plain_socket
from harness.kernel.readback import FdbEntry, read_back
from harness.kernel.taps import Tap

# Several, because a guest's filter lets some groups through, about one in 256 (mc_hash).
GROUPS = ("03:68:70:00:00:01", "03:68:70:00:00:02", "03:68:70:00:00:03")
OTHER_GROUP = "03:68:70:00:00:77"
NOBODYS = "02:68:70:ee:ee:ee"  # what UNKNOWN stands for
ADD_SPY = "ip link add link lower name spy"
PAIR = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)])
ROUTED = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE)], router=Router())
JOINED = Topology([Guest("a", Mode.BRIDGE), Guest("b", Mode.BRIDGE, groups=GROUPS)])
OUTSIDE_TO_A = Stimulus("external", "a")
ROUTED_A_TO_B = Stimulus("a", "b", via="router")


@pytest.mark.parametrize(
    ("stimulus", "put", "says"),
    [
        pytest.param(
            Stimulus("a", UNKNOWN),
            [f"host: {ADD_SPY} address {NOBODYS} up type macvlan mode bridge"],
            f"a foreign link spy (macvlan, address {NOBODYS}) sits on lower in bridge mode",
            id="macvlan takes what nobody has",
        ),
        pytest.param(
            OUTSIDE_TO_A,
            [
                f"host: {ADD_SPY} up type macvlan mode source flag nodst",
                "host: ip link set spy type macvlan macaddr add $external",
            ],
            "taking the frames of 02:68:70:03:00:01 away from everybody else (nodst)",
            id="macvlan takes a sender's frames away",
        ),
        pytest.param(
            Stimulus("a", UNKNOWN),
            [f"host: {ADD_SPY} address {NOBODYS} up type macvtap mode bridge"],
            f"a foreign link spy (macvtap, address {NOBODYS}) sits on lower in bridge mode",
            id="macvtap",
        ),
    ],
)
def test_link(shows, stimulus, put, says):
    """A foreign link on the lower device takes frames, and is named with what it takes."""
    shows(PAIR, stimulus, put, ["host: ip link del dev spy"], [says])


@contextmanager
def _group_left(bed):
    """Another one is joined, because leaving alone does not close the filter: it is computed
    before the left group is taken off the list (macvlan_set_mac_lists, drivers/net/macvlan.c).
    """
    bed.wiring._memberships["b"].set((OTHER_GROUP,))
    yield
    bed.wiring._memberships["b"].set(GROUPS)


@contextmanager
def _stranger_with_an_address(bed):
    """A station at a switch port of its own claims the address of a."""
    switch = bed.wiring.switch

    def run(*arguments):
        switch.run(lambda: subprocess.run(arguments, check=True))

    run("ip", "link", "add", "spy", "type", "veth", "peer", "name", "spy-port")
    run("ip", "link", "set", "spy-port", "master", "switch", "up")
    run("ip", "link", "set", "spy", "up")
    claim = Frame(bed.topology.macs["external"], bed.topology.macs["a"]).to_bytes()
    claimed = FdbEntry(bed.topology.macs["a"], "spy-port")
    give_up = time.monotonic() + 5
    with plain_socket(switch, "spy") as sender:
        # A port that is new does not forward yet, and learns nothing.
        while claimed not in read_back(switch).forwarding and time.monotonic() < give_up:
            sender.send(claim)
        yield
    run("ip", "link", "del", "spy")


BPF_CALL = {"x86_64": 321, "aarch64": 280}
BPF_PROG_LOAD, BPF_LINK_CREATE = 5, 28
BPF_PROG_TYPE_XDP, BPF_XDP, XDP_DROP = 6, 37, 1


def _bpf(command, attributes):
    libc = ctypes.CDLL(None, use_errno=True)
    number = BPF_CALL[platform.machine()]
    fd = libc.syscall(number, command, ctypes.c_char_p(attributes), len(attributes))
    if fd < 0:
        pytest.skip(f"bpf(2): {os.strerror(ctypes.get_errno())}")
    return fd


def _drop_all():
    """A program of two instructions: r0 = XDP_DROP; exit."""
    code = struct.pack("<BBhi", 0xB7, 0, 0, XDP_DROP) + struct.pack("<BBhi", 0x95, 0, 0, 0)
    instructions = ctypes.create_string_buffer(code)
    licence = ctypes.create_string_buffer(b"GPL")
    places = ctypes.addressof(instructions), ctypes.addressof(licence)
    load = struct.pack("=IIQQ", BPF_PROG_TYPE_XDP, len(code) // 8, *places)
    return _bpf(BPF_PROG_LOAD, load.ljust(128, b"\0"))


@contextmanager
def _xdp_drops(bed):
    """An XDP program on the lower device drops all that comes in."""
    index = bed.wiring.index["lower"]

    def attach(program):
        return _bpf(
            BPF_LINK_CREATE, struct.pack("=IIII", program, index, BPF_XDP, 0).ljust(64, b"\0")
        )

    with ExitStack() as undo:
        program = _drop_all()
        undo.callback(os.close, program)
        undo.callback(os.close, bed.wiring.host.run(lambda: attach(program)))
        yield


@contextmanager
def _tap_opened_here(bed):
    """The tap of b is opened again, by this very process."""
    with ExitStack() as undo:
        for _ in range(20):
            undo.enter_context(Tap.open(bed.wiring.host, "b"))
        yield


STRANGER = """
import os, sys
fds = [int(x) for x in sys.argv[1:]]
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def _tap_opened_elsewhere(bed):
    """The tap of b is held open by another process."""
    with ExitStack() as undo:
        taps = [Tap.open(bed.wiring.host, "b") for _ in range(20)]
        stranger = undo.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", STRANGER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[tap.fd for tap in taps],
            )
        )
        assert stranger.stdout.readline() == b"ready\n"
        for tap in taps:
            tap.close()
        yield
        stranger.stdin.close()


@pytest.mark.parametrize(
    ("put", "topology", "stimulus", "says"),
    [
        pytest.param(
            _group_left,
            JOINED,
            [Stimulus("a", group) for group in GROUPS],
            [f"b is not in the groups {', '.join(GROUPS)}, the topology says so"],
            id="a group left",
        ),
        pytest.param(
            _stranger_with_an_address,
            PAIR,
            OUTSIDE_TO_A,
            ["the switch has learned 02:68:70:01:00:01 (a) at port spy-port"],
            id="a stranger with a guest's address",
        ),
        pytest.param(
            _xdp_drops, PAIR, OUTSIDE_TO_A, ["an XDP program", "on lower decides"], id="XDP drops"
        ),
        pytest.param(
            _tap_opened_here,
            ROUTED,
            ROUTED_A_TO_B,
            ["a foreign tap: this very process", "holds the tap of b open"],
            id="a tap opened twice",
        ),
        pytest.param(
            _tap_opened_elsewhere,
            ROUTED,
            ROUTED_A_TO_B,
            ["a foreign tap: python", "(pid ", "holds the tap of b open"],
            id="a tap opened by a stranger",
        ),
    ],
)
def test_stranger(shows, backend, put, topology, stimulus, says):
    """Also what no command puts in is named."""
    if "tap" in says[0] and backend is not Backend.TAP:
        pytest.skip("no taps here")
    shows(topology, stimulus, put, (), says)
