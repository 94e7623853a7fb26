"""The EVB bridge at work, between stations by script.

a, z -- tap0 (TAP) ------.
b ----- far -- veth0 ----+-- EvbSwitch -- up0 -- outside
                          (a trunk)
"""

import select
import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from scapy.utils import RawPcapNgReader

from harness.errors import KernelError, SilenceError, UsageError
from harness.kernel.links import add_veth, delete_link, set_link
from harness.kernel.linkstate import wait_for_link
from harness.kernel.netns import NetNS
from harness.vsi.events import EventKind
from harness.vsi.facts import (
    Association,
    Command,
    Dialect,
    EcpFrame,
    Evb,
    EvbMode,
    FilterInfo,
    LldpFrame,
    Vsi,
    manager_of,
)
from harness.vsi.faults import Fault, FaultKind, Faults
from harness.vsi.frames import read, write
from harness.vsi.live import EvbSwitch, PacketPort, TapPort
from harness.vsi.types import VsiType, VsiTypes

pytestmark = pytest.mark.root

WITHIN = 5.0
REPEATED = 0.16  # seconds: ECP's ackTimer at the usual exponent, 14
TYPES = VsiTypes([VsiType(11, 7, vlan=100), VsiType(11, 8)])
A, B, Z = 1, 2, 3
GROUP = bytes.fromhex("0180c2000000")
PAYLOAD = b"\x08\x00" + bytes(46)
VETH, FAR, UP, OUTSIDE = 20, 21, 22, 23


def mac(number):
    return bytes.fromhex("5254") + number.to_bytes(4, "big")


def frame(src, dst, tag=b""):
    return mac(dst) + mac(src) + tag + PAYLOAD


def association(command, number, kind, vid=0):
    name = Vsi(manager_of(11), kind, 2, number.to_bytes(16, "big"))
    return Association(command, name, (FilterInfo(vid, mac(number)),))


class Peer:
    """A station, or whoever is behind the uplink: at the stack's end of the switch's link."""

    def __init__(self, port):
        self.port = port
        self.sequence = 0
        self.seen = []
        self.answers = []

    def until(self, wanted, within=WITHIN):
        """The first frame for which `wanted(octets)` holds; requests are acknowledged."""
        give_up = time.monotonic() + within
        while True:
            octets = self.port.read()
            if octets is None:
                left = give_up - time.monotonic()
                if left <= 0 or not select.select([self.port], [], [], left)[0]:
                    raise TimeoutError([read(one) or one.hex() for one in self.seen])
                continue
            self.seen.append(octets)
            found = read(octets)
            if isinstance(found, EcpFrame) and not found.acknowledge:
                self.answers += found.associations
                ack = replace(found, src=mac(0), dst=GROUP, acknowledge=True, associations=())
                self.port.write(write(ack))
            if wanted(octets):
                return octets

    def ask(self, command, number, kind=7, vid=0, dialect=Dialect.RATIFIED):
        """What the bridge answers to a request."""
        self.request(command, number, kind, vid, dialect)
        return self.answer()

    def insist(self, command, number):
        """What the bridge answers to a request that is sent again until its answer is there.

        As a station's ECP does (802.1Q, 43.3): a TUN queue that is full drops (tun_net_xmit).
        """
        self.request(command, number)
        give_up = time.monotonic() + WITHIN
        while True:
            try:
                return self.answer(within=REPEATED)
            except TimeoutError:
                if time.monotonic() > give_up:
                    raise
                self.sequence -= 1
                self.request(command, number)

    def request(self, command, number, kind=7, vid=0, dialect=Dialect.RATIFIED):
        self.sequence += 1
        asked = association(command, number, kind, vid)
        self.port.write(write(EcpFrame(dialect, mac(0), GROUP, self.sequence, False, (asked,))))

    def answer(self, within=WITHIN):
        count = len(self.answers)
        self.until(lambda _: len(self.answers) > count, within)
        return self.answers[-1]

    def sync(self):
        """Wait until the switch has dealt with all that was sent before."""
        self.ask(Command.DE_ASSOCIATE, 77)

    def announce(self):
        """Request reflective relay; wait until it is granted."""
        evb = Evb(mode=EvbMode.STATION, rr_request=True, rr_status=1)
        lldp = LldpFrame(mac(0), GROUP, b"\4" + mac(0), b"\3" + mac(0), 120, evb)
        self.port.write(write(lldp))

        def granted(octets):
            found = read(octets)
            return isinstance(found, LldpFrame) and found.evb.rr_control

        self.until(granted)

    def gets(self, octets):
        """Whether that frame arrives."""
        return self.until(lambda seen: seen == octets) == octets


class Bed(ExitStack):
    """What is drawn above; `with` it."""

    def __init__(self, **given):
        super().__init__()
        self.ns = self.enter_context(NetNS.create())
        far = self.enter_context(NetNS.create())
        pairs = (("veth0", VETH, "far", FAR), ("up0", UP, "outside", OUTSIDE))
        for name, index, peer, peer_index in pairs:
            veth = add_veth(name, index=index, peer=peer, peer_index=peer_index, peer_ns=far.fd)
            self.ns.rtnl.transact([veth])
            far.rtnl.transact([set_link(peer, index=peer_index, up=True)])
            for ns, link in ((self.ns, name), (far, peer)):
                wait_for_link(ns, link, lambda state: state.operstate == "UP", within=WITHIN)
        tap = TapPort.open(self.ns, "tap0")
        veth = PacketPort.open(self.ns, "veth0")
        uplink = PacketPort.open(self.ns, "up0")
        self.switch = self.enter_context(
            EvbSwitch([tap, veth], uplink=uplink, **({"types": TYPES} | given))
        )
        self.set_tap(up=True)
        self.tap, self.veth, self.outside = (
            Peer(self.enter_context(PacketPort.open(ns, link)))
            for ns, link in ((self.ns, "tap0"), (far, "far"), (far, "outside"))
        )

    def set_tap(self, *, up):
        index = self.ns.rtnl.link("tap0")["index"]
        self.ns.rtnl.transact([set_link("tap0", index=index, up=up)])

    def fates(self, octets):
        """What became of that frame at each port: (port, outgoing, fate)."""
        return [(x.port, x.outgoing, x.fate) for x in self.switch.trace if x.octets == octets]

    def dropped(self, peer, octets, why):
        """Whether the frame is dropped, and goes nowhere. `peer` has sent it before."""
        peer.sync()
        ((_, outgoing, fate),) = self.fates(octets)
        return not outgoing and fate == f"dropped: {why}"


@pytest.fixture
def bed():
    with Bed() as bed:
        yield bed


@pytest.fixture
def associated(bed):
    """VSIs a and b in VLAN 100, z in VLAN 0; reflective relay at tap0."""
    bed.tap.announce()
    bed.tap.ask(Command.ASSOCIATE, A)
    bed.tap.ask(Command.ASSOCIATE, Z, kind=8)
    bed.veth.ask(Command.ASSOCIATE, B)
    return bed


TAG_100 = b"\x81\x00\x00\x64"


@pytest.mark.parametrize(
    ("given", "at", "arrives"),
    [
        pytest.param(frame(A, B), "veth", frame(A, B), id="forwarded"),
        pytest.param(frame(A, A), "tap", frame(A, A), id="reflected"),
        pytest.param(frame(A, 99), "outside", frame(A, 99, TAG_100), id="uplink-tagged"),
        pytest.param(frame(Z, 99), "outside", frame(Z, 99), id="uplink-untagged"),
    ],
)
def test_frames_of_associated_vsis(associated, given, at, arrives):
    associated.tap.port.write(given)
    assert getattr(associated, at).gets(arrives)


def test_from_the_uplink(associated):
    """The tag is taken off where the VSI did not ask for one, although the kernel hides it."""
    associated.outside.port.write(frame(99, B, TAG_100))
    assert associated.veth.gets(frame(99, B))


@pytest.mark.parametrize(
    ("number", "dst", "why"),
    [
        pytest.param(99, B, "its source is not associated", id="unassociated"),
        pytest.param(B, A, "its source is not associated", id="of-the-other-port"),
    ],
)
def test_dropped(associated, number, dst, why):
    associated.tap.port.write(frame(number, dst))
    assert associated.dropped(associated.tap, frame(number, dst), why)


def test_vlans_do_not_meet(associated):
    """VLAN 0 and VLAN 100: to the uplink as unknown, not to the other."""
    associated.tap.port.write(frame(Z, B))
    assert associated.outside.gets(frame(Z, B))
    assert ("veth0", True, "forwarded") not in associated.fates(frame(Z, B))


@pytest.mark.parametrize("dialect", Dialect)
def test_what_is_known_of_a_vsi(bed, dialect):
    answer = bed.veth.ask(Command.ASSOCIATE, B, dialect=dialect)
    assert answer.status.code == 0
    (known,) = bed.switch.vsis("veth0")
    assert (known.state, known.dialect, known.vlan) == ("associated", dialect, 100)
    assert (known.station, known.kind.id, known.pending) == (mac(0), 7, False)
    assert 10 < known.left < 21
    assert bed.switch.vsis("tap0") == ()


def test_relaying(bed):
    assert not bed.switch.relaying("tap0")
    bed.tap.announce()
    assert bed.switch.relaying("tap0")
    assert not bed.switch.relaying("veth0")


def test_withdrawn_by_the_bridge(associated):
    mark = associated.switch.mark
    associated.switch.de_associate(B.to_bytes(16, "big"))
    associated.switch.wait_for(lambda _, x: x.kind is EventKind.MOVED, since=mark, within=WITHIN)
    assert associated.veth.answer().command is Command.DE_ASSOCIATE
    associated.veth.port.write(frame(B, A))
    assert associated.dropped(associated.veth, frame(B, A), "its source is not associated")


@pytest.mark.parametrize("how", ["restart", "reset"])
def test_power_cycle(associated, how):
    """All is forgotten, and nobody told; the station associates again, and is understood."""
    getattr(associated.switch, how)("veth0")
    assert associated.switch.vsis("veth0") == ()
    assert associated.veth.ask(Command.ASSOCIATE, B).status.code == 0
    assert len(associated.switch.vsis("tap0")) == 2
    commands = {x.command for x in associated.veth.answers}
    assert commands == {Command.ASSOCIATE}


def test_after_a_restart_the_first_answer_is_no_copy(bed):
    """ECP sequences begin elsewhere than they had."""
    bed.veth.ask(Command.ASSOCIATE, B)
    bed.switch.restart("veth0")
    bed.veth.ask(Command.ASSOCIATE, B)
    found = [read(octets) for octets in bed.veth.seen]
    sequences = [x.sequence for x in found if isinstance(x, EcpFrame) and x.associations]
    assert len(set(sequences)) == len(sequences) == 2


def test_paused(associated):
    """It answers nothing and lets nothing through, and then goes on."""
    associated.switch.pause("veth0")
    associated.veth.request(Command.ASSOCIATE, B)
    associated.tap.port.write(frame(A, B))
    associated.tap.sync()
    assert ("veth0", True, "dropped: the port is paused") in associated.fates(frame(A, B))
    with pytest.raises(TimeoutError):
        associated.veth.until(lambda octets: read(octets) or octets == frame(A, B), within=0.2)
    associated.switch.resume("veth0")
    assert associated.veth.ask(Command.ASSOCIATE, B).status.code == 0


def test_faults_and_types_to_order(bed):
    refuse = Faults([Fault(FaultKind.REFUSE, code=2, times=1)])
    bed.switch.set_faults("veth0", refuse)
    assert bed.veth.ask(Command.ASSOCIATE, B).status.code == 2
    bed.switch.set_types(VsiTypes([VsiType(12, 7)]))
    assert bed.veth.ask(Command.ASSOCIATE, B).status.code == 3
    bed.switch.set_types(None)
    assert bed.veth.ask(Command.ASSOCIATE, B).status.code == 0


def test_a_link_that_comes_up_hears_of_the_bridge(bed):
    """At once, and not only when LLDP's turn comes."""
    bed.tap.announce()
    for _ in range(5):  # the fast ones are over
        bed.set_tap(up=False)
        bed.set_tap(up=True)
        bed.tap.until(lambda octets: isinstance(read(octets), LldpFrame), within=0.5)


@pytest.mark.parametrize(
    ("flooded", "flood"),
    [
        pytest.param("tap", frame(A, B), id="of-its-own-port"),
        pytest.param("veth", frame(B, A), id="of-another-port"),
    ],
)
def test_a_flood_does_not_hold_up_control(associated, flooded, flood):
    """A frame that is asked for among others is answered before they are all done."""
    stop = threading.Event()
    sender = getattr(associated, flooded)

    def send():
        while not stop.is_set():
            sender.port.write(flood)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for _ in range(20):
            assert associated.tap.insist(Command.ASSOCIATE, A).status.code == 0
    finally:
        stop.set()
        thread.join()
    controls = [x for x in associated.switch.trace if x.fate == "control"]
    assert len(controls) > 40


def test_segments_of_a_large_frame(associated):
    """A stack on a veth leaves cutting to the card; what goes on is cut."""
    from harness.kernel.gso import LargeFrame
    from harness.kernel.vnet import Gso

    large = LargeFrame(mac(A).hex(":"), mac(B).hex(":"), gso=Gso.TCPV4)
    sock = associated.veth.port._socket
    sock.send(large.header.pack() + large.frame)
    for segment in large.segments:
        assert associated.tap.gets(segment)


class Broken(PacketPort):
    """A port that fails while frames are read."""

    def read(self):
        raise ZeroDivisionError("broken")


@pytest.fixture
def pair():
    """Two ends of a veth: what the switch has, and the station's."""
    with NetNS.create() as ns:
        ns.rtnl.transact([add_veth("veth0", index=VETH, peer="far", peer_index=FAR)])
        ns.rtnl.transact([set_link("far", index=FAR, up=True)])
        yield ns


def test_a_crash_is_raised_by_the_next_call(pair):
    with PacketPort.open(pair, "far") as far:
        switch = EvbSwitch([Broken.open(pair, "veth0")])
        mark = switch.mark
        far.write(frame(A, B))
        with pytest.raises(ZeroDivisionError):
            switch.wait_for(lambda *_: False, since=mark, within=WITHIN)
        with pytest.raises(ZeroDivisionError):
            switch.vsis("veth0")
        switch.close()


def test_a_crash_that_nobody_was_told_of_is_raised_at_the_end(pair):
    with PacketPort.open(pair, "far") as far:
        switch = EvbSwitch([Broken.open(pair, "veth0")])
        far.write(frame(A, B))
        switch._thread.join(WITHIN)
        with pytest.raises(ZeroDivisionError):
            switch.close()
        switch.close()


def test_a_link_that_goes_is_told_of(pair):
    switch = EvbSwitch([PacketPort.open(pair, "veth0")])
    pair.rtnl.transact([delete_link("veth0", index=VETH)])
    with pytest.raises(KernelError, match="serve veth0: ENODEV"):
        switch.wait_for(lambda *_: False, within=WITHIN)
    switch.close()


def test_silence_is_an_error(bed):
    with pytest.raises(SilenceError, match=r"did not happen within 0\.01 s; the last that did"):
        bed.switch.wait_for(lambda *_: False, within=0.01)


def test_two_ports_of_one_name(pair):
    with pytest.raises(UsageError, match="a name each: veth0, veth0"):
        EvbSwitch([PacketPort.open(pair, "veth0"), PacketPort.open(pair, "veth0")])


def test_nothing_is_left():
    """No thread, no descriptor, no TAP device."""

    def held():
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    with NetNS.create() as ns:
        before = held()
        with EvbSwitch([TapPort.open(ns, "tap0", mac="02:00:00:00:00:01")]) as switch:
            assert ns.run(lambda: socket.if_nametoindex("tap0"))
            assert switch.ports == ("tap0",)
        assert held() == before
        with pytest.raises(OSError, match="no interface with this name"):
            ns.run(lambda: socket.if_nametoindex("tap0"))
        with pytest.raises(UsageError, match="closed"):
            switch.vsis("tap0")


def test_pcapng(associated, tmp_path):
    """Wireshark's format: an interface for each port, directions, what became of a frame."""
    associated.tap.port.write(frame(99, B))
    associated.tap.sync()
    path = tmp_path / "switch.pcapng"
    associated.switch.write_pcapng(path)
    with RawPcapNgReader(str(path)) as reader:
        packets = list(reader)
        names = [options["name"] for *_, options in reader.interfaces]
    assert names == [b"tap0", b"veth0", b"up0"]
    assert [x.octets for x in associated.switch.trace][: len(packets)] == [x[0] for x in packets]
    (about,) = [meta for octets, meta in packets if octets == frame(99, B)]
    assert about.comments == [b"dropped: its source is not associated"]
