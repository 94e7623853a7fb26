"""`hairpin vsi` as a user has it.

station -- [tap0] == hairpin vsi switch
             '------ hairpin vsi watch
"""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from contextlib import contextmanager

import pytest
from scapy.utils import RawPcapNgReader

from harness.kernel.links import add_bridge, add_veth, delete_link, set_link
from harness.kernel.linkstate import wait_for_link
from harness.kernel.netns import NetNS
from harness.kernel.waiting import look_until
from harness.vsi.facts import Command
from harness.vsi.live import PacketPort

from .test_vsi_switch import Peer, frame

COMMAND = [sys.executable, "-m", "harness", "vsi"]
WITHIN = 10.0
TYPES = '[[type]]\nmanager = 11\nid = 7\nvlan = 100\nmacs = ["52:54:00"]\n'


@pytest.fixture
def ns():
    with NetNS.create() as ns:
        ns.rtnl.transact([add_veth("veth0", index=10, peer="far", peer_index=11)])
        ns.rtnl.transact([set_link("far", index=11, up=True)])
        for link in ("veth0", "far"):
            wait_for_link(ns, link, lambda state: state.operstate == "UP", within=WITHIN)
        yield ns


class Running:
    """A command that goes on until it is told to end; `text` is what it has printed so far."""

    def __init__(self, process, read):
        self.process = process
        self.text = ""
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._gather, args=(read,))
        self._thread.start()

    def _gather(self, read):
        while data := read():
            with self._more:
                self.text += data.decode()
                self._more.notify_all()

    def prints(self, pattern):
        """Wait for a text like that."""
        with self._more:
            said = self._more.wait_for(lambda: re.search(pattern, self.text), timeout=WITHIN)
        assert said, self.text
        return said

    def interrupted(self):
        """Its exit status after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(WITHIN)
        self._thread.join(WITHIN)
        return status


@contextmanager
def running(ns, *arguments, terminal=None):
    """`hairpin vsi …` in a namespace; `terminal` is (rows, columns) of one."""
    command = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{ns.fd}", *COMMAND, *map(str, arguments)]
    if terminal:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *terminal, 0, 0))
    else:
        ours, theirs = os.pipe()
    environment = os.environ | {"TERM": "xterm"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)

    def read():
        try:
            return os.read(ours, 1 << 16)
        except OSError:  # EIO: the terminal's other end is closed
            return b""

    try:
        yield Running(process, read)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def run(ns, *arguments):
    """One that ends by itself: exit status and what it says."""
    command = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{ns.fd}", *COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stderr


def names(ns):
    return {link.get_attr("IFLA_IFNAME") for link in ns.rtnl.links()}


@pytest.fixture
def types(tmp_path):
    path = tmp_path / "types.toml"
    path.write_text(TYPES)
    return path


@pytest.mark.root
def test_switch_on_a_tap(ns, types, tmp_path):
    """Made, served, told of in lines, kept for Wireshark, and gone with Ctrl-C."""
    file = tmp_path / "switch.pcapng"
    with running(ns, "switch", "--tap", "tap0", "--types", types, "--pcapng", file) as switch:
        switch.prints("makes the TAP device tap0, until it ends. Nothing else changes")
        switch.prints("tap0 out LLDP")
        with PacketPort.open(ns, "tap0") as port:
            station = Peer(port)
            station.announce()
            assert station.ask(Command.ASSOCIATE, 1).status.code == 0
            assert station.ask(Command.ASSOCIATE, 2, kind=99).status.code == 4
            port.write(frame(99, 1))
            switch.prints(r"tap0 in  .*associate 00000000-\S+01 type 11/7/2 52:54:00:00:00:01")
            switch.prints(r"tap0     VSI 0000\S+01: unassociated → associated: asked for")
            switch.prints(r"tap0     VSI 0000\S+02: refused: unknown VSI type")
            switch.prints(r"tap0 out .*associate REFUSED \(4 other failure, hard\)")
            switch.prints("a frame of 52:54:00:00:00:63 dropped: its source is not associated")
            assert switch.interrupted() == 0
        assert re.search(r"tap0 +0000\S+01 +11/7/2 +associated +100 ", switch.text)
        assert re.search(r"\d+ control frames in, \d+ out; 0 frames forwarded", switch.text)
        assert f"Frames: {file}" in switch.text
    assert "tap0" not in names(ns)
    with RawPcapNgReader(str(file)) as reader:
        comments = [packet[1].comments for packet in reader]
    assert [b"dropped: its source is not associated"] in comments


@pytest.mark.root
def test_live_view(ns, types):
    """On a terminal it is drawn anew, and what there is at the end stays."""
    with running(ns, "switch", "--tap", "tap0", "--types", types, terminal=(24, 120)) as switch:
        switch.prints("No VSI is known")
        with PacketPort.open(ns, "tap0") as port:
            station = Peer(port)
            station.announce()
            station.ask(Command.ASSOCIATE, 1)
            switch.prints(r"reflective relay on.*  1 VSI")
            switch.prints(r"associated\S* +100  52:54:00:00:00:01 +1[78] s +ratified")
            switch.prints("ECP request 1  associate granted")
            assert switch.interrupted() == 0
    assert "Traceback" not in switch.text


@pytest.mark.root
def test_watch(ns, tmp_path):
    """Both ways, a line each; every field with -v."""
    file = tmp_path / "watch.pcapng"
    with (
        running(ns, "switch", "--link", "veth0", "--fault", "refuse,code=2") as switch,
        running(ns, "watch", "veth0", "-v", "--pcapng", file) as watch,
        PacketPort.open(ns, "far") as port,
    ):
        switch.prints("veth0 out LLDP")
        watch.prints("Ctrl-C ends it")
        station = Peer(port)
        assert station.ask(Command.ASSOCIATE, 1).status.code == 2
        watch.prints(r"veth0 in  ECP request 1  associate 00000000-\S+01 type 11/7/2")
        watch.prints(r"veth0 out ECP request 1  associate REFUSED \(2 insufficient resources\)")
        watch.prints(r"type_id *= 7\n")
        assert watch.interrupted() == 0
        assert re.search(rf"\d frames: {file}", watch.text)
        assert switch.interrupted() == 0
    with RawPcapNgReader(str(file)) as reader:
        assert any(b"REFUSED" in b"".join(packet[1].comments) for packet in reader)


@pytest.mark.root
@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["switch"], 2, "a switch has ports: --tap NAME makes one, --link IF takes a link"),
        (["switch", "--tap", "a", "--link", "a"], 2, "a link is one port only: a, a"),
        (["switch", "--link", "eth9"], 3, "there is no link eth9 here; there are: "),
        (["switch", "--tap", "veth0"], 3, "make tun device veth0: "),
        (["switch", "--link", "down"], 3, "down is down; ip link set down up"),
        (["switch", "--link", "port"], 3, "port is a port of another bridge"),
        (["switch", "--link", "veth0", "--fault", "x"], 2, "fault 'x': no such kind; allowed: "),
        (["switch", "--link", "veth0", "--types", "/none.toml"], 2, "/none.toml"),
        (["switch", "--tap", "t", "--pcapng", "/none/file"], 2, "/none/file cannot be written"),
        (["switch", "--tap", "t", "rest"], 2, "unknown argument rest; see hairpin vsi switch"),
        (["watch", "eth9"], 3, "there is no link eth9 here"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be(ns, arguments, status, says):
    ns.rtnl.transact(
        [
            add_bridge("br0", index=20),
            add_veth("port", index=21, peer="down", peer_index=22, master=20),
        ]
    )
    got, error = run(ns, *arguments)
    assert got == status
    assert error.startswith("hairpin: ")
    assert says in error


@pytest.mark.root
def test_a_link_that_goes(ns):
    with running(ns, "switch", "--link", "veth0") as switch:
        switch.prints("veth0 out LLDP")
        ns.rtnl.transact([delete_link("veth0", index=10)])
        assert switch.process.wait(WITHIN) == 3
        switch.prints("hairpin: serve veth0: ENODEV .* it is gone")


@pytest.mark.root
def test_no_room_for_the_capture(ns):
    with running(ns, "watch", "veth0", "--pcapng", "/dev/full") as watch:
        assert watch.process.wait(WITHIN) == 2
        watch.prints("hairpin: /dev/full cannot be written: No space left on device")


@pytest.mark.root
def test_killed(ns):
    """The device goes with the process."""
    with running(ns, "switch", "--tap", "tap0") as switch:
        switch.prints("tap0 out LLDP")
        switch.process.kill()
        switch.process.wait()
        assert "tap0" not in look_until(
            lambda: names(ns), lambda there: "tap0" not in there, within=WITHIN
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes somebody else")
@pytest.mark.parametrize("arguments", [["switch", "--tap", "tap0"], ["watch", "lo"]])
def test_without_root(arguments):
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", *COMMAND, *arguments],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 3
    assert "take root; run it with sudo" in done.stderr
