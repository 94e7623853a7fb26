"""Tiny guests that run: booted by QEMU alone, without libvirt, on a wire between the two.

one [eth0] ──── socket pair ──── [eth0] two
"""

import errno
import select
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.errors import GuestError, UnfitError
from harness.guests.tiny import wire
from harness.guests.tiny.answers import Stop
from harness.guests.tiny.client import Agent
from harness.guests.tiny.image import image
from harness.guests.tiny.spec import qemu_arguments
from harness.kernel.netns import NetNS
from harness.kernel.processes import Family, find_program
from harness.machines.architecture import Architecture

pytestmark = pytest.mark.root

UP_WITHIN = 60  # seconds, on a machine that is busy and emulates
MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")
ADDRESSES = ("192.0.2.1", "192.0.2.2")
NOBODY = "192.0.2.99"
SENTINEL = b"that was all"
TAG = bytes.fromhex("81002005")

KILLED_CLIENT = """
import sys
from harness.guests.tiny.client import Agent
with Agent.connect(sys.argv[1], within=60) as agent:
    print("connected", flush=True)
    agent.run(["sleep", "600"], seconds=600)
"""


def frame(to, by, load, *, tag=b""):
    macs = bytes.fromhex((MACS[to] + MACS[by]).replace(":", ""))
    return macs + tag + b"\x88\xb5" + load.ljust(46, b".")


def made(architecture, **options):
    """The image; without apt, a network or QEMU the test skips."""
    try:
        find_program(f"qemu-system-{architecture}")
        return image(architecture, **options)
    except UnfitError as error:
        pytest.skip(str(error))


class Pair:
    """Two guests: their agents, QEMUs and sockets."""

    def __init__(self, folder, family, ns, stack, found):
        self.qemus, self.sockets = [], []
        ends = [stack.enter_context(x) for x in socket.socketpair()]
        for i, end in enumerate(ends):
            self.sockets.append(folder / f"agent{i}")
            nic = f"virtio-net-pci,netdev=wire,mac={MACS[i]},romfile="
            words = qemu_arguments(
                found,
                agent_socket=self.sockets[i],
                console_log=folder / f"console{i}",
                network=("-netdev", f"socket,id=wire,fd={end.fileno()}", "-device", nic),
            )
            self.qemus.append(family.spawn(ns, words, descriptors=(end.fileno(),)))
        self.agents = []
        stack.callback(lambda: [agent.close() for agent in self.agents])
        for i in (0, 1):
            self.agents.append(self.connect(i))
        self.set_up()

    def connect(self, i):
        return Agent.connect(self.sockets[i], within=UP_WITHIN)

    def reconnect(self, i):
        """After a test has broken it."""
        self.agents[i].close()
        self.agents[i] = self.connect(i)

    def set_up(self):
        for agent, address in zip(self.agents, ADDRESSES, strict=True):
            agent.change("eth0", up=True, address=f"{address}/24")


@pytest.fixture(scope="module", params=list(Architecture))
def pair(request, tmp_path_factory):
    found = made(request.param)
    with ExitStack() as stack:
        ns = stack.enter_context(NetNS.create())
        family = stack.enter_context(Family())
        yield Pair(tmp_path_factory.mktemp("pair"), family, ns, stack, found)


@pytest.fixture
def agents(pair):
    return pair.agents


def test_from_an_empty_cache(tmp_path):
    """With nothing but apt there is an image; the machine's own package lists stay as they are."""
    lists = Path("/var/lib/apt/lists")
    before = sorted(lists.iterdir()) if lists.is_dir() else []
    found = made("x86_64", cache=tmp_path)
    assert {"busybox-static", "python3-minimal"} <= dict(found.packages).keys()
    assert [x for x in tmp_path.iterdir() if x.name.startswith("making")] == []
    assert (sorted(lists.iterdir()) if lists.is_dir() else []) == before
    assert image("x86_64", cache=tmp_path) == found


def test_hello(pair):
    """Each says what it is, and knows its card by the MAC that it was given."""
    for agent, mac in zip(pair.agents, MACS, strict=True):
        assert agent.hello.version == wire.VERSION
        nic = agent.nic(mac)
        assert (nic.name, nic.mtu, nic.up, nic.carrier, nic.queues) == ("eth0", 1500, True, True, 1)


@pytest.mark.parametrize("by", [0, 1], ids=["one-to-two", "two-to-one"])
@pytest.mark.parametrize("tag", [b"", TAG], ids=["untagged", "tagged"])
def test_frames(agents, by, tag):
    """Many at once arrive in their order, to the byte; the sender's capture has none of them.

    QEMU's card passes tags of VLANs that are not configured only when promiscuous (receive_filter,
    hw/net/virtio-net.c).
    """
    to = 1 - by
    frames = [frame(to, by, b"%d" % i, tag=tag) for i in range(200)]
    frames.append(frame(to, by, b"".ljust(60) + SENTINEL, tag=tag))
    with (
        agents[to].capture("eth0", promiscuous=bool(tag)) as there,
        agents[by].capture("eth0") as here,
    ):
        sent = agents[by].send(MACS[by], frames)
        assert (sent.count, sent.errno) == (len(frames), 0)
        seen = there.read(tail=SENTINEL)
        assert (seen.stop, seen.lost) == (Stop.TAIL, 0)
        ours = [x for x in seen.frames if x[12 + len(tag) :].startswith(b"\x88\xb5")]
        assert ours == frames
        quiet = here.read(seconds=0)
        assert [x for x in quiet.frames if x in frames] == []


def test_count_and_time(agents):
    """A capture is read up to a number, and what is left afterwards, up to a time."""
    with agents[1].capture("eth0") as capture:
        agents[0].send("eth0", [frame(1, 0, b"%d" % i) for i in range(3)])
        first = capture.read(count=2)
        assert (len(first.frames), first.stop) == (2, Stop.COUNT)
        rest = capture.read(seconds=0.3)
        assert rest.stop is Stop.TIME
        assert frame(1, 0, b"2") in rest.frames


def test_frames_that_are_refused(agents):
    """The kernel's errno comes back, with how many went before."""
    oversize = frame(1, 0, bytes(3000))
    sent = agents[0].send("eth0", [frame(1, 0, b"good"), oversize, frame(1, 0, b"never")])
    assert (sent.count, sent.errno) == (1, errno.EMSGSIZE)
    agents[0].change("eth0", up=False)
    try:
        assert agents[0].send("eth0", [frame(1, 0, b"down")]).errno == errno.ENETDOWN
    finally:
        agents[0].change("eth0", up=True)


def test_ping(agents):
    """Who is there answers; who is not costs a fraction of a second, again and again."""
    assert agents[0].ping(ADDRESSES[1]).ok
    for _ in range(2):
        failed = agents[0].ping(NOBODY, seconds=5)
        assert (failed.ok, failed.reason) == (False, "No route to host")
    assert agents[0].ping(ADDRESSES[1]).ok


def test_neighbours(agents):
    """A permanent neighbour is believed, until it is flushed."""
    agents[0].add_neighbour("eth0", ADDRESSES[1], "52:54:00:00:00:99")
    assert agents[0].ping(ADDRESSES[1], seconds=0.5).reason == "no answer"
    agents[0].change("eth0", flush=True)
    assert agents[0].ping(ADDRESSES[1]).ok


@pytest.mark.parametrize("echo", [False, True], ids=["digest", "echo"])
def test_transfer(agents, echo):
    with agents[1].listen(echo=echo) as listener:
        done = agents[0].transfer(ADDRESSES[1], listener.port, 1_000_000, echo=echo)
    assert (done.ok, done.reason) == (True, "")
    assert done.bits_per_second > 0


def test_change(agents):
    """MTU and MAC are the card's until they are changed back; what it cannot be is refused."""
    changed = agents[0].change("eth0", mtu=1400, mac="52:54:00:00:00:77")
    try:
        assert (changed.mtu, changed.mac) == (1400, "52:54:00:00:00:77")
        with pytest.raises(GuestError, match="set the MTU 99999 of eth0: Invalid") as caught:
            agents[0].change("eth0", mtu=99999)
        assert caught.value.errno == errno.EINVAL
    finally:
        agents[0].change("eth0", mtu=1500, mac=MACS[0])


def test_half_a_message(pair):
    """A host that goes in the middle of a message costs the next one nothing."""
    begun = wire.encode(wire.Message(b"8 bytes.", 1, wire.HELLO, {"data": b"x" * 5000}))
    pair.agents[0].close()
    for size in (1, 20, 3000):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(pair.sockets[0]))
            raw.sendall(begun[:size])
    pair.reconnect(0)
    assert pair.agents[0].run(["true"]).ok


def test_client_killed(pair):
    """SIGKILL ends what the host was waiting for; the guest goes on, and idles meanwhile."""

    def uptimes():
        words = pair.agents[0].run(["cat", "/proc/uptime"]).stdout.split()
        return [float(x) for x in words]  # since boot, and of it idle

    with pair.agents[0].capture("eth0") as capture:
        up, idle = uptimes()
        pair.agents[0].close()
        select.select([], [], [], 2)  # nobody is there for that long: what is measured
        pair.reconnect(0)
        up, idle = (after - before for after, before in zip(uptimes(), (up, idle), strict=True))
        assert idle / up > 0.6
        assert pair.agents[0].hello.captures == (capture.number,)
        pair.agents[0].close()
        words = [sys.executable, "-c", KILLED_CLIENT, str(pair.sockets[0])]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as client:
            assert client.stdout.readline() == b"connected\n"
            client.kill()
        pair.reconnect(0)
    running = pair.agents[0].run(["ps", "-o", "args"]).stdout
    assert b"sleep 600" not in running


def test_reboot(pair):
    """After a reboot it is another boot, with nothing of the one before, on the same socket."""
    pair.agents[0].capture("eth0")
    before = pair.agents[0].hello.boot
    hello = pair.agents[0].reboot(within=UP_WITHIN)
    assert hello.boot != before
    assert hello.captures == ()
    pair.set_up()
    assert pair.agents[0].ping(ADDRESSES[1], seconds=3).ok


def test_power_off_and_death(pair):
    """One switches itself off, the other's QEMU is killed: both are said to be lost."""
    pair.agents[0].power_off()
    assert pair.qemus[0].wait(UP_WITHIN).status == 0
    pair.qemus[1].close()
    for agent in pair.agents:
        with pytest.raises(GuestError, match="lost") as caught:
            agent.nics()
        assert caught.value.lost
